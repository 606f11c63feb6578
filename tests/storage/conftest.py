"Three real databases, each test with one of its own. A server that is not there is said to be missing."
import os, uuid

import pytest
from sqlalchemy import text

from rmn_lora.storage.database import Database, migrate

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
