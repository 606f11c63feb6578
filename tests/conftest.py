"What the tests share."
import os, shutil, sys, uuid
from pathlib import Path
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import text
from rmn_lora.storage.database import Database, migrate

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

# Three real databases, each test with one of its own. A server that is not there is said to be missing.
SERVERS = dict(postgresql=os.environ.get('RMN_TEST_POSTGRESQL','postgresql://127.0.0.1/postgres'), mariadb=os.environ.get('RMN_TEST_MARIADB','mariadb://root@127.0.0.1/'))

def made(kind:str, folder)->Database:
    "An empty database."
    if kind=='sqlite': return Database(f'sqlite:///{folder}/test.db')
    server = Database(SERVERS[kind])
    try:
        with server.engine.execution_options(isolation_level='AUTOCOMMIT').connect() as c: c.execute(text(f'CREATE DATABASE {(name := "rmn_"+uuid.uuid4().hex[:12])}'))
    except Exception as e: pytest.skip(f'{kind} cannot be reached at {server}: {str(e).splitlines()[0]:.120}')
    finally: server.close()
    return Database(server.url.set(database=name))

def dropped(db:Database)->None:
    db.close()
    if db.dialect!='sqlite':
        with Database(db.url.set(database='postgres' if db.dialect=='postgresql' else '')) as server, server.engine.execution_options(isolation_level='AUTOCOMMIT').connect() as c:
            c.execute(text(f'DROP DATABASE {db.url.database}'+(' WITH (FORCE)' if db.dialect=='postgresql' else '')))

@pytest.fixture(params=['sqlite','postgresql','mariadb'])
def empty(request, tmp_path):
    db = made(request.param, tmp_path)
    yield db
    dropped(db)

@pytest.fixture
def db(empty):
    migrate(empty)
    return empty

@pytest.fixture
def sqlite(tmp_path):
    with Database(f'sqlite:///{tmp_path}/test.db') as db:
        migrate(db)
        yield db
