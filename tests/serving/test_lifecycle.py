"A server in a process of its own: how it starts, stops, fails, and is come back to."
import json, signal, socket, threading, time

import httpx, pytest

from rmn_lora.storage.database import Database
from rmn_lora.storage.events import read

LONG = dict(max_new_tokens=400,adapters=[]) # The base alone babbles on

def in_threads(n, f):
    found = [None]*n
    def go(i):
        try: found[i] = f(i)
        except Exception as e: found[i] = e
    threads = [threading.Thread(target=go,args=(i,)) for i in range(n)]
    for t in threads: t.start()
    return threads,found

def until(f, seconds=20):
    end = time.monotonic()+seconds
    while time.monotonic()<end:
        if f(): return True
        time.sleep(.02)
    return False

def running(server): return server.client.get('/status').json()['running']

@pytest.fixture(scope='module')
def server(tmp_path_factory, launch):
    "One for the tests that leave it as it was."
    return launch(folder=tmp_path_factory.mktemp('server')/'server',deadline=600,calls=100_000)

def test_it_starts_with_no_setting_and_says_what_it_is(server):
    said = (server.folder/'log').read_text()
    assert 'NO CREDENTIAL IS NEEDED' in said and 'Base:      embedded' in said and f'{server.url}/docs' in said
    assert server.client.get('/docs').status_code==200 and server.infer().status_code==200

def test_insecure_is_for_this_machine_only(apart):
    with pytest.raises(AssertionError,match='listens on this machine only'): apart('--insecure-local','--host','0.0.0.0')

def test_a_port_that_is_taken_is_told_in_words(apart):
    with socket.socket() as s:
        s.bind(('127.0.0.1',0)); s.listen()
        with pytest.raises(AssertionError,match='cannot listen'): apart('--insecure-local','--port',str(s.getsockname()[1]))

def test_without_keys_nobody_is_let_in_and_it_says_so(apart):
    server = apart('--quiet')
    assert server.infer().status_code==401 and 'No key was issued yet' in (server.folder/'log').read_text()

def test_sigterm_finishes_what_was_begun_takes_nothing_new_and_ends_with_0(apart):
    server = apart(grace_seconds=30,calls=100_000)
    threads,found = in_threads(4,lambda i: server.infer(f'row {i}',**LONG))
    assert until(lambda: running(server)==4)
    server.process.send_signal(signal.SIGTERM)
    late = []
    def still():
        try: late.append((server.client.get('/health'),server.infer('late')))
        except httpx.HTTPError: return True
        return late[-1][0].status_code==503
    assert until(still)
    for t in threads: t.join()
    assert [r.status_code for r in found]==[200]*4 and all(r.json()['finish'] in ('stop','length') for r in found)
    for health,r in late:
        if health.status_code==503: assert health.json()['status']=='draining' and not health.json()['ready'] and r.status_code==503 and r.headers['retry-after']
    assert server.process.wait(30)==0

def test_what_is_not_done_in_the_grace_time_is_handed_back(apart):
    server = apart(grace_seconds=1,deadline=600,calls=100_000)
    threads,found = in_threads(40,lambda i: server.infer(f'row {i}',**LONG))
    assert until(lambda: running(server)>0)
    began = time.monotonic()
    assert server.stop(seconds=20)==0 and time.monotonic()-began<15
    for t in threads: t.join()
    assert all(isinstance(r,httpx.Response) and r.status_code in (200,503) for r in found) and any(r.status_code==503 and r.headers['retry-after'] for r in found), found

def test_ctrl_c_twice_stops_at_once(apart):
    server = apart(grace_seconds=60,deadline=600,calls=100_000)
    in_threads(4,lambda i: server.infer(f'row {i}',max_new_tokens=2000,adapters=[]))
    assert until(lambda: running(server)>0)
    server.process.send_signal(signal.SIGINT); time.sleep(.2); server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) is not None

@pytest.mark.parametrize('stream',[False,True])
def test_who_goes_away_frees_what_was_taken(server, stream):
    with socket.create_connection(('127.0.0.1',int(server.url.rsplit(':',1)[1]))) as s:
        body = json.dumps(dict(messages=[dict(role='user',content='Allocate $2.5M budget')],max_new_tokens=3000,adapters=[],stream=stream)).encode() # The base alone says 2222… to this
        s.sendall(b'POST /inference HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: leaving-%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n'%(stream,len(body))+body)
        assert until(lambda: running(server)==1)
    assert until(lambda: running(server)==0,5)
    assert until(lambda: any(line['id']==f'leaving-{int(stream)}' and line['status']==(200 if stream else 499) for line in server.lines()))
    assert server.infer().status_code==200

def test_kill_9_loses_nothing_acknowledged_and_counts_nothing_twice(apart):
    server = apart('--insecure-local',calls=100_000)
    v = [dict(variant_id=k,adapter_ids=[a],traffic_percentage=.5) for k,a in (('a','task_tools_first'),('b','task_tools'))]
    assert server.client.post('/ab-testing/experiments',headers={'X-Tenant-ID':'acme'},json=dict(experiment_id='x',variants=v)).status_code==200
    assert server.client.post('/ab-testing/experiments/x/start',headers={'X-Tenant-ID':'acme'}).status_code==200
    acknowledged,lock,stop = [],threading.Lock(),threading.Event()
    def load(i):
        n = 0
        while not stop.is_set():
            n += 1
            user,key = f'user-{i}-{n}',f'{i}-{n}'
            try: r = server.infer(f'row {n}',adapters=['task_tools_first'],max_new_tokens=3,user_id=user,headers={'X-Tenant-ID':'acme','Idempotency-Key':key})
            except httpx.HTTPError: return
            if r.status_code==200 and r.json()['recorded']:
                with lock: acknowledged.append((key,n,user,r.json()))
    threads,_ = in_threads(8,load)
    assert until(lambda: len(acknowledged)>60,60)
    server.stop(signal.SIGKILL); stop.set()
    for t in threads: t.join()
    again = apart('--insecure-local',folder=server.folder,calls=100_000)
    with Database(f'sqlite:///{server.folder}/server.db') as db: bodies = [e.body for some in read(db,kinds=('impression',)) for e in some]
    users = [b['user_id'] for b in bodies]
    assert len(users)==len(set(users)) and {u for _,_,u,_ in acknowledged}<=set(users)
    assert all(r['variants'] for *_,r in acknowledged)
    for key,n,user,r in acknowledged[:10]: # Sent again after the restart: the first answer, and one record
        once = again.infer(f'row {n}',adapters=['task_tools_first'],max_new_tokens=3,user_id=user,headers={'X-Tenant-ID':'acme','Idempotency-Key':key})
        assert once.json()['id']==r['id'] and once.json()['text']==r['text']
    counted = again.client.get('/ab-testing/experiments/x/results',headers={'X-Tenant-ID':'acme'}).json()
    assert counted['impressions']==len(users)

def test_logs_hold_no_prompt_and_no_key(server):
    secret = 'the moon is a secret of mine'
    server.infer(secret,headers={'Authorization':'Bearer rmn_0123456789ab_'+'S'*43,'X-Request-ID':'my-request-1'})
    server.client.post('/inference?prompt=also-secret',json=dict(messages=[dict(role='wizard',content=secret)]))
    log = (server.folder/'log').read_text()
    assert secret not in log and 'also-secret' not in log and 'S'*43 not in log
    first = next(line for line in server.lines() if line['id']=='my-request-1')
    assert first['client']=='127.0.0.1' and first['status']==200 and first['ms']>0
    def receipts():
        with Database(f'sqlite:///{server.folder}/server.db') as db: return [e.body['request_id'] for some in read(db,kinds=('answer',)) for e in some]
    assert until(lambda: 'my-request-1' in receipts())

def test_it_stops_with_status_0_and_its_database_is_one_file(server):
    assert server.stop()==0 and [p.name for p in server.folder.glob('server.db*')]==['server.db']
