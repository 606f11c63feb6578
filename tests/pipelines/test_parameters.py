import ast, string
import nbformat, pytest
from hypothesis import given, strategies as st
from nbformat.v4 import new_code_cell, new_notebook
from papermill.parameterize import parameterize_notebook
from rmn_lora.errors import PipelineError
from rmn_lora.pipelines import check_parameters, find_pipeline, list_pipelines, pipeline_parameters, pipeline_title

LINES = "text = 'a' # A text\ncount = 3\nrate:float = 1\nflag = False\nnames = ['x', 'y']\nnone:list[str] = []\nweights = [0.5]"

def test_types_and_help_are_read(notebook):
    found = {p.name: p for p in pipeline_parameters(notebook('p', parameters=LINES))}
    assert {n: p.type for n,p in found.items()} == dict(text='str', count='int', rate='float', flag='bool', names='list[str]', none='list[str]', weights='list[float]')
    assert found['text'].help == 'A text' and found['count'].help == ''
    assert found['rate'].default == 1. and isinstance(found['rate'].default, float)

def test_a_hash_inside_a_text_is_no_comment(notebook):
    (p,) = pipeline_parameters(notebook('p', parameters="color = '#fff' # Of the bars"))
    assert (p.default, p.help) == ('#fff', 'Of the bars')

@pytest.mark.parametrize('line', ['n = len("abc")', 'import os', 'n = open("planted", "w")', 'a = b = 1', 'a, b = 1, 2', 'n += 1', 'n: int', 'x = {"a": 1}',
                                  'n = None', 'n: Path = "a"', 'l = []', 'x[0] = 1', 'm = [1, "a"]', 'n: int = "a"', 'n = ('])
def test_a_parameters_cell_that_is_not_plain_is_refused(notebook, project, line):
    path = notebook('p', parameters=line)
    with pytest.raises(PipelineError): pipeline_parameters(path)
    assert not (project/'planted').exists()

@pytest.mark.parametrize('options', [dict(parameters=None), dict(parameters='a = 1', tags=()), dict(parameters='a = 1', tags=('parameter',))])
def test_a_notebook_without_the_tag_is_refused(notebook, options):
    with pytest.raises(PipelineError, match='0 cells with the tag'): pipeline_parameters(notebook('p', **options))

@pytest.mark.parametrize('name', ['out', 'console'])
def test_words_of_run_pipeline_are_no_parameters(notebook, name):
    with pytest.raises(PipelineError, match=name): pipeline_parameters(notebook('p', parameters=f'{name} = 1'))

@pytest.mark.parametrize('name,value', [('count', '5'), ('count', 1.5), ('count', True), ('rate', 'fast'), ('flag', 1), ('flag', 'true'), ('text', 3), ('text', None),
                                        ('text', b'a'), ('names', 'x,y'), ('names', [1]), ('weights', ['a']), ('text', 'lone \udcff surrogate'), ('names', ['\ud800'])])
def test_python_values_are_taken_at_their_type(notebook, name, value):
    with pytest.raises(PipelineError, match=name): check_parameters(notebook('p', parameters=LINES), {name: value})

@pytest.mark.parametrize('name,text,value', [('count', '5', 5), ('count', '-5', -5), ('rate', '2', 2.), ('rate', '1e-3', .001), ('flag', 'true', True), ('flag', '0', False),
                                             ('text', '5', '5'), ('text', '', ''), ('text', 'a=b', 'a=b'), ('names', 'a, b', ['a', 'b']), ('names', '', []),
                                             ('weights', '1,2.5', [1., 2.5])])
def test_texts_become_values(notebook, name, text, value):
    checked = check_parameters(notebook('p', parameters=LINES), {name: text}, text=True)[name]
    assert checked == value and type(checked) is type(value)

@pytest.mark.parametrize('name,text', [('count', 'five'), ('count', '1.5'), ('count', ''), ('count', '__import__("os")'), ('rate', 'x'), ('flag', 'perhaps'), ('weights', '1,two'), ('text', '\udcff')])
def test_texts_that_are_no_such_value_are_refused(notebook, name, text):
    with pytest.raises(PipelineError, match=name): check_parameters(notebook('p', parameters=LINES), {name: text}, text=True)

@pytest.mark.parametrize('name', ['counts', 'x = 1; import os', '__builtins__', 'text\n', ''])
def test_an_unknown_name_is_refused_with_the_known_ones(notebook, name):
    with pytest.raises(PipelineError) as e: check_parameters(notebook('p', parameters=LINES), {name: 1})
    assert repr(name) in e.value.what and 'A text' in e.value.fix and 'weights (list[float], [0.5])' in e.value.fix

def test_paths_are_texts(notebook, project):
    assert check_parameters(notebook('p', parameters=LINES), {'text': project})['text'] == str(project)

values = st.dictionaries(st.sampled_from(string.ascii_lowercase),
    st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.text()), min_size=1)

@given(values)
def test_injected_values_are_literals(params):
    "Whatever a value holds, the cell that papermill writes for it assigns exactly that value and does nothing else."
    nb = new_notebook(cells=[new_code_cell('a = 1', metadata={'tags': ['parameters']})], metadata={'papermill': {}})
    source = parameterize_notebook(nb, params, kernel_name='python3', language='python').cells[1].source
    body = ast.parse(source).body
    assert all(isinstance(node, ast.Assign) for node in body)
    assert {node.targets[0].id: ast.literal_eval(node.value) for node in body} == params

def test_pipelines_are_found_by_name_or_path(notebook, project, monkeypatch):
    for name,path in list_pipelines().items():
        assert find_pipeline(name) == path
        pipeline_parameters(name)
    path = notebook('mine')
    assert find_pipeline('mine.ipynb') == path and find_pipeline(path) == path
    for wrong in ('mine', '../mine', 'yours.ipynb', '', str(project)):
        with pytest.raises(PipelineError): find_pipeline(wrong)

@pytest.mark.parametrize('text', [b'', b'not a notebook', b'{}', b'[]', b'{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', b'{"cells": [{"a": 1}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', b'\xff\xfe'])
def test_a_file_that_is_no_notebook_is_refused(project, text):
    (project/'p.ipynb').write_bytes(text)
    for call in (pipeline_parameters, pipeline_title):
        with pytest.raises(PipelineError, match='p.ipynb is no notebook') as e: call(project/'p.ipynb')
        assert e.value.fix

def test_a_notebook_without_cells_has_no_title(project):
    nbformat.write(new_notebook(), project/'p.ipynb')
    assert pipeline_title(project/'p.ipynb') == ''
