"The notebooks as such: complete in the sidebar, small, and with outputs that the next run gives again."
import ast, importlib, json, re
from pathlib import Path
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NBS = ROOT/'nbs'
NOTEBOOKS = sorted(p for p in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)
each = pytest.mark.parametrize('path', NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])

def cells(path:Path, kind:str) -> list[dict]: return [c for c in json.loads(path.read_text())['cells'] if c['cell_type'] == kind]
def source(cell:dict) -> str: return ''.join(cell['source'])

def outputs(path:Path) -> list[str]:
    "The text of all outputs; pictures left out."
    found = []
    for output in (o for c in cells(path, 'code') for o in c['outputs']):
        texts = [output.get('text', ''), *(v for k,v in output.get('data', {}).items() if k.startswith('text/')), output.get('traceback', [])]
        found += [''.join(t) for t in texts]
    return found

def unrepeatable(text:str) -> list[str]:
    "What the next run, or another machine, would write otherwise: addresses, clock times, folders of a machine, random ids."
    return re.findall(r'\bat 0x[0-9a-f]{6,}|\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+|(?<![\w.])/(?:root|home|Users|tmp|work|opt|var)/\S*|\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b|\d+(?:\.\d+)?(?:s/it|it/s)', text)

def mixed_imports(code:str) -> bool:
    "Does a cell import and do something else? The documentation runs such cells, in a namespace in which nothing else was run."
    statements = ast.parse(re.sub(r'^\s*[%!].*$', '', code, flags=re.M)).body
    imports = [isinstance(s, (ast.Import,ast.ImportFrom)) for s in statements]
    return any(isinstance(n, (ast.Import,ast.ImportFrom)) for s in statements for n in ast.walk(s)) and not all(imports)

def sidebar(contents:list) -> list[str]:
    found = []
    for entry in contents: found += [entry] if isinstance(entry, str) else [*([entry['href']] if 'href' in entry else []), *sidebar(entry.get('contents', []))]
    return found

def test_the_sidebar_has_every_notebook_once():
    listed = sidebar(yaml.safe_load((NBS/'sidebar.yml').read_text())['website']['sidebar']['contents'])
    assert sorted(listed) == sorted(str(p.relative_to(NBS)) for p in NOTEBOOKS)

def test_the_sidebar_keeps_the_order_of_the_floors():
    listed = [n for n in sidebar(yaml.safe_load((NBS/'sidebar.yml').read_text())['website']['sidebar']['contents']) if n[0].isdigit()]
    assert listed == sorted(listed)

@each
def test_size(path): assert path.stat().st_size <= 200*1024

@each
def test_a_module_stays_short(path):
    exported = [source(c).split('\n')[1:] for c in cells(path, 'code') if source(c).startswith('#| export')]
    assert sum(map(len, exported)) <= 250

@each
def test_first_cell_is_title_and_subtitle(path):
    first = json.loads(path.read_text())['cells'][0]
    assert first['cell_type'] == 'markdown'
    assert re.fullmatch(r'# [^\n]+\n\n> [^\n]+\n?', source(first))

@each
def test_outputs_can_be_had_again(path): assert [x for t in outputs(path) for x in unrepeatable(t)] == []

@each
def test_no_warning_is_kept(path):
    said = [''.join(o['text']) for c in cells(path, 'code') for o in c['outputs'] if o.get('name') == 'stderr']
    assert [t for t in said if 'Warning' in t] == []

@each
def test_no_error_is_kept(path): assert [o['evalue'] for c in cells(path, 'code') for o in c['outputs'] if o['output_type'] == 'error'] == []

@each
def test_lessons_import_in_cells_of_their_own(path):
    lessons = [source(c) for c in cells(path, 'code') if not re.match(r'#\|\s*(export|exporti|eval:\s*false)', source(c)) and not source(c).startswith('%%')]
    if path.parent != NBS: return    # pipelines and their like run as a whole
    assert [s for s in lessons if mixed_imports(s)] == []

@pytest.mark.parametrize('path', [p for p in NOTEBOOKS if p.parent != NBS], ids=lambda p: p.stem)
def test_pipelines_and_their_like_import_what_there_is(path):
    "No lesson runs them, so a name that moved to another module would only be missed by who uses them."
    code = '\n'.join(re.sub(r'^\s*[%!].*$', '', source(c), flags=re.M) for c in cells(path, 'code'))
    taken = [(n.module, a.name) for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom) and n.module.startswith('rmn_lora') for a in n.names]
    assert taken
    assert [(module, name) for module,name in taken if not hasattr(importlib.import_module(module), name)] == []

@pytest.mark.parametrize('folder', [p.name for p in NBS.iterdir() if p.is_dir() and any(p.glob('*.ipynb'))])
def test_notebooks_with_parameters_are_no_lessons(folder): assert (NBS/folder/'.notest').exists()

@pytest.mark.parametrize('text, found', [('<f at 0x7f3a2b1c>', 1), ('2026-11-21 00:41:26.123', 1), ('see /tmp/x/y.csv', 1), ('b2f5ff47-4367-4b9c-8b31-0a1b2c3d4e5f', 1),
    ('2026-11-21', 0), ('runs/20261121-004126-harmonize', 0), ('sha256:0x12', 0), ('a/tmp/b', 0), ('100%|##| 3/3 [00:01<00:00, 2.5it/s]', 1)])
def test_what_cannot_be_had_again_is_noticed(text, found): assert len(unrepeatable(text)) == found

@pytest.mark.parametrize('code, mixed', [('import a\nfrom b import c', False), ('x = 1', False), ('import a\na.b()', True), ('def f():\n    import a', True), ('%matplotlib inline\nimport a', False)])
def test_mixed_imports_are_noticed(code, mixed): assert mixed_imports(code) == mixed
