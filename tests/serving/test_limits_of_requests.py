"How often, how much, how long: exactly, and said on every answer."
import threading, time


def test_a_credential_has_its_own_limit_and_every_answer_says_it(begin):
    here = begin(serving=dict(calls=5,period=60))
    answers = [here.ask('GET','/adapters') for _ in range(6)]
    assert [a.status_code for a in answers]==[200]*5+[429] and [a.headers['x-ratelimit-remaining'] for a in answers]==['4','3','2','1','0','0']
    assert answers[5].json()['remedy'] and 1<=int(answers[5].headers['retry-after'])<=60 and answers[5].headers['content-type']=='application/problem+json'
    assert here.ask('GET','/adapters','birch').status_code==200
    assert all('x-ratelimit-limit' in here.ask('GET',path,'birch').headers for path in ('/nowhere','/answers/nothing'))
    assert 'x-ratelimit-limit' not in here.ask('GET','/health',None).headers and here.ask('GET','/health',None).status_code==200

def test_guessing_keys_is_limited_by_address(begin):
    here = begin(serving=dict(calls=5,period=60))
    wrong = 'rmn_0123456789ab_'+'A'*43
    assert [here.ask('GET','/adapters',wrong).status_code for _ in range(7)]==[401]*5+[429]*2
    assert here.ask('GET','/adapters').status_code==200 # Another's key is not the worse for it

def test_a_tenant_may_have_another_limit_for_a_route(begin):
    here = begin(serving=dict(calls=5,period=60))
    here.ask('PUT','/tenants/acme/settings','operator',json=dict(limits={'/inference':[2,60],'*':[8,60]}))
    time.sleep(1.1) # Settings are believed for a second
    assert [here.infer().status_code for _ in range(3)]==[200,200,429]
    assert [here.ask('GET','/adapters').status_code for _ in range(9)]==[200]*8+[429]

def test_redis_counts_for_all_processes(begin, redis_url):
    one,two = (begin(serving=dict(calls=4,period=60,redis=redis_url)) for _ in range(2))
    two.keys['acme'] = one.keys['acme']
    key = one.keys['acme'].split('_')[1]
    from rmn_lora.storage.access import Credential
    with one.db.get_session(readonly=True) as s: row = s.get(Credential,key)
    with two.db.get_session() as s: s.merge(Credential(**{c.key: getattr(row,c.key) for c in Credential.__mapper__.column_attrs}))
    assert [(one,two)[i%2].ask('GET','/adapters').status_code for i in range(6)]==[200]*4+[429]*2

def test_redis_keeps_answers_for_all_processes(begin, redis_url):
    one,two = (begin(serving=dict(redis=redis_url)) for _ in range(2))
    assert [h.infer('shared').headers['x-cache'] for h in (one,two,one)]==['MISS','HIT','HIT']

def test_a_full_engine_is_503_and_says_when_to_come_back(begin, monkeypatch):
    here = begin()
    waiting = here.runtime.compositor.engine.loop._waiting
    monkeypatch.setattr(waiting,'size',2)
    codes,retry = [],[]
    def go(i):
        r = here.infer(f'row {i}',max_new_tokens=200)
        codes.append(r.status_code); retry.append(r.headers.get('retry-after'))
    threads = [threading.Thread(target=go,args=(i,)) for i in range(48)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert set(codes)=={200,503} and all(r for c,r in zip(codes,retry) if c==503)
    assert here.infer('after').status_code==200
