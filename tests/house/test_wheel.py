"The wheel: it has what the package needs, and works where nothing else is installed."
import os, subprocess, sys, zipfile
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = 'torch','transformers','peft','trl','nbdev'

def call(*command, cwd:Path, **env) -> subprocess.CompletedProcess:
    "Run a command that has to succeed; what it said is in the failure."
    clean = {k: v for k,v in os.environ.items() if not k.startswith(('RMN_','PYTHON'))}
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, env=clean | env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done

@pytest.fixture(scope='module')
def wheel(tmp_path_factory, copy_project) -> Path:
    "Built by way of the source distribution, as it would be published."
    folder = tmp_path_factory.mktemp('wheel')
    project = copy_project(folder/'project')
    call(sys.executable, '-m', 'build', '--no-isolation', '--outdir', folder, project, cwd=folder)
    return next(folder.glob('*.whl'))

@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory) -> Path:
    "The bin folder of an environment with the wheel and its core dependencies."
    folder = tmp_path_factory.mktemp('empty')
    call(sys.executable, '-m', 'venv', 'venv', cwd=folder)
    call(folder/'venv/bin/python', '-m', 'pip', 'install', '--quiet', '--no-compile', '-c', ROOT/'constraints.txt', wheel, cwd=folder)
    return folder/'venv/bin'

def names(wheel:Path) -> set[str]: return set(zipfile.ZipFile(wheel).namelist())

def files(*folders:str) -> set[str]:
    "The files of the package in folders of the project, as the wheel names them."
    return {str(p.relative_to(ROOT)) for f in folders for p in (ROOT/f).rglob('*') if p.is_file() and not p.name.startswith('.') and '__pycache__' not in p.parts and '.ipynb_checkpoints' not in p.parts}

def test_everything_of_the_package_is_in_the_wheel(wheel):
    assert {n for n in names(wheel) if n.startswith('rmn_lora/')} == files('rmn_lora') | files('rmn_lora/assets/pipelines')

@pytest.mark.parametrize('pattern', ['rmn_lora/py.typed', 'rmn_lora/assets/dialects/*.yaml', 'rmn_lora/assets/pipelines/*.ipynb', 'rmn_lora/assets/base/*.safetensors', 'rmn_lora/assets/adapters/.aliases/*.json'])
def test_assets_are_in_the_wheel(wheel, pattern): assert [n for n in names(wheel) if Path(n).match(pattern)]

def test_nothing_else_is_in_the_wheel(wheel): assert {n.partition('/')[0].partition('-')[0] for n in names(wheel)} == {'rmn_lora'}

def test_the_command_works_alone(installed, tmp_path):
    said = call(installed/'rmn-lora', '--help', cwd=tmp_path).stdout
    assert 'run' in said and 'settings' in said

def test_the_core_is_light(installed, tmp_path):
    said = call(installed/'python', '-m', 'pip', 'list', '--format=freeze', cwd=tmp_path).stdout
    assert not {line.partition('==')[0].lower() for line in said.splitlines()} & set(HEAVY)

def test_pipelines_are_found_in_the_installed_package(installed, tmp_path):
    code = 'import rmn_lora.pipelines as p; print(p.PIPELINES); print(*p.list_pipelines())'
    folder,pipelines = call(installed/'python', '-c', code, cwd=tmp_path).stdout.splitlines()
    assert Path(folder).is_relative_to(installed.parent)
    assert 'harmonize' in pipelines.split()

def test_the_lower_floors_import_without_extras(installed, tmp_path):
    lower = [str(p.relative_to(ROOT).with_suffix('')).replace('/', '.') for f in ('rmis','stats','storage','services') for p in (ROOT/'rmn_lora'/f).glob('*.py') if p.name != '__init__.py']
    call(installed/'python', '-c', f'import {", ".join([*lower, "rmn_lora.cli", "rmn_lora.pipelines"])}', cwd=tmp_path)

def test_evidence_is_kept_without_extras(installed, tmp_path):
    "Migrations travel with the package: a database from nothing, a request, and what is shown of it."
    code = "from rmn_lora.storage.database import init_db\ninit_db('sqlite:///x.db')\nfrom rmn_lora.services import get_analytics\na = get_analytics(); a.record_request('a','task',3.,True)\nprint(a.get_adapter_metrics('a').total_requests)"
    assert call(installed/'python', '-c', code, cwd=tmp_path).stdout.strip() == '1'
