"What the tests share."
import shutil, sys
from pathlib import Path
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'.ci'))

# No test asserts a time, and fixtures given to examples hold nothing that an example changes for the next.
# Where CI is set, as .ci/run does, hypothesis draws the same examples every time; elsewhere it looks for new ones.
settings.register_profile('workbench', deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile('workbench')

# made at run time, in the project's root folder only: rmn_lora/adapters is no less the project than the rest
MADE = {'.git','.venv','.work','adapters','runs','_docs','_proc','build','dist','.pytest_cache','.mypy_cache','.ruff_cache','.hypothesis'}

def _skip(folder, names):
    return [n for n in names if n in ('__pycache__','.ipynb_checkpoints') or n.endswith('.egg-info') or (Path(folder) == ROOT and n in MADE)]

@pytest.fixture(scope='session')
def copy_project():
    "Copies the project to a new folder, without what was made at run time."
    def copy(to:Path) -> Path: return Path(shutil.copytree(ROOT, to, symlinks=True, ignore=_skip))
    return copy

@pytest.fixture
def project(tmp_path:Path, copy_project) -> Path:
    "A copy of the project in which a test may change files."
    return copy_project(tmp_path/'project')
