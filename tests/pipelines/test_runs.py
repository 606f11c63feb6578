import json, os
import numpy as np, pytest
from rmn_lora.errors import PipelineError
from rmn_lora.pipelines import _new_folder
from rmn_lora.runs import FIGURES, Run, compare_runs, find_run, list_runs, once, results, run_folder, write_json

def make_run(project, folder, results=None, **record):
    run = Run(project/'runs'/folder, 'p', 'p.ipynb', **{'parameters': {}, 'settings': {}, 'versions': {}, 'status': 'done'} | record)
    run.folder.mkdir(parents=True)
    run.save()
    if results is not None: write_json(run.folder/'results.json', results)
    return run

def test_a_record_comes_back_whole(project):
    run = make_run(project, 'a-p', results={'x': 1}, parameters={'s': 'ä', 'n': [1]}, error={'cell': 3}, seconds=1.5, attempt=2)
    assert Run.load(run.folder) == run and run.results == {'x': 1}

def test_a_running_run_is_believed_while_its_process_lives(project):
    assert Run.load(make_run(project, 'a', status='running').folder).status == 'running'
    assert Run.load(make_run(project, 'b', status='running', process=[os.getpid(), 0.]).folder).status == 'interrupted'
    assert Run.load(make_run(project, 'c', status='running', process=[2**22 + 1, 0.]).folder).status == 'interrupted'

def test_runs_are_listed_newest_first_from_anywhere(project, monkeypatch):
    make_run(project, '1-p', started='2025-01-01T00:00:00+00:00')
    make_run(project, '2-p', started='2025-01-02T00:00:00+00:00')
    (project/'runs'/'not a run').mkdir()
    (project/'deep'/'er').mkdir(parents=True)
    monkeypatch.chdir(project/'deep'/'er')
    assert [r.folder.name for r in list_runs()] == ['2-p', '1-p']

def test_a_run_is_found_by_name_part_or_path(project, monkeypatch):
    a,ab = make_run(project, 'a-p'),make_run(project, 'a-p-2')
    assert find_run('a-p').folder == a.folder and find_run('p-2').folder == ab.folder
    assert find_run(a.folder) == find_run('runs/a-p') == find_run(a) == a
    with pytest.raises(PipelineError, match='2 runs'): find_run('a-')
    with pytest.raises(PipelineError) as e: find_run('c')
    assert 'a-p-2' in e.value.fix
    for strange in ('..', '/', '', '../..'):
        with pytest.raises(PipelineError): find_run(strange)

def test_without_runs_nothing_breaks(project):
    assert list_runs() == []
    with pytest.raises(PipelineError, match='No runs'): find_run('a')

def test_comparison(project):
    a = make_run(project, 'a', results={'f1': {'ours': .5, 'n': None}, 'only_a': 1, 'flag': True}, parameters={'n': 1, 't': 'x'}, settings={'m.d': 'fp32', 'm.e': 'x'}, versions={'torch': '1'})
    b = make_run(project, 'b', results={'f1': {'ours': .75, 'n': 3}, 'only_b': 2, 'flag': False}, parameters={'n': 3, 't': 'x'}, settings={'m.d': 'nf4', 'm.e': 'x'}, versions={'torch': '2'})
    rows = {r.name: r for r in compare_runs(a, b).rows}
    assert (rows['n'].a, rows['n'].b, rows['n'].change) == (1, 3, 2)
    assert rows['f1.ours'].change == .25 and rows['f1.n'].change is None
    assert (rows['only_a'].b, rows['only_b'].a) == (None, None)
    assert rows['flag'].change is None, 'truth values are not numbers'
    assert rows['t'].change is None and 't' in rows, 'equal parameters are shown'
    assert 'm.d' in rows and 'm.e' not in rows, 'equal settings are not'
    assert '| +0.25 |' in compare_runs(a, b)._repr_markdown_()

def test_how_intervals_were_made_is_compared_where_it_differs(project):
    a, b, c = (make_run(project, name, results={'exact': dict(estimate=.5, method=method, confidence=.95)}) for name, method in (('a', 'Wilson'), ('b', 'Wilson'), ('c', 'bootstrap')))
    assert [r.name for r in compare_runs(a, b).rows if r.kind == 'results'] == ['exact.estimate']
    assert [r.name for r in compare_runs(a, c).rows if r.kind == 'results'] == ['exact.estimate', 'exact.method']

def test_results_are_plain_json(capture_display):
    results(a=np.float32(.5), b=np.int64(3), c={'lo': None}, d=[1, 'x'])
    assert capture_display[0][FIGURES] == [('a', .5), ('b', 3), ('c', {'lo': None}), ('d', [1, 'x'])], 'in the order in which they were stated'
    json.dumps(capture_display[0][FIGURES], allow_nan=False)

@pytest.mark.parametrize('value', [float('nan'), float('inf'), np.float64('nan'), object(), {1, 2}, np.array([1, 2])])
def test_results_that_json_cannot_hold_are_refused(value, capture_display):
    with pytest.raises(PipelineError, match='figure share'): results(share=value)
    assert not capture_display

@pytest.mark.parametrize('value', [3, 'one', [1], None])
def test_problems_are_texts(value, capture_display):
    with pytest.raises(PipelineError, match='problems'): results(problems=value)
    results(problems=['one'])

@pytest.fixture
def capture_display(monkeypatch):
    shown = []
    monkeypatch.setattr('IPython.display.display', lambda data, raw: shown.append(data))
    return shown

def test_once_in_a_run_and_outside(project, monkeypatch):
    calls = []
    def make(path):
        calls.append(path.name)
        path.mkdir()
        (path/'x').write_text(str(len(calls)))
    once('product', make)
    assert (once('product', make)/'x').read_text() == '2', 'outside a run, a product is never reused'
    assert run_folder() == project/'runs'/'interactive'
    monkeypatch.setenv('RMN_RUN', str(project/'runs'/'r'))
    assert once('product', make) == once('product', make) == project/'runs'/'r'/'product'
    assert len(calls) == 3
    with pytest.raises(PipelineError, match='wrote nothing'): once('other', lambda path: None)

def test_runs_of_the_same_second_have_folders_of_their_own(project):
    folders = {_new_folder('p', None) for _ in range(5)}
    assert len(folders) == 5 and all(f.parent == project/'runs' for f in folders)

def test_out_must_be_empty(project):
    assert _new_folder('p', 'a/b') == project/'a'/'b'
    (project/'a'/'b'/'file').touch()
    with pytest.raises(PipelineError, match='not empty'): _new_folder('p', 'a/b')

def test_a_json_file_is_never_half_written(project):
    path = project/'x.json'
    write_json(path, {'a': 1})
    with pytest.raises(TypeError): write_json(path, {'a': object()})
    assert json.loads(path.read_text()) == {'a': 1}

@pytest.mark.parametrize('text', ['', '{"name": ', '{}', '[]', 'null', '{"name": 1}', b'\xff'])
def test_a_broken_record_breaks_no_other(project, text):
    good,bad = make_run(project, 'good', results={'x': 1}),make_run(project, 'bad')
    (bad.folder/'run.json').write_bytes(text if isinstance(text, bytes) else text.encode())
    assert {r.folder.name: r.status for r in list_runs()} == {'good': 'done', 'bad': 'unreadable'}
    assert find_run('good') == good and compare_runs('good', 'good').rows
    for call in (lambda: Run.load(bad.folder), lambda: find_run('bad'), lambda: find_run(bad.folder), lambda: compare_runs('good', 'bad')):
        with pytest.raises(PipelineError, match='bad/run.json') as e: call()
        assert e.value.fix

@pytest.mark.parametrize('text', ['', '{"x": ', '[1]'])
def test_broken_results_are_named(project, text):
    make_run(project, 'a', results={'x': 1})
    (make_run(project, 'b').folder/'results.json').write_text(text)
    assert len(list_runs()) == 2
    with pytest.raises(PipelineError, match='b/results.json'): compare_runs('a', 'b')

def test_a_folder_that_cannot_be_made_is_refused(project, monkeypatch):
    (project/'file').touch()
    for out in ('file', 'file/deep'):
        with pytest.raises(PipelineError, match=out) as e: _new_folder('p', out)
        assert e.value.fix
    monkeypatch.setenv('RMN_PATHS_RUNS', str(project/'file'/'runs'))
    with pytest.raises(PipelineError, match='file/runs'): _new_folder('p', None)
