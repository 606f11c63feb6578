"The set-up, with a Python that only writes down what it is asked to do."
import os, shutil, subprocess
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = 'bash','grep','cat','cksum','rm','touch','uname','id','dirname','mkdir','cp','chmod'
FAKE = '''#!/usr/bin/env bash
case "$*" in
    *version_info*\\ \\<*) exit {old};;
    *ensurepip*) exit {no_venv};;
    --version) echo "Python {name}";;
    *version_info*) echo 3.12;;
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo "command = x -m venv $PWD/$3" > $3/pyvenv.cfg; echo "venv by {name}" >> "$LOG";;
    *"pip --disable"*--version) exit 0;;
    "-m pip "*) said="$*"; echo "${{said#-m pip --disable-pip-version-check }}" >> "$LOG"; [ -z "${{PIP_FAILS:-}}" ];;
esac
'''

class Machine:
    "A folder with a copy of the set-up, and the only programs that it finds."
    def __init__(self, folder:Path):
        self.project,self.bin,self.log = folder/'project',folder/'bin',folder/'log'
        (self.project/'.ci').mkdir(parents=True)
        self.bin.mkdir()
        for name in ('pyproject.toml','constraints.txt','.ci/setup','.ci/browser.py'): shutil.copy(ROOT/name, self.project/name)
        for name in TOOLS: (self.bin/name).symlink_to(shutil.which(name) or name)
        self.program('uname', 'echo Linux')

    def program(self, name:str, text:str):
        (self.bin/name).unlink(missing_ok=True)
        (self.bin/name).write_text(text if text.startswith('#!') else f'#!/usr/bin/env bash\n{text}\n')
        (self.bin/name).chmod(0o755)

    def python(self, name:str, old=0, no_venv=0): self.program(name, FAKE.format(name=name, old=old, no_venv=no_venv))

    def setup(self, *args, **env) -> tuple[int,str,list[str]]:
        "Exit status, what was said, and what Python did."
        self.log.write_text('')
        done = subprocess.run(['bash', '.ci/setup', *args], cwd=self.project, env=dict(PATH=str(self.bin), LOG=str(self.log)) | env, capture_output=True, text=True)
        return done.returncode,done.stdout + done.stderr,self.log.read_text().splitlines()

@pytest.fixture
def machine(tmp_path): return Machine(tmp_path)

def test_sets_up_once(machine):
    machine.python('python3')
    status,said,did = machine.setup()
    assert status == 0, said
    assert did[0] == 'venv by python3' and '--editable .[lora,serve,databases,docs,dev]' in did[-2] and did[-1] == 'check'
    assert all('-c constraints.txt' in line for line in did if line.startswith('install'))
    assert machine.setup() == (0, '', [])

@pytest.mark.parametrize('name', ['pyproject.toml', 'constraints.txt'])
def test_installs_again_into_the_same_environment_when_pins_change(machine, name):
    machine.python('python3')
    machine.setup()
    with open(machine.project/name, 'a') as f: f.write('# changed\n')
    did = machine.setup()[2]
    assert did and not did[0].startswith('venv')

def test_what_an_interruption_left_is_made_anew(machine):
    machine.python('python3')
    assert machine.setup(PIP_FAILS='1')[0] != 0
    assert machine.setup()[2][0] == 'venv by python3'
    assert machine.setup()[2] == []

def test_a_venv_without_pip_is_made_anew(machine):
    machine.python('python3')
    (machine.project/'.venv/bin').mkdir(parents=True)
    assert machine.setup()[2][0] == 'venv by python3'

def test_a_moved_project_gets_an_environment_of_its_own(machine):
    machine.python('python3')
    machine.setup()
    machine.project = machine.project.rename(machine.project.with_name('moved'))
    assert machine.setup()[2][0] == 'venv by python3'

def test_an_old_python_is_passed_over(machine):
    machine.python('python3', old=1)
    machine.python('python3.12')
    assert machine.setup()[2][0] == 'venv by python3.12'

def test_the_python_that_was_named_comes_first(machine):
    machine.python('python3')
    machine.python('mine')
    assert machine.setup(PYTHON='mine')[2][0] == 'venv by mine'

def test_no_python_is_said(machine):
    machine.python('python3', old=1)
    status,said,did = machine.setup()
    assert status != 0 and 'Python 3.11' in said and did == []

def test_a_python_without_venv_is_said(machine):
    machine.python('python3', no_venv=1)
    machine.program('id', 'echo 1000')
    status,said,did = machine.setup()
    assert status != 0 and 'apt-get install python3.12-venv' in said and did == []

def test_root_installs_what_venv_needs(machine):
    machine.python('python3', no_venv=1)
    machine.program('id', 'echo 0')
    machine.program('apt-get', 'echo "apt-get $*" >> "$LOG"')
    assert machine.setup()[2][1:3] == ['apt-get install -y -qq --no-install-recommends python3.12-venv', 'venv by python3']

def torch(did:list[str]) -> list[str]: return [line for line in did if 'torch==' in line]

def test_without_a_gpu_only_the_cpu_build_is_asked_for(machine):
    machine.python('python3')
    line, = torch(machine.setup()[2])
    assert line.endswith('+cpu') and 'https://download.pytorch.org/whl/cpu' in line

def test_with_a_gpu_torch_comes_as_it_is(machine):
    machine.python('python3')
    machine.program('nvidia-smi', 'echo "GPU 0"')
    assert torch(machine.setup()[2]) == []

def test_elsewhere_than_on_linux_torch_comes_as_it_is(machine):
    machine.python('python3')
    machine.program('uname', 'echo Darwin')
    assert torch(machine.setup()[2]) == []

def test_an_unreachable_cpu_build_ends_it(machine):
    machine.python('python3')
    status,said,did = machine.setup(PIP_FAILS='1')
    assert status != 0 and 'download.pytorch.org' in said and len(did) == 2, 'nothing is installed after it'

def test_the_pins_name_every_extra(machine):
    import re, tomllib
    project = tomllib.loads((ROOT/'pyproject.toml').read_text())['project']
    def name(requirement): return re.sub('[-_.]+', '-', re.match(r'[\w.-]+', requirement)[0].lower())
    pinned = {name(line) for line in (ROOT/'constraints.txt').read_text().splitlines() if not line.startswith('#')}
    extras = project['optional-dependencies']
    assert {name(r) for rs in [project['dependencies'], *extras.values()] for r in rs} - pinned == {'rmn-lora'}
    assert extras['all'] == [f"rmn-lora[{','.join(e for e in extras if e != 'all')}]"]

def test_help_names_every_target():
    targets = [line.partition(':')[0] for line in (ROOT/'Makefile').read_text().splitlines() if ': ' in line and '## ' in line and not line.startswith(('#','\t'))]
    said = subprocess.run(['make', '--no-print-directory'], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ | {'MAKEFLAGS': ''}).stdout
    assert {'demo','test','check','lab','docs','bench','tours','help'} <= set(targets)
    assert [t for t in targets if f'make {t} ' not in said] == []
