"Clients of every kind for a while: nothing is leaked. `make soak` takes ten minutes, `make test` some seconds."
import os, random, socket, json, threading, time

import httpx, psutil

SECONDS = float(os.environ.get('RMN_SOAK_SECONDS','8'))

def test_nothing_is_leaked(apart):
    server = apart('--insecure-local','--quiet',calls=10**9)
    process,address = psutil.Process(server.process.pid),('127.0.0.1',int(server.url.rsplit(':',1)[1]))
    stop,answered,failed,lock = threading.Event(),[],[],threading.Lock()
    def took(r):
        with lock: (answered if r.status_code==200 else failed).append(r.status_code if r.status_code!=200 else None)
    def asked(draw, n): return dict(messages=[dict(role='user',content=f'spend={draw.randrange(50)}.{n%10}0')],adapters=draw.choice((['task_tools'],['task_tools_first'],[])),max_new_tokens=draw.choice((2,8,20)),temperature=draw.choice((0,0,.7)),user_id=f'u{draw.randrange(40)}')
    def asks(seed):
        draw,n = random.Random(seed),0
        with httpx.Client(base_url=server.url,timeout=60) as c:
            while not stop.is_set():
                n += 1
                kind,headers = draw.random(),{'X-Tenant-ID': f't{draw.randrange(5)}'}
                if kind<.6: took(c.post('/inference',json=asked(draw,n),headers=headers))
                elif kind<.75:
                    with c.stream('POST','/inference',json=asked(draw,n)|dict(stream=True),headers=headers) as r: r.read(); took(r)
                elif kind<.85: # Somebody who leaves
                    body = json.dumps(asked(draw,n)|dict(max_new_tokens=400,stream=draw.random()<.5)).encode()
                    with socket.create_connection(address) as s:
                        s.sendall(b'POST /inference HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n'%len(body)+body)
                        time.sleep(.02*draw.random())
                elif kind<.95: took(c.get('/adapters',headers=headers))
                else: took(c.post('/inference',json=asked(draw,n),headers=headers|{'Idempotency-Key': f'{seed}-{n}'}))
    def swaps():
        both,n = ('task_tools','task_tools_first'),0
        with httpx.Client(base_url=server.url,timeout=60) as c:
            versions = {k: v['version'] for k,v in c.get('/aliases').json().items()}
            while not stop.wait(.3):
                n += 1
                c.post('/composition/swap',json=dict(old_adapter_id='task_tools',new_adapter_id=versions[both[n%2]])).raise_for_status()
    threads = [threading.Thread(target=asks,args=(i,)) for i in range(6)]+[threading.Thread(target=swaps)]
    for t in threads: t.start()
    began,memory = time.monotonic(),[]
    while time.monotonic()-began<SECONDS: time.sleep(min(1,SECONDS/20)); memory.append((time.monotonic()-began,process.memory_info().rss))
    stop.set()
    for t in threads: t.join()
    def idle():
        for _ in range(200):
            said = server.client.get('/health').json()
            if said['engine']['running']==said['engine']['waiting']==said['journal']['waiting']==0: return said
            time.sleep(.05)
        raise AssertionError(said)
    said = idle()
    for _ in range(100): # Connections of those who left are closed a little later
        counts = process.num_threads(),len([c for c in process.net_connections() if c.status=='ESTABLISHED'])
        if counts[1]<=1: break
        time.sleep(.1)
    assert not failed and said['status']=='ok' and said['engine']['deaths']==0 and len(answered)>SECONDS
    assert counts[1]<=1 and counts[0]<80 and process.num_fds()<80, counts
    if SECONDS>=120:
        early,late = (max(m for t,m in memory if a<=t<b) for a,b in ((60,90),(SECONDS-30,SECONDS+1)))
        print(f'{len(answered):,} answers in {SECONDS:.0f} s; {early>>20} MB in the second minute, {late>>20} MB at the end, {counts[0]} threads, {process.num_fds()} files')
        assert late<=1.05*early
    assert server.stop()==0
