"Runs that really start a kernel; few, because each takes seconds."
import json, os, signal, subprocess, sys, time
import nbformat, psutil, pytest
from bs4 import BeautifulSoup
from rmn_lora.errors import PipelineError
from rmn_lora.parallel import alone
from rmn_lora.pipelines import resume_run, run_pipeline
from rmn_lora.runs import Run, find_run, list_runs

NASTY = '''"; import os; open("planted", "w") #\n'''+"""' + open('planted', 'w') + '\\\n\\" \t\x00 \u2028 é 🛒 {braces} $HOME %s """
COMMAND = [sys.executable, '-c', 'from rmn_lora.cli import main; main()']

def rmn(*words, cwd, **env):
    "A command in a process of its own, with as little environment as cron gives."
    plain = {k: os.environ[k] for k in ('PATH', 'LD_LIBRARY_PATH', 'PYTHONPATH') if k in os.environ}
    return subprocess.Popen([*COMMAND, *map(str, words)], cwd=cwd, env=plain | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'it did not happen'
        time.sleep(.1)

def test_a_run_and_its_surroundings(project, notebook, monkeypatch):
    "Values arrive unchanged and are not executed; another python3 kernel and start-up files of the user play no part."
    kernels = project/'user'/'kernels'/'python3'
    kernels.mkdir(parents=True)
    (kernels/'kernel.json').write_text(json.dumps(dict(argv=['false'], display_name='wrong', language='python')))
    startup = project/'ipython'/'profile_default'/'startup'
    startup.mkdir(parents=True)
    (startup/'a.py').write_text('intruder = 1')
    monkeypatch.setenv('JUPYTER_DATA_DIR', str(project/'user'))
    monkeypatch.setenv('IPYTHONDIR', str(project/'ipython'))
    monkeypatch.setenv('RMN_TRAINING_THREADS', '7')
    path = notebook('echo', 'import os, sys', 'from rmn_lora.runs import results, run_folder', 'from rmn_lora.settings import load_settings',
        'results(note=note, names=names, n=1)', "results(n=2, python=sys.executable, cwd=os.getcwd(), folder=str(run_folder()), intruder='intruder' in dir(), threads=load_settings().training.threads)",
        parameters="note = ''\nnames = ['a']\nuntouched = .5")
    (project/'deep').mkdir()
    monkeypatch.chdir(project/'deep')
    run = run_pipeline(path, note=NASTY, names=[NASTY, ''], out=project/'a {strange} folder')
    assert run.results == dict(note=NASTY, names=[NASTY, ''], n=2, python=sys.executable, cwd=str(project), folder=str(run.folder), intruder=False, threads=7)
    assert not list(project.rglob('planted'))
    assert run.parameters == dict(note=NASTY, names=[NASTY, ''], untouched=.5)
    saved = Run.load(run.folder)
    assert saved == run and saved.status == 'done' and saved.settings['training.threads'] == '7' and saved.versions['rmn-lora']
    nbformat.validate(nbformat.read(run.notebook, as_version=4))
    assert 'untouched' in run.report.read_text() and list_runs() == [], 'a run with a folder of its own is not among those in runs/'

def test_a_failure_names_the_cell_and_resume_goes_on(project, notebook):
    cells = ['## Prepare', 'from rmn_lora.runs import once, results\nresults(stage=1)', "table = once('table', lambda path: path.write_text('first'))",
             '## Break', '# a comment\nvalue = 1/zero', 'never = 1']
    path = notebook('fragile', *cells, parameters='zero = 0')
    with pytest.raises(PipelineError) as e: run_pipeline(path)
    (run,) = list_runs()
    for part in ('fragile failed in cell 8', "'Break'", 'value = 1/zero', 'ZeroDivisionError: division by zero'): assert part in e.value.what
    assert str(run.report) in e.value.fix and run.folder.name in e.value.fix
    assert run.status == 'failed' and run.results == {'stage': 1} and run.error['cell'] == 8 and run.error['heading'] == 'Break'
    assert nbformat.read(run.notebook, as_version=4).cells
    report = BeautifulSoup(run.report.read_text(), 'html.parser').text
    assert 'ZeroDivisionError' in report and 'value = 1/zero' in report and 'never = 1' not in report, 'only the failed cell shows its code'
    with pytest.raises(PipelineError): resume_run(run) # nothing was mended
    assert find_run(run).attempt == 2
    notebook('fragile', *cells[:2], cells[2].replace('first', 'second'), "results(table=table.read_text(), zero=zero)", parameters='zero = 5')
    done = resume_run(run.folder.name)
    assert done.status == 'done' and done.attempt == 3 and done.error is None
    assert done.results == {'stage': 1, 'table': 'first', 'zero': 0}, 'the product and the parameters are those of the run'
    with pytest.raises(PipelineError, match='is done'): resume_run(run)

def test_a_parameter_that_vanished_is_noticed_at_resume(project, notebook):
    path = notebook('p', '1/0', parameters='a = 1')
    with pytest.raises(PipelineError): run_pipeline(path)
    notebook('p', '1', parameters='b = 1')
    with pytest.raises(PipelineError, match="no parameter 'a'"): resume_run('p')

def test_a_kernel_that_dies_is_a_failure_with_a_cell(project, notebook):
    path = notebook('mortal', '## Die', 'import os, signal', 'os.kill(os.getpid(), signal.SIGKILL)')
    with pytest.raises(PipelineError, match="under 'Die'") as e: run_pipeline(path)
    assert 'kernel died' in e.value.what and 'SIGKILL' in e.value.what and list_runs()[0].status == 'failed'

WAITING = ['import os, pathlib, time', "pathlib.Path('id').write_text(str(os.getpid()))\npathlib.Path('id').rename('kernel')", "while not pathlib.Path('go').exists(): time.sleep(.05)",
           'from rmn_lora.runs import results', 'results(went=True)']

@pytest.mark.parametrize('sent,exit_status', [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_interrupted_run_is_marked_and_can_be_resumed(project, notebook, sent, exit_status):
    notebook('slow', *WAITING)
    process = rmn('run', 'slow.ipynb', cwd=project)
    wait_for((project/'kernel').exists)
    (run,) = list_runs()
    assert run.status == 'running'
    with pytest.raises(PipelineError, match='is running'): resume_run(run)
    process.send_signal(sent)
    _,errors = process.communicate(timeout=120)
    assert process.returncode == exit_status and 'Traceback' not in errors
    if sent == signal.SIGINT: assert errors == f'Interrupted. To go on: rmn-lora run --resume {run.folder.name}\n'
    assert find_run(run).status == 'interrupted'
    wait_for(lambda: not psutil.pid_exists(int((project/'kernel').read_text())))
    (project/'go').touch()
    assert resume_run(run).results == {'went': True}

def test_as_cron_calls_it(project, notebook):
    "From another folder, without a terminal, a home or a locale."
    notebook('nightly', "## Count", "print('counting')", "open('made', 'w').close()", 'from rmn_lora.runs import results', 'results(n=n)', parameters='n = 1')
    (project/'elsewhere').mkdir()
    process = rmn('run', project/'nightly.ipynb', '-p', 'n=3', cwd=project/'elsewhere', RMN_ROOT=str(project))
    output,errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, ''), errors
    assert '› Count' in output and '  counting\n' in output and 'n = 3' in output and '\x1b' not in output
    (run,) = list_runs()
    assert str(run.report) in output and (project/'made').exists()

def test_a_failing_cell_from_a_shell(project, notebook):
    notebook('bad', "raise ValueError('the reason')")
    process = rmn('run', 'bad.ipynb', cwd=project)
    _,errors = process.communicate(timeout=120)
    assert process.returncode == 1 and 'Traceback' not in errors
    assert 'ValueError: the reason' in errors and 'rmn-lora run --resume' in errors

CHECKS = "from rmn_lora.errors import DatasetError\nif n < 1: raise DatasetError(f'n is {n}.', 'Give 1 or more.')\nopen('checked', 'a').close()"

def test_a_value_that_the_pipeline_itself_refuses_leaves_no_run(project, notebook):
    path = notebook('p', 'open("made", "w").close()', parameters='n = 1', checks=CHECKS)
    with pytest.raises(PipelineError) as e: run_pipeline(path, n=0)
    assert str(e.value) == 'p: n is 0. Give 1 or more.' and list_runs() == [] and not list(project.glob('runs/*')) and not (project/'made').exists()

def test_a_mistake_in_the_checks_is_a_failed_cell(project, notebook):
    path = notebook('p', parameters='n = 1', checks='n/0')
    with pytest.raises(PipelineError, match='p failed in cell 4'): run_pipeline(path)
    notebook('p', parameters='n = 1', checks=CHECKS.replace('n < 1', 'n == 1'))
    with pytest.raises(PipelineError, match='n is 1.'): resume_run('p')
    assert list_runs()[0].attempt == 2, 'what a run has made stays'

def test_what_to_resume_is_named_so_that_it_is_found(project, notebook):
    path = notebook('p', '1/0', parameters='a = 1')
    with pytest.raises(PipelineError) as e: run_pipeline(path, out=project/'my run')
    assert e.value.fix.endswith(f"rmn-lora run --resume '{project}/my run'")
    notebook('p', '1', parameters='a = 1')
    assert resume_run(project/'my run').status == 'done'

def test_problems_are_an_exit_status(project, notebook):
    notebook('half', 'from rmn_lora.runs import results', "results(n=1, problems=['the second half is missing'] if ask else [])", parameters='ask = True')
    process = rmn('run', 'half.ipynb', cwd=project)
    output,errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (1, 'the second half is missing\n') and 'n = 1' in output and list_runs()[0].status == 'done'
    process = rmn('run', 'half.ipynb', '-p', 'ask=false', cwd=project)
    process.communicate(timeout=120)
    assert process.returncode == 0

def test_a_run_is_resumed_once_at_a_time(project, notebook):
    path = notebook('fragile', '## Break', 'value = 1/zero', parameters='zero = 0')
    with pytest.raises(PipelineError): run_pipeline(path)
    (run,) = list_runs()
    with alone(run.folder, ValueError()), pytest.raises(PipelineError, match='is running'): resume_run(run)
    assert find_run(run).status == 'failed' and find_run(run).attempt == 1
