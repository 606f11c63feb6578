import os, subprocess, sys
import nbformat, pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.testing import CliRunner
import typer
from rmn_lora.cli import app
from rmn_lora.runs import Run, write_json

@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path/'settings.ini').touch()
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith('RMN_')]: monkeypatch.delenv(name)
    return tmp_path

def rmn(*words): return CliRunner().invoke(app, [str(w) for w in words])

COMMANDS = sorted(typer.main.get_command(app).commands)

@pytest.mark.parametrize('command', COMMANDS)
def test_each_command_explains_itself_with_an_example(project, command):
    r = rmn(command, '--help')
    assert r.exit_code == 0 and 'Example:' in r.output and f'rmn-lora {command}' in r.output

def test_help_and_version_load_nothing_heavy():
    code = "import sys, rmn_lora.cli; from typer.testing import CliRunner; assert CliRunner().invoke(rmn_lora.cli.app, ['--help']).exit_code == 0; print(*sys.modules)"
    loaded = {m.split('.')[0] for m in subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout.split()}
    assert not loaded & {'torch', 'transformers', 'polars', 'papermill', 'nbformat', 'nbconvert', 'altair', 'scipy', 'numpy', 'pydantic', 'IPython'}

def test_version(): assert rmn('--version').output.startswith('rmn-lora ')

def test_a_mistyped_command_is_2(project):
    assert rmn('runn').exit_code == 2 and rmn('run').exit_code == 2 and rmn('run', 'a', '--resume', 'b').exit_code == 2 and rmn('compare', 'a').exit_code == 2
    assert rmn('run', '--resume', 'b', '-p', 'a=1').exit_code == 2

def test_an_error_is_words_on_stderr(project, monkeypatch):
    (project/'settings.ini').write_text('[model]\ndevice = gpu\n')
    r = rmn('settings')
    assert r.exit_code == 1 and r.stdout == '' and r.stderr == "settings.ini: [model] device is 'gpu'.\nOne of auto, cpu, cuda.\n"
    monkeypatch.setenv('RMN_DEBUG', '1')
    assert type(rmn('settings').exception).__name__ == 'SettingsError'

def test_settings_show_their_origin(project, monkeypatch):
    monkeypatch.setenv('RMN_MODEL_DEVICE', 'cpu')
    line = next(l for l in rmn('settings').output.splitlines() if 'model.device' in l).split()
    assert line[:3] == ['model.device', 'cpu', 'RMN_MODEL_DEVICE']
    (project/'settings.ini').write_text(rmn('settings', '--example').stdout)
    assert rmn('settings').exit_code == 0

def test_pipelines_are_listed_with_their_parameters(project):
    from rmn_lora.pipelines import list_pipelines, pipeline_parameters
    output = rmn('pipelines').output
    for name,path in list_pipelines().items():
        assert f'\n{name}: ' in f'\n{output}'
        for p in pipeline_parameters(path): assert f'-p {p.name}=' in output

@pytest.mark.parametrize('words,message', [(['nothing'], "No pipeline is called 'nothing'"), (['train_adaptor'], 'Did you mean train_adapter?'), (['p.ipynb', '-p', 'n'], '-p n has no value'), (['p.ipynb', '-p', 'n=x'], "n is 'x', but takes int"),
                                           (['p.ipynb', '-p', 'm=1'], "no parameter 'm'"), (['p.ipynb', '--out', '.'], 'not empty'), (['p.ipynb', '--out', 'p.ipynb'], 'p.ipynb cannot be'), (['broken.ipynb'], 'broken.ipynb is no notebook'),
                                           (['p.ipynb', '-p', 'n=1', '-p', 'n=2'], "-p n is given twice, as '1' and as '2'"), (['--resume', 'x'], "No runs are called 'x'")])
def test_what_is_refused_before_anything_starts(project, words, message):
    cells = [new_markdown_cell('# p'), new_code_cell('n = 1', metadata={'tags': ['parameters']})]
    nbformat.write(new_notebook(cells=cells), project/'p.ipynb')
    (project/'broken.ipynb').write_text('not JSON')
    r = rmn('run', *words)
    assert r.exit_code == 1 and isinstance(r.exception, SystemExit) and message in r.stderr and not (project/'runs').exists()

def test_figures_are_printed_as_people_read_them(project):
    code = 'from rmn_lora.runs import results\nfrom rmn_lora.stats.fixed_horizon import wilson\nhalf = wilson(32, 64).to_dict()\nresults(half=half, table=dict(rows=3, share=half), names=["a"], none={})'
    nbformat.write(new_notebook(cells=[new_markdown_cell('# p'), new_code_cell('n = 1', metadata={'tags': ['parameters']}), new_code_cell(code)]), project/'p.ipynb')
    said = '.500 [.381, .619] n=64' # statsmodels.stats.proportion.proportion_confint(32, 64, method='wilson')
    assert f"half = {said}\ntable = rows: 3; share: {said}\nnames = ['a']\nnone = {{}}\n" in rmn('run', 'p.ipynb').output

def test_tours_are_the_projects(project):
    assert rmn('tour').exit_code == 1 and 'There are no tours yet' in rmn('tour').stderr
    (project/'nbs'/'tours').mkdir(parents=True)
    cells = [new_markdown_cell('# Loop\n\n> Once around.'), new_code_cell('', metadata={'tags': ['parameters']}), new_code_cell('from rmn_lora.runs import results\nresults(went=1)')]
    nbformat.write(new_notebook(cells=cells), project/'nbs'/'tours'/'loop.ipynb')
    assert rmn('tour').output == 'loop: Once around.\n'
    assert 'loop' in rmn('tour', 'lop').stderr
    r = rmn('tour', 'loop', '--out', 'here')
    assert r.exit_code == 0 and 'went = 1' in r.output and (project/'here'/'loop.html').exists()

def test_runs_and_compare(project):
    for name,value in ('a', 1), ('b', 3):
        run = Run(project/'runs'/name, 'p', 'p.ipynb', {'text': '[bold]x[/bold]'}, settings={}, versions={}, status='done')
        run.folder.mkdir(parents=True)
        run.save()
        write_json(run.folder/'results.json', {'score': value})
    assert 'text=[bold]x[/bold]' in rmn('runs').output, 'what looks like markup is shown as it is'
    lines = [l.split() for l in rmn('compare', 'a', 'b').output.splitlines()]
    assert ['results', 'score', '1', '3', '+2'] in lines
    assert rmn('compare', 'a', 'c').exit_code == 1

def test_the_installed_command(project):
    r = subprocess.run([os.path.join(os.path.dirname(sys.executable), 'rmn-lora'), 'runs', 'too many'], check=False, capture_output=True, text=True)
    assert r.returncode == 2 and 'Usage: rmn-lora runs' in r.stderr

def test_a_list_may_be_given_in_parts(project):
    from rmn_lora.cli import _text_parameters
    cells = [new_code_cell("inputs = ['data']\nn = 1", metadata={'tags': ['parameters']})]
    nbformat.write(new_notebook(cells=cells), project/'p.ipynb')
    assert _text_parameters('p.ipynb', ['inputs=a', 'n=2', 'inputs=b,c']) == {'inputs': 'a,b,c', 'n': '2'}

@pytest.mark.parametrize('value', ['file', '~no-such-user'])
def test_runs_that_can_be_no_folder(project, monkeypatch, value):
    (project/'file').touch()
    monkeypatch.setenv('RMN_PATHS_RUNS', value)
    for words in (['runs'], ['compare', 'a', 'b'], ['run', '--resume', 'a']):
        r = rmn(*words)
        assert r.exit_code == 1 and isinstance(r.exception, SystemExit) and 'RMN_PATHS_RUNS' in r.stderr

def test_a_broken_run_is_listed_among_the_others(project):
    for name in 'ab':
        run = Run(project/'runs'/name, 'p', 'p.ipynb', {}, settings={}, versions={}, status='done')
        run.folder.mkdir(parents=True)
        run.save()
    (project/'runs'/'b'/'run.json').write_text('')
    (project/'runs'/'a'/'results.json').write_text('{')
    assert [l.split()[:2] for l in rmn('runs').output.splitlines() if l.split()[:1] in (['a'], ['b'])] == [['a', 'done'], ['b', 'unreadable']]
    for words,file in ((['compare', 'a', 'a'], 'a/results.json'), (['compare', 'a', 'b'], 'b/run.json'), (['run', '--resume', 'b'], 'b/run.json')):
        r = rmn(*words)
        assert r.exit_code == 1 and isinstance(r.exception, SystemExit) and file in r.stderr

def test_a_broken_tour(project):
    (project/'nbs'/'tours').mkdir(parents=True)
    (project/'nbs'/'tours'/'x.ipynb').write_text('{}')
    r = rmn('tour')
    assert r.exit_code == 1 and isinstance(r.exception, SystemExit) and 'x.ipynb is no notebook' in r.stderr

def test_harmonizing_into_a_file(project):
    (project/'file').touch()
    (project/'r.csv').write_text('a,b\n1,2\n')
    r = rmn('harmonize', 'r.csv', '--out', 'file')
    assert isinstance(r.exception, SystemExit) and r.exit_code in (1, 2) and 'file' in r.stderr

def test_dialects_of_ones_own_stand_beside_the_others(project):
    (project/'exports').mkdir()
    (project/'exports/shop.csv').write_text('Tag;Werbekosten;Umsatz 14 Tage;Klicks\n' + ''.join(f'{d}.09.2026;{d}.50;{d}0.00;{d}\n' for d in range(13, 29)))
    (project/'exports/w.csv').write_text('date,campaignId,itemId,numAdsShown,numAdsClicks,adSpend,attributedSales14days\n2026-09-01,1,2,100,3,1.00,5.00\n')
    (project/'shop.yaml').write_text('network: shop\ntitle: Shop\ndate_order: dmy\ncolumns:\n' + ''.join(f'  - {{name: {n}, field: {f}, unit: {u}, status: told{more}}}\n' for n,f,u,more in (
        ('Tag', 'event_date', 'date', ''), ('Werbekosten', 'spend', 'currency', ''), ('Klicks', 'clicks', 'count', ''), ('Umsatz 14 Tage', 'attributed.sales', 'currency', ', window_days: 14, basis: click, ntb: false'))))
    given = [w for pair in ('shop.currency=USD', 'shop.product_match=total') for w in ('--given', pair)]
    done = rmn('harmonize', 'exports', '--dialect', 'shop.yaml', '--out', 'tables', *given)
    assert done.exit_code == 0 and 'Refused' not in done.stdout and 'in place of' not in done.stdout, done.output
    assert 'in place of' in rmn('harmonize', 'exports', '--dialect', 'shop.yaml', '--out', 'tables').stdout
    alone = rmn('comparable', 'exports/shop.csv', '--network', 'shop.yaml', *given)
    assert alone.exit_code == 0 and 'adds 1 kind of sales' in alone.stdout and 'channel unknown' in alone.stdout.replace('\n', ' ') and 'restated_days' in alone.stdout, alone.output
