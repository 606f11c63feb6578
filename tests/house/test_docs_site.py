"The documentation builds without a network; in a browser every internal link leads somewhere and nothing else is asked for."
import json, subprocess, sys
from pathlib import Path
from urllib.parse import unquote
import pytest
from playwright.sync_api import sync_playwright
import pages
from browser import find_chromium

ROOT = Path(__file__).resolve().parents[2]
# a browser that does nothing by itself
QUIET = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--disable-extensions', '--disable-default-apps', '--no-first-run', '--no-pings', '--disable-domain-reliability', '--disable-client-side-phishing-detection']
LINKS = "[...document.querySelectorAll('a[href]')].map(a => a.href)"
IDS = "[...document.querySelectorAll('[id]')].map(e => e.id)"
LOADED = "[...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => i.src)"

@pytest.fixture(scope='module')
def built(tmp_path_factory, copy_project) -> Path:
    "The pages, built from a copy of the project."
    project = copy_project(tmp_path_factory.mktemp('docs')/'project')
    out = project.parent/'site'
    done = subprocess.run([sys.executable, project/'.ci/pages.py', 'site', out], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out

@pytest.fixture(scope='module')
def browser():
    "A Chromium page, and the list of all that it asked for."
    found = find_chromium()
    assert found, 'Chromium is missing: bash .ci/setup browser'
    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=found, args=QUIET)
        page = chromium.new_page()
        asked: list[str] = []
        page.on('request', lambda request: asked.append(request.url))
        yield page,asked
        chromium.close()

def crawl(page, start:str) -> tuple[dict[str,set[str]], set[tuple[str,str]], list[str]]:
    "Follow all internal links from a page: the ids on each page, the links (from, to), the pictures that did not load."
    base = start.rpartition('/')[0] + '/'
    ids: dict[str,set[str]] = {}
    links,broken,to_do = set(),[],[start]
    while to_do:
        url = to_do.pop()
        if url in ids: continue
        page.goto(url)
        ids[url] = set(page.evaluate(IDS))
        broken += page.evaluate(LOADED)
        for target in page.evaluate(LINKS):
            if target.startswith(base):
                links.add((url, target))
                to_do.append(target.partition('#')[0].partition('?')[0])
    return ids,links,broken

def test_every_internal_link_leads_somewhere(built, browser):
    page,asked = browser
    ids,links,broken = crawl(page, (built/'index.html').as_uri())
    missing = []
    for source,target in sorted(links):
        url,_,anchor = target.partition('#')
        if anchor and unquote(anchor) not in ids[url.partition('?')[0]]: missing.append((source, target))
    assert missing == []
    assert broken == []
    names = {unquote(u.rpartition('/')[2]) for u in ids}
    assert {'index.html','errors.html','rmis.harmonize.html','pipelines.html'} <= names
    assert {p.name for p in built.glob('*.html')} - names == {'search.html'}, 'every page is linked, but for the one that the search box opens'
    assert [u for u in asked if not u.startswith((built.as_uri(), 'data:'))] == []

def test_pages_can_be_searched(built, browser):
    page,asked = browser
    page.goto((built/'search.html').as_uri() + '?q=DataHarmonizer')
    page.locator('#search-results li a').first.wait_for()
    assert 'rmis.harmonize' in page.locator('#search-results').inner_text()
    assert [u for u in asked if not u.startswith((built.as_uri(), 'data:'))] == []

def test_a_page_shows_its_lesson_and_its_reference(built, browser):
    page,_ = browser
    page.goto((built/'errors.html').as_uri())
    text = page.locator('article').inner_text()
    assert page.locator('article h1').inner_text().startswith('errors')
    assert 'One base error; each says what was wrong' in text
    assert 'show_doc' not in text and '#|' not in text
    assert page.locator('article h3').count() > 0, 'the reference entries are headings'

def test_a_dead_link_and_a_foreign_request_are_noticed(tmp_path, browser):
    page,asked = browser
    (tmp_path/'index.html').write_text('<a href="other.html#here">x</a><img src="gone.png"><img src="http://192.0.2.1/x.png">')
    (tmp_path/'other.html').write_text('<p id="there">')
    ids,links,broken = crawl(page, (tmp_path/'index.html').as_uri())
    assert 'here' not in ids[(tmp_path/'other.html').as_uri()] and len(links) == 1
    assert len(broken) == 2
    assert 'http://192.0.2.1/x.png' in asked

def test_readme_is_what_the_index_gives(): assert (ROOT/'README.md').read_text() == pages.readme(ROOT)

def test_links_in_the_readme_exist():
    found = []
    pages.relink((ROOT/'README.md').read_text(), lambda target: found.append(target) or target)
    assert [t for t in found if '://' not in t and not t.startswith('#') and not (ROOT/t.partition('#')[0]).exists()] == []

@pytest.mark.parametrize('target, expected', [
    ('12_rmis.harmonize.ipynb', 'nbs/12_rmis.harmonize.ipynb'), ('../data/README.md', 'data/README.md'), ('images/loop.png', 'nbs/images/loop.png'),
    ('https://example.org/a', 'https://example.org/a'), ('#goals', '#goals')])
def test_a_link_of_the_index_reads_from_the_root(target, expected):
    assert pages.relink(f'see [this]({target}), not `[that]({target})`', pages.repository_link) == f'see [this]({expected}), not `[that]({target})`'

def test_a_readme_hides_what_the_index_hides(tmp_path):
    (tmp_path/'nbs').mkdir()
    def code(source, *outputs): return dict(cell_type='code', source=source, outputs=list(outputs))
    shown = dict(output_type='execute_result', data={'text/markdown': '| a |', 'text/plain': 'a'})
    cells = [dict(cell_type='markdown', source=['# T\n', '\n', '> s']), code('#| hide\nimport x'), code('#| echo: false\ntable', shown), code('1+1', dict(output_type='execute_result', data={'text/plain': ['2']}))]
    (tmp_path/'nbs/index.ipynb').write_text(json.dumps(dict(cells=cells)))
    assert pages.readme(tmp_path).partition('\n\n')[2] == '# T\n\n> s\n\n| a |\n\n```python\n1+1\n```\n\n```\n2\n```\n'

def test_names_link_to_their_entry_or_page():
    import re
    entries = {'adapters.base': {'base','load_base'}, 'errors': set()}
    def link(target, up=''): return pages.nbdev_link(re.match(r'(.*) (.*) (.*)', target), entries, up)
    assert link('Base adapters.base base') == '<a href="adapters.base.html#base"><code>Base</code></a>'
    assert link('Base.using adapters.base base.using') == '<a href="adapters.base.html#base"><code>Base.using</code></a>'
    assert link('WorkbenchError errors workbencherror') == '<a href="errors.html"><code>WorkbenchError</code></a>'
    assert link('gone gone gone') == '`gone`'
    assert link('Base adapters.base base', '../') == '<a href="../adapters.base.html#base"><code>Base</code></a>'

def test_quarto_reads_the_same_configuration():
    assert (ROOT/'nbs/_quarto.yml').is_symlink()
    assert (ROOT/'nbs/_quarto.yml').resolve() == ROOT/'_quarto.yml'
