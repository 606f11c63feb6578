"""README.md and the documentation, made from the notebooks without a network and without Quarto.

    python .ci/pages.py readme          README.md from nbs/index.ipynb
    python .ci/pages.py site FOLDER     the pages of `nbdev-docs`, from the same nbs/sidebar.yml, by Sphinx
"""
import json, os, re, shutil, subprocess, sys
from pathlib import Path, PurePosixPath
from posixpath import normpath
import yaml

ROOT = Path(__file__).resolve().parents[1]

# --- README ---

def repository_link(target:str) -> str:
    "A link as it reads in the repository's root, from one that reads in nbs/."
    if re.match(r'[a-z]+:|[/#]', target): return target
    return normpath(f'nbs/{target}')

def relink(markdown:str, link) -> str:
    "Markdown with the target of each inline link or picture passed through `link`, outside of code."
    parts = re.split(r'(```.*?```|`[^`]*`(?!\]))', markdown, flags=re.S)
    parts[::2] = [re.sub(r'(\]\()([^)\s]+)(?=[)\s])', lambda m: m[1] + link(m[2]), p) for p in parts[::2]]
    return ''.join(parts)

def output_text(output:dict) -> str:
    "An output of the index, as Markdown."
    data = output.get('data', {})
    if 'text/markdown' in data: return ''.join(data['text/markdown'])
    if output['output_type'] == 'stream' or 'text/plain' in data and len(data) == 1:
        return '```\n' + ''.join(output.get('text') or data['text/plain']).rstrip('\n') + '\n```'
    raise SystemExit('index.ipynb: README.md can show text and Markdown outputs. Save a picture under nbs/images/ and link it.')

def readme(root:Path=ROOT) -> str:
    "README.md, as nbs/index.ipynb gives it."
    parts = ['<!-- Made from nbs/index.ipynb by `make check`: edit that. -->']
    for cell in json.loads((root/'nbs/index.ipynb').read_text())['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown': parts.append(relink(source, repository_link))
        elif cell['cell_type'] == 'code' and source.strip() and not re.search(r'^#\|\s*(hide|export|default_exp)', source, re.M):
            if not re.search(r'^#\|\s*echo:\s*false', source, re.M): parts.append(f'```python\n{source}\n```')
            parts += [output_text(o) for o in cell['outputs']]
    return '\n\n'.join(p.strip('\n') for p in parts) + '\n'

# --- pages ---

def page_name(path:PurePosixPath, front:dict) -> PurePosixPath:
    "Where nbdev puts a notebook's page, without the suffix: a module's page is called like the module."
    return path.with_name(front['output-file'].removesuffix('.html')) if 'output-file' in front else path.with_suffix('')

def split_front_matter(nb:dict) -> dict:
    "Takes the front matter, which nbdev made of title and subtitle, off a processed notebook."
    if nb['cells'] and nb['cells'][0]['cell_type'] == 'raw': return yaml.safe_load(''.join(nb['cells'].pop(0)['source']).strip().strip('-'))
    return {}

HEADING = re.compile(r'^(#+) (\S+)$', re.M)      # of the entry that show_doc makes

def is_documentation(cell:dict) -> bool: return cell['cell_type'] == 'code' and re.search(r'^show_doc\(.*\)$', ''.join(cell['source']), re.M) is not None
def documented(cell:dict) -> str: return ''.join(t for o in cell['outputs'] for t in o.get('data', {}).get('text/markdown', []))

def anchors(nb:dict) -> set[str]:
    "The entries that a page has."
    return {m[2].lower() for c in nb['cells'] if is_documentation(c) and (m := HEADING.search(documented(c)))}

def documentation(cell:dict, root:Path) -> dict:
    "A `show_doc` cell as Markdown: its heading gets into the contents of the page, its call disappears."
    text = documented(cell).replace(f'{root}/', '')                    # a default value may be a path of this machine
    text = re.sub(r'^\[source\]\(.*$', '', text, flags=re.M)              # on a server, which there is none of
    text = re.sub(r"<class '([^']+)'>", r'\1', text)
    text = HEADING.sub(lambda m: f'<span id="{m[2].lower()}"></span>\n\n{m[1]} `{m[2]}`', text, count=1)
    return dict(cell_type='markdown', metadata={}, source=text.strip().removeprefix('---').strip())

def nbdev_link(match:re.Match, entries:dict[str,set[str]], up:str) -> str:
    "What nbdev linked by itself, [`name`](/page.html#name): to its entry, its class's, or else the page; `up` leads to the root."
    name,page,anchor = match.groups()
    found = next((a for a in (anchor, anchor.partition('.')[0]) if a in entries.get(page, ())), '')
    return f'<a href="{up}{page}.html{"#" * bool(found)}{found}"><code>{name}</code></a>' if page in entries else f'`{name}`'

def converted(nb:dict, front:dict, pages:dict[str,str], entries:dict[str,set[str]], root:Path, up:str) -> dict:
    "A notebook as processed by nbdev, for myst-nb: with its title, without directives and `show_doc`, links between pages."
    def link(target:str) -> str:
        path,_,anchor = target.partition('#')
        return f'{pages[path]}.html#{anchor}'.rstrip('#') if path in pages else target
    def markdown(source:str) -> str:
        source = re.sub(r'\[`([^`\]]+)`\]\(/([^)#]+)\.html#([^)]*)\)', lambda m: nbdev_link(m, entries, up), source)
        return re.sub(r'\[([^\]`]*)\]\(([^)\s]+\.html(?:#[^)\s]*)?)\)', r'<a href="\2">\1</a>', relink(source, link))
    cells = [dict(cell_type='markdown', metadata={}, source=f"# {front['title']}\n\n" + (f"> {front['description']}" if front.get('description') else ''))] if front else []
    for cell in nb['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'code':
            if is_documentation(cell): cell = documentation(cell, root)
            else: cell['source'] = re.sub(r'^#\|.*\n?', '', source, flags=re.M).strip('\n')
        elif source.startswith('<!-- WARNING: THIS FILE WAS AUTOGENERATED'): continue
        else: cell['source'] = source
        if cell['cell_type'] == 'markdown': cell['source'] = markdown(cell['source'])
        if cell['source'].strip() or cell.get('outputs'): cells.append(cell)
    for i,cell in enumerate(cells): cell['id'] = f'cell-{i}'
    kernel = dict(kernelspec=dict(name='python3', display_name='Python 3', language='python'), language_info=dict(name='python', pygments_lexer='python'))
    return dict(cells=cells, metadata=kernel, nbformat=4, nbformat_minor=5)

def toctree(contents:list, pages:dict[str,str], caption:str='') -> str:
    "The sidebar, as Sphinx's tables of contents."
    here = [c if isinstance(c, str) else c['href'] for c in contents if isinstance(c, str) or 'href' in c]
    text = '```{toctree}\n:hidden:\n' + (f':caption: {caption}\n' if caption else '') + '\n' + '\n'.join(pages[p] for p in here if p != 'index.ipynb') + '\n```\n\n' if here else ''
    return text + ''.join(toctree(c['contents'], pages, c['section']) for c in contents if isinstance(c, dict) and 'section' in c)

def site(out:Path, root:Path=ROOT):
    "Build the pages of all notebooks in the sidebar into a folder. Any warning ends it."
    from nbdev.serve import proc_nbs
    os.chdir(root)
    sys.path.insert(0, str(root))    # which nbdev's worker processes take over
    shutil.rmtree(root/'_proc', ignore_errors=True)
    processed = proc_nbs(n_workers=2)
    source = processed/'_sphinx'
    source.mkdir()
    sidebar = yaml.safe_load((root/'nbs/sidebar.yml').read_text())['website']['sidebar']['contents']
    notebooks,pages = {},{}
    for path in sorted(processed.rglob('*.ipynb')):
        name = path.relative_to(processed)
        nb = json.loads(path.read_text())
        front = split_front_matter(nb)
        notebooks[name.as_posix()] = nb,front
        pages[name.as_posix()] = page_name(PurePosixPath(name), front).as_posix()
    entries = {pages[name]: anchors(nb) for name,(nb,_) in notebooks.items()}
    for name,(nb,front) in notebooks.items():
        nb = converted(nb, front, pages, entries, root, '../' * name.count('/'))
        if name == 'index.ipynb': nb['cells'].append(dict(cell_type='markdown', id='sidebar', metadata={}, source=toctree(sidebar, pages)))
        (source/f'{pages[name]}.ipynb').parent.mkdir(parents=True, exist_ok=True)
        (source/f'{pages[name]}.ipynb').write_text(json.dumps(nb))
    for folder in list(processed.rglob('images')): shutil.copytree(folder, source/folder.relative_to(processed))    # a list, as the copies lie in there, too
    subprocess.run([sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-E', '-b', 'html', '-c', root/'.ci', source, out], check=True)

if __name__ == '__main__':
    match sys.argv[1:]:
        case ['readme']: (ROOT/'README.md').write_text(readme())
        case ['site', folder]: site(Path(folder).resolve())
        case _: raise SystemExit(__doc__)
