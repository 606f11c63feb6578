"storage.journal: acknowledged is durable, sent twice counts once, and nothing is lost on the way."
import json, logging, multiprocessing, os, random, signal, socket, subprocess, sys, threading, time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from sqlalchemy import func, select

from rmn_lora.errors import JournalError
from rmn_lora.storage.database import Database, migrate
from rmn_lora.storage.events import Event, read
from rmn_lora.storage.journal import Journal
from rmn_lora.storage.models import JournalEvent, JournalWriter

@pytest.fixture
def journal(db, tmp_path):
    journal = Journal(db,spool=tmp_path/'spool')
    yield journal
    if not journal._closed: journal.close()

def events(db, **kw)->list[Event]: return [e for piece in read(db,**kw) for e in piece]
def wait_for(what, seconds=20):
    end = time.time()+seconds
    while not what():
        assert time.time()<end
        time.sleep(.01)

# --- what goes in comes out

def test_events_come_back_as_they_were(journal, db):
    sent = [{'kind':'request','n':i,'text':'é🛒\x00\n"','nested':{'a':[1,None,True,1.5]}} for i in range(50)]
    for e in sent: journal.record(e)
    journal.flush()
    got = events(db)
    assert [e.body for e in got]==sent and [e.seq for e in got]==list(range(1,51)) and abs(got[0].at/1e6-time.time())<60

def test_a_reader_goes_on_from_its_place(journal, db):
    for i in range(10): journal.record({'kind':'ab'[i%2],'n':i})
    journal.flush()
    assert [e.body['n'] for e in events(db,place={journal.writer:7})]==[7,8,9] and [e.body['n'] for e in events(db,kinds=['a'],size=2)]==[0,2,4,6,8]

def test_sent_twice_counts_once(journal, db):
    followed = []
    journal.follow(lambda first,last,new: followed.extend(new))
    for _ in range(3):
        for i in range(30): journal.record({'kind':'vote','key':f'k{i}'})
    journal.record({'kind':'vote','key':'k3'},wait=True)
    assert len(events(db))==30 and sorted(e.body['key'] for e in followed)==sorted(f'k{i}' for i in range(30))

def test_keys_differ_by_case_and_by_space(journal, db):
    for k in ('a','A','a b','a  b','ä'): journal.record({'kind':'x','key':k})
    journal.flush()
    assert len(events(db))==5

def test_large_events_and_many(db, tmp_path):
    with Journal(db,spool=tmp_path/'s') as journal:
        for i in range(6): journal.record({'kind':'x','text':'ä'*1_500_000,'n':i})
        for _ in range(12_000): journal.record({'kind':'y'})
    assert len(events(db))==12_006

def test_many_threads(journal, db):
    def work(t):
        for i in range(200): journal.record({'kind':'x','t':t,'n':i},wait=i%50==0)
    threads = [threading.Thread(target=work,args=(t,)) for t in range(8)]
    for t in threads: t.start()
    for t in threads: t.join()
    journal.flush()
    got = events(db)
    assert len(got)==1600 and all([e.body['n'] for e in got if e.body['t']==t]==list(range(200)) for t in range(8))

@pytest.mark.parametrize('wrong', [{}, {'kind':''}, {'kind':3}, {'kind':'x'*41}, {'kind':'x','key':''}, {'kind':'x','key':'a '}, {'kind':'x','key':'a\x00'}, {'kind':'x','key':'\ud800'}, {'kind':'x','key':'k'*192}, {'kind':'x','at':1.5},
    {'kind':'x','at':True}, {'kind':'x','at':2**63}, {'kind':'x','v':float('nan')}, {'kind':'x','v':[{'w':float('inf')}]}, {'kind':'x','v':object()}, {'kind':'x','v':'\ud800'}])
def test_what_cannot_be_written_is_refused_at_once(sqlite, tmp_path, wrong):
    with Journal(sqlite,spool=tmp_path/'s') as journal:
        with pytest.raises(JournalError) as e: journal.record(wrong)
        assert e.value.fix
        journal.record({'kind':'x','v':'NaN and Infinity in a text'},wait=True)
    assert len(events(sqlite))==1

json_values = st.recursive(st.none()|st.booleans()|st.integers(-2**60,2**60)|st.floats(allow_nan=False,allow_infinity=False)|st.text(), lambda c: st.lists(c,max_size=4)|st.dictionaries(st.text(),c,max_size=4), max_leaves=12)
@settings(max_examples=60)
@given(values=st.lists(st.dictionaries(st.text().filter(lambda k: k not in ('key','at','kind')),json_values,max_size=4),min_size=1,max_size=6))
def test_any_json_comes_back(values):
    with Database('sqlite://') as db:
        migrate(db)
        with Journal(db,spool='unused') as journal:
            for v in values: journal.record(v|{'kind':'x'})
        assert [e.body for e in events(db)]==[v|{'kind':'x'} for v in values]

# --- kill -9

def _write_for_ever(url, pipe, trial, spool):
    "In a child: records, some acknowledged, and tells the parent which; until it is killed."
    journal,rng,n = Journal(Database(url),spool=spool,seconds=.002),random.Random(trial),0
    while True:
        keys = [f'{trial}-{n+i}' for i in range(rng.randint(1,40))]
        for k in keys[:-1]: journal.record({'kind':'x','key':k})
        journal.record({'kind':'x','key':keys[-1]},wait=True)
        n += len(keys)
        os.write(pipe,f'{n}\n'.encode())

def _killed(db, trial, spool)->tuple[int,int]:
    "Runs a child and kills it at a random moment: how many it acknowledged, and how many are there."
    out,into = os.pipe()
    child = multiprocessing.get_context('fork').Process(target=_write_for_ever,args=(db.url,into,trial,spool))
    child.start(); os.close(into)
    os.read(out,1)    # it has begun
    time.sleep(random.Random(-trial).random()*.03)
    os.kill(child.pid,signal.SIGKILL); child.join()
    said = b''
    while more := os.read(out,65536): said += more
    os.close(out)
    acknowledged = int(said.split(b'\n')[-2]) if said.count(b'\n') and said.split(b'\n')[-2] else 0
    with db.connect(readonly=True) as c: keys = c.scalars(select(JournalEvent.key).where(JournalEvent.key.like(f'{trial}-%'))).all()
    assert len(keys)==len(set(keys)) and {f'{trial}-{i}' for i in range(acknowledged)}<=set(keys)
    with Journal(db,spool=spool) as again:    # who does not know sends again
        for i in range(acknowledged+40): again.record({'kind':'x','key':f'{trial}-{i}'})
    with db.connect(readonly=True) as c: after = c.scalars(select(JournalEvent.key).where(JournalEvent.key.like(f'{trial}-%'))).all()
    assert len(after)==len(set(after)) and {f'{trial}-{i}' for i in range(acknowledged+40)}<=set(after)
    return acknowledged,len(keys)

def test_kill_9_loses_nothing_acknowledged_and_counts_nothing_twice(db, tmp_path):
    "200 kills at random moments on SQLite, 25 on each server."
    found = [_killed(db,t,tmp_path/'spool') for t in range(200 if db.dialect=='sqlite' else 25)]
    assert sum(a for a,_ in found)>len(found) and any(there>a for a,there in found)    # kills did meet writes under way

# --- a database that fails

def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    "A file that may not grow, as on a full disk: the error is clear, the events are kept, and written when there is room."
    code = '''
import json, resource, signal, sys, time
from rmn_lora.errors import JournalError
from rmn_lora.storage.database import Database, migrate
from rmn_lora.storage.events import read
from rmn_lora.storage.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
db = Database(f'sqlite:///{sys.argv[1]}/full.db'); migrate(db)
journal = Journal(db, spool=sys.argv[1]+'/spool')
soft,hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000,hard))
said = ''
for i in range(40):
    try: journal.record({'kind':'x','n':i,'text':'y'*50_000}, wait=True)
    except JournalError as e: said = str(e); break
waiting = journal.state()['waiting']
for j in range(i+1,40): journal.record({'kind':'x','n':j,'text':'y'*50_000})
resource.setrlimit(resource.RLIMIT_FSIZE, (soft,hard))
while journal.state()['waiting']:
    try: journal.flush()
    except JournalError: pass
journal.close()
print(json.dumps([said, waiting, sorted(e.body['n'] for p in read(db) for e in p)]))
'''
    done = subprocess.run([sys.executable,'-c',code,str(tmp_path)],capture_output=True,text=True)
    said,waiting,there = json.loads(done.stdout)
    assert ('full' in said or 'I/O' in said) and 'kept' in said and waiting>=1 and there==list(range(40)), done.stderr

class Gate:
    "Between a client and a server: can be shut, and then connections break, as when a server dies."
    def __init__(self, port):
        self.to,self.open,self.server,self.pairs = port,True,socket.create_server(('127.0.0.1',0)),[]
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept,daemon=True).start()
    def _accept(self):
        while True:
            client,_ = self.server.accept()
            if not self.open: client.close(); continue
            other = socket.create_connection(('127.0.0.1',self.to))
            self.pairs += [client,other]
            for a,b in ((client,other),(other,client)): threading.Thread(target=self._carry,args=(a,b),daemon=True).start()
    def _carry(self, a, b):
        try:
            while data := a.recv(65536): b.sendall(data)
        except OSError: pass
        for s in (a,b): s.close()
    def shut(self):
        self.open = False
        for s in self.pairs:
            try: s.shutdown(socket.SHUT_RDWR)
            except OSError: pass

@pytest.mark.parametrize('empty', ['postgresql','mariadb'], indirect=True)
def test_a_lost_server_is_said_and_loses_nothing(db, tmp_path):
    gate = Gate(db.url.port or dict(postgresql=5432,mysql=3306,mariadb=3306)[db.dialect])
    with Database(db.url.set(host='127.0.0.1',port=gate.port)) as through:
        journal = Journal(through,spool=tmp_path/'spool')
        journal.record({'kind':'x','n':0},wait=True)
        gate.shut()
        with pytest.raises(JournalError, match='kept'): journal.record({'kind':'x','n':1},wait=True)
        for n in range(2,50): journal.record({'kind':'x','n':n})
        assert journal.state()['error'] and journal.state()['waiting']==49 and journal.state()['failing_since']
        gate.open = True
        wait_for(lambda: not journal.state()['waiting'])
        assert journal.state()['error'] is None
        journal.close()
    assert sorted(e.body['n'] for e in events(db))==list(range(50))

def _gone(db:Database)->Path:
    file = Path(db.url.database); moved = file.rename(file.with_suffix('.away'))
    file.mkdir(); db.engine.dispose()
    return moved
def _back(db:Database, moved:Path)->None:
    file = Path(db.url.database); file.rmdir(); moved.rename(file); db.engine.dispose()

def test_what_cannot_be_written_at_the_end_is_written_by_the_next(sqlite, tmp_path):
    journal = Journal(sqlite,spool=tmp_path/'spool')
    journal.record({'kind':'x','n':0},wait=True)
    moved = _gone(sqlite)
    for n in (1,2,3): journal.record({'kind':'x','n':n})
    with pytest.raises(JournalError, match='3 events.*spool'): journal.close()
    with pytest.raises(JournalError, match='closed'): journal.record({'kind':'x'})
    Journal(sqlite,spool=tmp_path/'spool')    # opens on a database that is still away: they stay where they are
    assert len(list((tmp_path/'spool').glob('*.jsonl')))==1
    _back(sqlite,moved)
    for _ in range(2): Journal(sqlite,spool=tmp_path/'spool').close()
    assert [e.body['n'] for e in events(sqlite)]==[0,1,2,3] and not list((tmp_path/'spool').iterdir())

def test_a_full_queue_refuses_and_forgets_none(sqlite, tmp_path):
    journal = Journal(sqlite,spool=tmp_path/'spool',limit=5)
    moved = _gone(sqlite)
    for n in range(5): journal.record({'kind':'x','n':n})
    wait_for(lambda: journal.state()['error'])
    with pytest.raises(JournalError, match='not taken'): journal.record({'kind':'x','n':5})
    _back(sqlite,moved); wait_for(lambda: not journal.state()['waiting']); journal.close()
    assert [e.body['n'] for e in events(sqlite)]==list(range(5))

def test_a_transaction_whose_end_nobody_heard_counts_once(sqlite, tmp_path, monkeypatch):
    "The database committed, and the answer was lost: the rows are sent again, and those who follow hear of each once."
    from rmn_lora.storage import journal as module
    write,lost,followed = module.write_rows,[True],[]
    def once_unheard(db, rows):
        there = write(db,rows)
        if lost: lost.pop(); raise OSError('the line broke')
        return there
    monkeypatch.setattr(module,'write_rows',once_unheard)
    journal = Journal(sqlite,spool=tmp_path/'spool'); journal.follow(lambda a,b,new: followed.extend(new))
    for n in range(20): journal.record({'kind':'x','n':n})
    wait_for(lambda: not journal.state()['waiting']); journal.close()
    assert [e.body['n'] for e in events(sqlite)]==list(range(20))==[e.body['n'] for e in followed]

# --- processes

def test_a_follower_that_fails_stops_nothing(sqlite, tmp_path, caplog):
    with Journal(sqlite,spool=tmp_path/'s') as journal:
        journal.follow(lambda *_: 1/0)
        with caplog.at_level(logging.ERROR): journal.record({'kind':'x'},wait=True)
        assert 'durable' in caplog.text
        journal.record({'kind':'x'},wait=True)

def _in_child(journal):
    for n in range(20): journal.record({'kind':'child','n':n})
    journal.close()

def test_a_forked_child_writes_under_its_own_name(journal, db):
    for n in range(50): journal.record({'kind':'parent','n':n})
    child = multiprocessing.get_context('fork').Process(target=_in_child,args=(journal,))
    child.start(); child.join(30)
    journal.flush()
    got = events(db)
    assert child.exitcode==0 and len({e.writer for e in got})==2 and sorted(e.body['n'] for e in got if e.kind=='child')==list(range(20)) and sum(e.kind=='parent' for e in got)==50

def test_leaving_python_writes_what_waits(tmp_path):
    code = f"from rmn_lora.storage.database import Database, migrate\nfrom rmn_lora.storage.journal import Journal\ndb = Database('sqlite:///{tmp_path}/x.db'); migrate(db)\nj = Journal(db, seconds=30, spool='{tmp_path}/s')\nfor i in range(500): j.record({{'kind':'x'}})"
    subprocess.run([sys.executable,'-c',code],check=True,timeout=60)
    with Database(f'sqlite:///{tmp_path}/x.db') as db:
        assert len(events(db))==500
        with db.connect(readonly=True) as c: assert c.scalar(select(func.count()).select_from(JournalWriter).where(JournalWriter.closed_at.is_not(None)))==1

def test_the_journal_is_no_reason_to_stay(sqlite, tmp_path):
    "An idle journal uses no processor."
    with Journal(sqlite,spool=tmp_path/'s') as journal:
        journal.record({'kind':'x'},wait=True); time.sleep(.1)
        before = time.process_time(); time.sleep(.5)
        assert time.process_time()-before<.1

def test_a_spool_is_for_its_database_alone(sqlite, tmp_path):
    journal = Journal(sqlite,spool=tmp_path/'spool'); journal.record({'kind':'x','n':0},wait=True)
    moved = _gone(sqlite); journal.record({'kind':'x','n':1})
    with pytest.raises(JournalError): journal.close()
    (tmp_path/'spool'/f'{journal._of}-empty.jsonl').touch()
    with Database(f'sqlite:///{tmp_path}/other.db') as other:
        migrate(other); Journal(other,spool=tmp_path/'spool').close()
        assert events(other)==[] and len(list((tmp_path/'spool').glob('*.jsonl')))==2
    _back(sqlite,moved); Journal(sqlite,spool=tmp_path/'spool').close()
    assert [e.body['n'] for e in events(sqlite)]==[0,1]

def test_writers_that_meet_in_the_database_try_again(db, tmp_path):
    "The same keys in opposite orders: on MariaDB one of two transactions is chosen to lose, again and again."
    journals = [Journal(db,spool=tmp_path/n) for n in 'ab']
    def work(journal, keys):
        for k in keys: journal.record(dict(kind='x',key=k))
        journal.flush()
    for r in range(6):
        keys = [f'{r} {i}' for i in range(800)]
        threads = [threading.Thread(target=work,args=(j,k)) for j,k in zip(journals,(keys,keys[::-1]))]
        for t in threads: t.start()
        for t in threads: t.join()
    assert all(not j.state()['error'] and j._failures==0 for j in journals)
    with db.connect(readonly=True) as c: assert c.scalar(select(func.count()).select_from(JournalEvent).where(JournalEvent.kind=='x'))==4800
    for j in journals: j.close()
