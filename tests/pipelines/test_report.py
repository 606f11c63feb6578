"A report fetches nothing, whatever its notebook holds."
import nbformat, pytest
from bs4 import BeautifulSoup
from browser import find_chromium
from playwright.sync_api import sync_playwright
from rmn_lora.report import offline_html
from rmn_lora.training.answers import Scored
from rmn_lora.training.evaluate import Examples

def output(html, **data): return nbformat.v4.new_output('display_data', {'text/html': html, **data})

HOSTILE = ['<script src="https://cdn.example/x.js"></script>', '<script>fetch("https://x.example")</script>', '<img src="https://x.example/a.png">', '<img src=//x.example/a.png>',
           '<iframe src="https://x.example"></iframe>', '<link rel="stylesheet" href="https://x.example/a.css">', '<div onclick="fetch(1)">a</div>', '<object data="http://x.example"></object>',
           '<video poster="http://x.example/p.png" src="http://x.example/v"></video>', '<img srcset="http://x.example/a 2x">', '<svg><image href="http://x.example/a.png"/></svg>',
           '<svg><use xlink:href="http://x.example/a.svg#b"/></svg>', '<base href="https://x.example/">', '<form action="https://x.example"><input formaction="https://x.example"></form>',
           '<a href="javascript:fetch(1)">a</a>', '<meta http-equiv="refresh" content="0; url=https://x.example">']

def fetched(page):
    "What a browser would load or run, by tag and attribute."
    soup = BeautifulSoup(page, 'html.parser')
    for tag in soup(True):
        if tag.name in ('script', 'iframe', 'object', 'embed', 'link', 'base', 'form'): yield str(tag)[:100]
        for name,value in tag.attrs.items():
            loads = name in ('src', 'srcset', 'poster', 'background', 'data', 'action', 'formaction') or name in ('href', 'xlink:href') and (tag.name != 'a' or 'script:' in value)
            if name.startswith('on') or loads and not value.startswith('data:') and not value.startswith('#'): yield f'{tag.name} {name}={value}'[:100]
        if tag.name == 'meta' and tag.get('http-equiv', '').lower() == 'refresh': yield str(tag)

@pytest.mark.parametrize('html', HOSTILE)
def test_the_check_itself_sees_a_fetch(html): assert list(fetched(html))

def test_a_report_fetches_nothing():
    chart = output('<div><script src="https://cdn.jsdelivr.net/npm/vega@6"></script></div>', **{'image/png': 'iVBORw0KGgo='})
    cells = [nbformat.v4.new_code_cell('x', outputs=[output(h) for h in HOSTILE] + [chart]), nbformat.v4.new_markdown_cell('Formula $x^2$ ' + ' '.join(HOSTILE))]
    cells.append(nbformat.v4.new_markdown_cell('![remote](https://x.example/b.png) and [a link](https://x.example/page)'))
    page = offline_html(nbformat.v4.new_notebook(cells=cells))
    assert not list(fetched(page))
    assert 'data:image/png;base64,iVBORw0KGgo=' in page, 'the chart is shown as a picture'
    assert 'href="https://x.example/page"' in page, 'a link that is only followed when clicked stays'
    policy = BeautifulSoup(page, 'html.parser').head.find('meta', attrs={'http-equiv': 'Content-Security-Policy'})
    assert "default-src 'none'" in policy['content'] and policy.find_previous_sibling() is None, 'the policy stands before all else'

def test_a_picture_says_where_it_stands():
    picture = lambda: nbformat.v4.new_code_cell('x', outputs=[output('', **{'image/png': 'iVBORw0KGgo='})])
    cells = [picture(), nbformat.v4.new_markdown_cell('## Spend & sales'), picture()]
    page = BeautifulSoup(offline_html(nbformat.v4.new_notebook(cells=cells)), 'html.parser')
    assert [i['alt'] for i in page('img')] == ['A picture', "A picture under 'Spend & sales'"]

def test_an_output_that_needs_a_script_is_shown_as_text():
    cell = nbformat.v4.new_code_cell('x', outputs=[output('<div id="vis"></div><script>draw()</script>', **{'text/plain': 'alt.Chart(...)'}), output('<b>table</b>', **{'text/plain': 'a table'})])
    page = BeautifulSoup(offline_html(nbformat.v4.new_notebook(cells=[cell])), 'html.parser')
    assert 'alt.Chart(...)' in page.text and page.find('b').text == 'table' and 'a table' not in page.text

WIDE = "[...document.querySelectorAll('table, pre, td')].filter(e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 200))"

def test_long_answers_stay_inside_the_page(project):
    answer = '{"' + 'a_field_without_a_space'*30 + '":1}'
    worst = Examples([Scored(0, 'https://x.example/' + 'q'*400, answer, answer[:-1])])._repr_html_()
    cell = nbformat.v4.new_code_cell('x', outputs=[output(worst)])
    (project/'report.html').write_text(offline_html(nbformat.v4.new_notebook(cells=[cell])))
    assert (found := find_chromium()), 'Chromium is missing: bash .ci/setup browser'
    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=found, args=['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'])
        page = chromium.new_page(viewport={'width': 900, 'height': 700})
        page.goto((project/'report.html').as_uri())
        assert page.evaluate(WIDE) == []
        chromium.close()
