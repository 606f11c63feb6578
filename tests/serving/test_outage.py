"A database that goes away under load, and comes back: requests are answered, nothing acknowledged is lost, /health says so."
import asyncio, contextlib, os, threading, time

import httpx, pytest
from sqlalchemy.engine import make_url

from rmn_lora.storage.events import read

SECONDS = float(os.environ.get('RMN_OUTAGE_SECONDS','6')) # `make soak` takes twenty

class Between:
    "Stands between a server and its database, and can be taken away."
    def __init__(self, host, port):
        self.to,self.open,self._loop = (host,port),set(),asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever,daemon=True)
        self._thread.start()
        self.server = self._do(asyncio.start_server(self._serve,'127.0.0.1',0))
        self.port = self.server.sockets[0].getsockname()[1]
    def _do(self, work): return asyncio.run_coroutine_threadsafe(work,self._loop).result(10)
    async def _serve(self, reader, writer):
        there = await asyncio.open_connection(*self.to)
        both = {writer,there[1]}; self.open |= both
        async def pump(a, b):
            try:
                while data := await a.read(65536): b.write(data); await b.drain()
            except OSError: pass
            finally: b.close()
        await asyncio.gather(pump(reader,there[1]),pump(there[0],writer))
        for w in both:
            with contextlib.suppress(OSError): await w.wait_closed()
        self.open -= both
    def go(self):
        async def gone():
            self.server.close()
            for w in list(self.open): w.transport.abort()
        self._do(gone())
    def come_back(self): self.server = self._do(asyncio.start_server(self._serve,'127.0.0.1',self.port))
    def end(self):
        self.go(); time.sleep(.2)
        self._loop.call_soon_threadsafe(self._loop.stop); self._thread.join(); self._loop.close()

@pytest.mark.parametrize('empty',['postgresql'],indirect=True)
def test_requests_are_answered_while_the_database_is_gone(empty, apart):
    url = make_url(empty.url)
    between = Between(url.host,url.port or dict(postgresql=5432,mariadb=3306)[empty.dialect])
    server = apart(database=url.set(port=between.port).render_as_string(hide_password=False),calls=100_000)
    v = [dict(variant_id=k,adapter_ids=[a],traffic_percentage=.5) for k,a in (('a','task_tools_first'),('b','task_tools'))]
    server.client.post('/ab-testing/experiments',json=dict(experiment_id='x',variants=v)); server.client.post('/ab-testing/experiments/x/start')
    answered,wrong,lock,stop = [],[],threading.Lock(),threading.Event()
    def load(i):
        with httpx.Client(base_url=server.url,timeout=60) as client:
            n = 0
            while not stop.is_set():
                n += 1
                r = client.post('/inference',json=dict(messages=[dict(role='user',content=f'row {n}')],adapters=['task_tools_first'],max_new_tokens=3,user_id=f'{i}-{n}'))
                with lock: (answered if r.status_code==200 else wrong).append((time.monotonic(),f'{i}-{n}',r))
    threads = [threading.Thread(target=load,args=(i,)) for i in range(4)]
    for t in threads: t.start()
    time.sleep(2)
    between.go(); left = time.monotonic()
    time.sleep(SECONDS/2); during = server.client.get('/health'); metrics = server.client.get('/metrics',headers={'Accept':'text/plain'}).text
    reported = server.client.post('/ab-testing/impressions',json=dict(experiment_id='x',variant_id='a',success=True,user_id='reported',key='reported'))
    time.sleep(SECONDS/2); between.come_back(); back = time.monotonic()
    time.sleep(3); stop.set()
    for t in threads: t.join()
    assert not wrong, [r.text for *_,r in wrong[:3]]
    assert sum(left+.5<at<back for at,*_ in answered)>5 # Answered while it was gone
    assert during.status_code==200 and during.json()['status']=='degraded' and not during.json()['database']['ok'] and during.json()['journal']['error'] and 'rmn_journal_failing 1' in metrics
    assert reported.status_code==503 and reported.headers['retry-after'] # Not acknowledged
    for _ in range(100):
        if (now := server.client.get('/health').json())['status']=='ok': break
        time.sleep(.1)
    assert now['status']=='ok' and now['journal']['waiting']==0
    assert server.stop()==0
    bodies = [e.body for some in read(empty,kinds=('impression',)) for e in some]
    users = [b['user_id'] for b in bodies]
    assert len(users)==len(set(users)) and {u for _,u,_ in answered}<=set(users) # Those as well that were said not to be on record yet
    assert {u for _,u,r in answered if r.json()['variants']}=={u for _,u,_ in answered}
    between.end()
