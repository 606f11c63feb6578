"storage.models and storage.database: the same tests on SQLite, PostgreSQL and MariaDB."
import multiprocessing, os, socket, subprocess, sys, threading
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from rmn_lora.errors import StorageError
from rmn_lora.storage import access, models as m
from rmn_lora.storage.database import Database, get_db, health, init_db, migrate, newest, revision

def test_from_empty_to_the_newest(empty):
    assert not health(empty)['ok'] and revision(empty) is None
    migrate(empty)
    assert health(empty)['ok'] and revision(empty)==newest()
    with empty.connect() as c: assert compare_metadata(MigrationContext.configure(c),m.Base.metadata)==[]
    migrate(empty)

def test_a_newer_database_is_left_alone(db):
    with db.connect() as c: c.execute(text("UPDATE alembic_version SET version_num='9999'"))
    with pytest.raises(StorageError, match='9999'): migrate(db)

def rows():
    "One row of every table, those that others refer to first."
    return [access.Credential(key_id='k',digest='0'*64,name='site',tenants=['acme'],scopes=['infer'],expires_at=m.now()),m.Tenant(tenant_id='t'), m.Retailer(retailer_id='walmart',name='Walmart',api_endpoint='https://api.walmart.com',schema_mapping={'spend':'cost'}),
        m.Brand(brand_id='acme',name='Äcmé 🛒',tenant_id='t'), m.Campaign(campaign_id='c',brand_id='acme',retailer_id='walmart',budget=Decimal('1234.5600'),objectives=['roas'],constraints={'max':[1,None]},starts_on=date(2026,1,2)),
        m.SKUCatalog(retailer_id='walmart',sku='0001',brand_id='acme',upc='036000291452'), m.AudienceSegment(segment_id='s',definition={'age':[18,34]},reach=3_000_000_000),
        m.PerformanceMetric(campaign_id='c',day=date(2026,1,2),metric='sales',value=Decimal('12.3400'),currency='USD',attribution={'window_days':14}), m.AdapterVersion(version='sha256:1',adapter_id='a',kind='task',base='sha256:b'),
        m.Experiment(experiment_id='e',definition={'salt':'x'}), m.ExperimentEvent(experiment_id='e',action='created',who='me',why='to see'), m.JournalWriter(writer='w'), m.JournalEvent(writer='w',seq=2**40,key='k',at=2**50,kind='request',body='{"x":"é"}'),
        m.Figure(view='v',entity='a',day=3,figures='{}'), m.QueueItem(item_id='q',prompt='p',output='o'*100_000,score=1.5,method='entropy',priority='high',reason='r',composition={'identity':'sha256:2'}), m.Run(run_id='r',pipeline='demo'),
        m.Feedback(kind='thumbs',prompt='p',thumbs='up'), m.ReflectionLog(session_id='s',phase='budgeting',confidence=.75)]

def test_every_table_gives_back_what_it_was_given(db):
    want = []
    for row in rows():
        with db.get_session() as s: s.add(row)
        want.append((type(row),row.to_dict(),row.__mapper__.primary_key_from_instance(row)))
    assert {t.__tablename__ for t,_,_ in want}==set(m.Base.metadata.tables)
    with db.get_session(readonly=True) as s:
        for table,values,key in want:
            got = s.get(table,tuple(key)).to_dict()
            for k,v in got.items(): assert v==values[k] or (isinstance(v,str) and k.endswith('_at') and abs(datetime.fromisoformat(v)-datetime.fromisoformat(values[k]))<timedelta(milliseconds=1)), (table,k)

def test_ids_are_compared_byte_by_byte(db):
    with db.get_session() as s: s.add_all([m.Tenant(tenant_id='Amazon'),m.Tenant(tenant_id='amazon'),m.Tenant(tenant_id='ämazon')])
    with db.get_session(readonly=True) as s: assert s.get(m.Tenant,'AMAZON') is None and s.get(m.Tenant,'Amazon').tenant_id=='Amazon'

def test_times_are_kept_in_utc(db):
    at = datetime(2026,7,1,12,30,15,123456,timezone(timedelta(hours=2)))
    with db.get_session() as s: s.add(m.Tenant(tenant_id='t',created_at=at))
    with db.get_session(readonly=True) as s: got = s.get(m.Tenant,'t').created_at
    assert got==at and got.tzinfo==UTC
    with pytest.raises(Exception, match='time zone'), db.get_session() as s: s.add(m.Tenant(tenant_id='u',created_at=datetime(2026,1,1)))

def test_an_error_undoes_the_block(db):
    with pytest.raises(ValueError), db.get_session() as s:
        s.add(m.Tenant(tenant_id='t')); s.flush()
        raise ValueError
    with pytest.raises(IntegrityError), db.get_session() as s: s.add(m.Campaign(campaign_id='c',brand_id='nobody'))
    with db.get_session(readonly=True) as s: assert not s.scalar(select(func.count()).select_from(m.Tenant)) and not s.scalar(select(func.count()).select_from(m.Campaign))

def test_two_who_change_one_experiment_do_not_overwrite_each_other(db):
    with db.get_session() as s: s.add(m.Experiment(experiment_id='e'))
    with db.get_session(readonly=True) as s: stale = s.get(m.Experiment,'e')
    with db.get_session() as s: s.get(m.Experiment,'e').status = 'running'
    stale.status = 'stopped'
    with pytest.raises(StaleDataError), db.get_session() as s: s.add(stale); s.flush()

def _add(url, base, n):
    with Database(url) as db:
        for i in range(n):
            with db.get_session() as s:
                s.scalar(select(func.count()).select_from(m.Tenant))    # reads first, writes later
                s.add(m.Tenant(tenant_id=f'{base}-{i}'))

def test_many_processes_write_at_once(db):
    context = multiprocessing.get_context('fork')
    running = [context.Process(target=_add,args=(db.url,p,25)) for p in range(4)]
    for p in running: p.start()
    for p in running: p.join(60)
    assert [p.exitcode for p in running]==[0]*4
    with db.get_session(readonly=True) as s: assert s.scalar(select(func.count()).select_from(m.Tenant))==100

def _slowly(url, told, go):
    with Database(url) as db:
        with db.get_session() as s: s.add(m.Tenant(tenant_id='before'))
        told.set(); go.wait(30)
        with db.get_session() as s: s.add(m.Tenant(tenant_id='after'))

def test_a_fork_beside_an_open_connection_loses_nothing(db):
    "SQLite's own warning: a child that believes in the locks it inherited writes into a file that others have thrown away."
    with db.get_session() as s: s.add(m.Tenant(tenant_id='parent'))    # the pool holds a connection now
    context = multiprocessing.get_context('fork')
    told,go = context.Event(),context.Event()
    slow = context.Process(target=_slowly,args=(db.url,told,go)); slow.start()
    assert told.wait(30)
    quick = context.Process(target=_add,args=(db.url,'quick',1)); quick.start(); quick.join(30)
    db.close(); go.set(); slow.join(30)
    assert (slow.exitcode,quick.exitcode)==(0,0)
    with db.get_session(readonly=True) as s: assert {'parent','before','after','quick-0'}<=set(s.scalars(select(m.Tenant.tenant_id)))

def _migrate(url):
    with Database(url) as db: migrate(db)

def test_many_processes_migrate_at_once(empty):
    context = multiprocessing.get_context('fork')
    running = [context.Process(target=_migrate,args=(empty.url,)) for _ in range(4)]
    for p in running: p.start()
    for p in running: p.join(60)
    assert [p.exitcode for p in running]==[0]*4 and health(empty)['ok']

def test_a_session_that_reads_waits_for_no_writer(sqlite):
    with sqlite.get_session() as writing:
        writing.add(m.Tenant(tenant_id='t')); writing.flush()
        done = []
        reader = threading.Thread(target=lambda: done.append(_count(sqlite)))
        reader.start(); reader.join(5)
        assert done==[0]
    assert _count(sqlite)==1

def _count(db):
    with db.get_session(readonly=True) as s: return s.scalar(select(func.count()).select_from(m.Tenant))

def test_sqlite_writes_ahead_and_checks_references(sqlite):
    with sqlite.connect() as c: assert [c.exec_driver_sql(f'PRAGMA {p}').scalar() for p in ('journal_mode','synchronous','foreign_keys')]==['wal',2,1]

def test_a_server_that_is_not_there_is_named_without_its_password():
    with socket.socket() as s:
        s.bind(('127.0.0.1',0)); port = s.getsockname()[1]
    for kind in ('postgresql','mysql'):
        with Database(f'{kind}://me:secret@127.0.0.1:{port}/x') as db:
            with pytest.raises(StorageError) as e, db.get_session() as s: s.execute(text('SELECT 1'))
            assert f'127.0.0.1:{port}' in e.value.what and 'secret' not in str(e.value) and e.value.fix
            assert not (state := health(db))['ok'] and 'secret' not in state['error']

@pytest.mark.parametrize('url', ['nonsense','oracle://x/y','mongodb://x'])
def test_what_is_no_database_is_refused(url):
    with pytest.raises(StorageError) as e: Database(url)
    assert e.value.fix

def test_a_file_starts_at_the_project_root(tmp_path, monkeypatch):
    monkeypatch.setenv('RMN_ROOT',str(tmp_path)); (tmp_path/'deep').mkdir(); monkeypatch.chdir(tmp_path/'deep')
    assert Database('sqlite:///data/my.db').url.database==str(tmp_path/'data/my.db')
    assert Database().url.database==str(tmp_path/'workbench.db')

def test_the_seeds_own_lines(tmp_path, monkeypatch):
    "init_db, get_db, session.query, as the seed writes them."
    monkeypatch.setenv('RMN_ROOT',str(tmp_path))
    init_db('sqlite://')
    db = get_db()
    with db.get_session() as session:
        session.add(m.Brand(brand_id='acme_corp',name='ACME Corporation',tenant_id='tenant_acme'))
        session.add(m.Retailer(retailer_id='walmart',name='Walmart',api_endpoint='https://api.walmart.com'))
        session.commit()
    with db.get_session() as session: assert session.query(m.Campaign).all()==[] and len(session.query(m.Brand).all())==1

def test_a_driver_that_is_missing_is_named():
    code = 'import sys\nsys.modules["psycopg"]=None\nfrom rmn_lora.storage.database import Database\ntry: Database("postgresql://x/y")\nexcept Exception as e: print(type(e).__name__,e)'
    assert 'rmn-lora[databases]' in subprocess.run([sys.executable,'-c',code],capture_output=True,text=True,check=True,env=os.environ).stdout

@pytest.mark.parametrize('code', ['036000291453','12345','٣٦٠٠٠٢٩١٤٥٢٠','',])
def test_codes_that_are_none_are_refused(code):
    with pytest.raises(StorageError): m.gtin14(code)

def test_one_item_has_one_number():
    assert m.gtin14('036000291452')==m.gtin14('0036000291452')==m.gtin14('0 036000-291452')=='00036000291452' and m.gtin14(None) is None
    with pytest.raises(StorageError): m.SKUCatalog(sku='x',upc='036000291452',ean='4006381333931')

def test_from_the_first_revision_to_the_newest_keeps_what_is_there(empty):
    "Each revision in turn, with rows in the tables of the first."
    migrate(empty,'0001')
    with empty.connect() as c: c.execute(text("INSERT INTO journal_writers (writer, started_at) VALUES ('w', '2026-01-01 00:00:00')"))
    with empty.get_session() as s: s.add_all([m.Tenant(tenant_id='t'),m.JournalEvent(writer='w',seq=1,at=1,kind='x',body='{}')])
    assert revision(empty)=='0001' and not health(empty)['ok']
    migrate(empty)
    with empty.get_session(readonly=True) as s: assert s.get(m.Tenant,'t') and s.get(m.JournalEvent,('w',1)) and s.scalar(select(func.count()).select_from(m.Figure))==0
    with empty.connect() as c: assert compare_metadata(MigrationContext.configure(c),m.Base.metadata)==[]
