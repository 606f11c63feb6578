"What the server answers: from whom, once, in pieces, in OpenAI's form; and its receipt."
import json, threading

import pytest
from openai import OpenAI, NotFoundError, AuthenticationError

from rmn_lora.errors import BusyError
from rmn_lora.training.corpus import HELD_OUT_TOOLS
from rmn_lora.training.dataset import card_rows

ROWS = card_rows(HELD_OUT_TOOLS, 6, 7)

def question(i=1): return ROWS[i]['prompt']
def ask(here, who='acme', headers=None, i=1, **more): return here.ask('POST','/inference',who,headers=headers or {},json=dict(messages=question(i),task='tools')|more)
def verified(here, r, who='acme'): return here.ask('GET',f'/answers/{r["id"]}/why',who).json()['verified']

def test_an_answer_says_where_it_came_from(here):
    r = ask(here).json()
    assert [a['id'] for a in r['composition']['adapters']]==['task_tools'] and r['tool_call'] and r['finish']=='stop' and r['tokens']['answer']>0
    assert set(r['timings_ms'])=={'route','queue','first_token','total'} and r['uncertainty']['log_perplexity']>=0 and r['recorded']
    assert verified(here,r)

def test_a_stack_by_name_and_the_base_alone(here):
    assert [a['id'] for a in ask(here,task=None,adapters=['task_tools']).json()['composition']['adapters']]==['task_tools']
    assert ask(here,task=None,adapters=[]).json()['composition']['adapters']==[]
    version = ask(here).json()['composition']['adapters'][0]['version']
    assert ask(here,task=None,adapters=[version]).json()['composition']['adapters'][0]['version']==version

@pytest.mark.parametrize(('wrong','status','field'), [(dict(adapters=['nobody'],task=None),404,None), (dict(messages=[]),422,'messages'), (dict(temperature=-1),422,'temperature'), (dict(max_new_tokens=0),422,'max_new_tokens'), (dict(weights=[1.]),422,'body'),
    (dict(messages=[dict(role='user',content='x '*4000)]),422,None), (dict(adapters=['task_tools','task_tools'],task=None),422,None), (dict(nonsense=1),422,'nonsense'), (dict(stop=['']),422,'stop.0')])
def test_what_cannot_be_answered_is_a_problem(here, wrong, status, field):
    r = ask(here,**wrong)
    p = r.json()
    assert r.status_code==status==p['status'] and r.headers['content-type']=='application/problem+json' and p['title'] and p['type'].startswith('urn:rmn-lora:problem:') and p['instance'].endswith(r.headers['x-request-id'])
    if field is not None: assert [e['field'] for e in p['errors']]==[field]
    else: assert p['detail'] and p['remedy']

def test_what_is_no_json_is_a_problem(here):
    for body in (b'{',b'',b'\xff',b'[]',b'"x"',b'{"messages":[{"role":"user","content":"\\ud800"}]}'):
        r = here.ask('POST','/inference',headers={'Content-Type':'application/json'},content=body)
        assert r.status_code in (400,422) and r.headers['content-type']=='application/problem+json', body

def test_too_large_is_413_whether_it_says_so_or_not(here):
    big = json.dumps(dict(messages=[dict(role='user',content='x'*2_000_000)])).encode()
    assert here.ask('POST','/inference',content=big,headers={'Content-Type':'application/json'}).status_code==413
    def pieces():
        for i in range(0,len(big),65536): yield big[i:i+65536]
    r = here.ask('POST','/inference',content=pieces(),headers={'Content-Type':'application/json'})
    assert r.status_code==413 and r.headers['content-type']=='application/problem+json'

def test_a_deadline_is_504_and_counts_as_a_failure(here):
    before = here.ask('GET','/analytics/adapters/task_tools').json()
    r = ask(here,deadline=.001,max_new_tokens=160)
    after = here.ask('GET','/analytics/adapters/task_tools').json()
    assert r.status_code==504 and r.json()['remedy'] and after['total_requests']==before['total_requests']+1 and after['errors_by_type'].get('DeadlineError',0)==before['errors_by_type'].get('DeadlineError',0)+1

def test_a_stream_says_what_the_whole_answer_says(here):
    whole = ask(here,i=2).json()
    with here.client.stream('POST','/inference',headers={'Authorization':f'Bearer {here.keys["acme"]}'},json=dict(messages=question(2),task='tools',stream=True)) as r:
        assert r.headers['content-type'].startswith('text/event-stream') and 'x-cache' not in r.headers
        events = [e.split('\n') for e in ''.join(r.iter_text()).strip().split('\n\n')]
    named = [(name.removeprefix('event: '),json.loads(data.removeprefix('data: '))) for name,data in events]
    assert ''.join(d['text'] for n,d in named if n=='piece')==whole['text']==named[-1][1]['text'] and named[-1][0]=='answer'
    assert named[-1][1]['composition']==whole['composition'] and named[-1][1]['id']!=whole['id'] and verified(here,named[-1][1])

def test_a_stream_that_cannot_begin_has_a_status(here): assert ask(here,stream=True,adapters=['nobody'],task=None).status_code==404

# --- the cache

def test_only_what_is_certain_is_kept(here):
    def cached(**more): return [ask(here,i=3,**more).headers.get('x-cache') for _ in range(2)]
    assert cached(max_new_tokens=5)==['MISS','HIT']
    assert cached(temperature=.7,max_new_tokens=5)==[None,None] and cached(stream=True,max_new_tokens=5)==[None,None]
    assert ask(here,i=3,max_new_tokens=5,headers={'Cache-Control':'no-store'}).headers.get('x-cache') is None
    assert ask(here,'birch',i=3,max_new_tokens=5).headers['x-cache']=='MISS' # Another tenant's question
    assert [ask(here,i=3,adapters=['nobody'],task=None).headers.get('x-cache') for _ in range(2)]==[None,None]

def test_a_swap_is_seen_at_once(begin):
    here = begin()
    asked = dict(i=3,max_new_tokens=5)
    first,again = ask(here,**asked),ask(here,**asked)
    moved = here.ask('POST','/composition/swap','operator',json=dict(old_adapter_id='task_tools',new_adapter_id='task_tools_first')).json()
    after = ask(here,**asked)
    assert (first.headers['x-cache'],again.headers['x-cache'],after.headers['x-cache'])==('MISS','HIT','MISS')
    assert after.json()['composition']['adapters'][0]['version']==moved['after']!=first.json()['composition']['adapters'][0]['version'] and len(here.runtime.responses)==1
    here.ask('POST','/composition/rollback','operator',json=dict(adapter_id='task_tools'))
    assert ask(here,**asked).json()['composition']==first.json()['composition'] and verified(here,after.json())

# --- once

def test_a_key_brings_the_first_answer_and_one_record(here):
    before = here.ask('GET','/analytics/adapters/task_tools').json()['total_requests']
    answers,barrier = [],threading.Barrier(4)
    def go():
        barrier.wait(); answers.append(ask(here,i=4,temperature=1.,seed=5,headers={'Idempotency-Key':'order-7'}).json())
    threads = [threading.Thread(target=go) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    answers.append(ask(here,i=4,temperature=1.,seed=5,headers={'Idempotency-Key':'order-7'}).json())
    assert len({a['id'] for a in answers})==1 and len({a['text'] for a in answers})==1
    assert here.ask('GET','/analytics/adapters/task_tools').json()['total_requests']==before+1
    assert ask(here,i=5,headers={'Idempotency-Key':'order-7'}).status_code==409
    assert ask(here,'birch',i=4,headers={'Idempotency-Key':'order-7'}).json()['id']!=answers[0]['id']

def test_what_was_not_taken_and_comes_again_is_no_failure(begin, monkeypatch):
    here = begin()
    v = [dict(variant_id=k,adapter_ids=[a],traffic_percentage=.5) for k,a in (('a','task_tools_first'),('b','task_tools'))]
    here.ask('POST','/ab-testing/experiments',json=dict(experiment_id='x',variants=v)); here.ask('POST','/ab-testing/experiments/x/start')
    take,turn = here.runtime.compositor.submit,iter(range(100))
    def busy(*args, **more):
        if next(turn)%2==0: raise BusyError('Full.','Later.')
        return take(*args,**more)
    monkeypatch.setattr(here.runtime.compositor,'submit',busy)
    codes = [here.infer(f'row {i}',adapters=['task_tools_first'],max_new_tokens=2,user_id=f'u{i}',headers={'Idempotency-Key':f'k{i}'}).status_code for i in range(4) for _ in range(2)]
    found = here.ask('GET','/ab-testing/experiments/x/results').json()
    assert codes==[503,200]*4 and found['impressions']==4 and sum(v['successes'] for v in found['variants'].values())==4

def test_a_key_and_the_cache_go_together(here):
    asked = dict(i=3,max_new_tokens=6)
    first = ask(here,**asked)
    kept = ask(here,headers={'Idempotency-Key':'from-the-cache'},**asked)
    again = ask(here,headers={'Idempotency-Key':'from-the-cache'},**asked)
    assert kept.headers['x-cache']=='HIT' and kept.json()==again.json()==first.json()
    assert ask(here,headers={'Idempotency-Key':'from-the-cache'},i=2).status_code==409

# --- OpenAI's client

@pytest.fixture
def openai(here): return OpenAI(api_key=here.keys['acme'], base_url='http://localhost/v1', http_client=here.client, max_retries=0)

def test_openais_client_asks_a_stack(openai, here):
    r = openai.chat.completions.create(model='task_tools', messages=question(), max_tokens=200, user='ana', temperature=0)
    own = ask(here,task=None,adapters=['task_tools'],max_new_tokens=200,user_id='ana').json()
    assert r.choices[0].message.content==own['text'] and r.choices[0].finish_reason=='stop' and r.usage.total_tokens==sum(own['tokens'].values()) and r.system_fingerprint==own['composition']['identity']
    assert verified(here,dict(id=r.id))

def test_openais_client_reads_a_stream(openai):
    whole = openai.chat.completions.create(model='task_tools', messages=question(), max_completion_tokens=200)
    chunks = list(openai.chat.completions.create(model='task_tools', messages=question(), max_completion_tokens=200, stream=True, stream_options=dict(include_usage=True)))
    assert ''.join(c.choices[0].delta.content or '' for c in chunks if c.choices)==whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1]=='stop' and chunks[-1].usage.total_tokens==whole.usage.total_tokens

def test_openais_client_lists_models_and_understands_errors(openai, here):
    assert {'base','task_tools'}<={m.id for m in openai.models.list()}
    with pytest.raises(NotFoundError): openai.chat.completions.create(model='task_tools+nobody', messages=question())
    with pytest.raises(AuthenticationError): OpenAI(api_key='no', base_url='http://localhost/v1', http_client=here.client, max_retries=0).models.list()
    assert openai.chat.completions.create(model='base', messages=[dict(role='user',content=[dict(type='text',text='spend=1')])], max_tokens=3).choices[0].finish_reason in ('length','stop')

# --- receipts

def test_a_receipt_is_the_tenants_own(here):
    r = ask(here,i=1,user_id='zoe').json()
    mine = here.ask('GET',f'/answers/{r["id"]}').json()
    assert mine['text']==r['text'] and mine['prompt']==[dict(m) for m in question()] and mine['who']==here.keys['acme'].split('_')[1]
    assert here.ask('GET',f'/answers/{r["id"]}','birch').status_code==404 and here.ask('GET',f'/answers/{r["id"]}/why','birch').status_code==404
    w = here.ask('GET',f'/answers/{r["id"]}/why').json()
    assert w['verified'] and abs(sum(s for t in w['tokens'] for s in t['shares'].values())-sum(t['logprob'] for t in w['tokens']))<1e-2 and ''.join(t['text'] for t in w['tokens'])==r['text']
    assert [here.ask('POST',f'/answers/{r["id"]}/queue').json()['new'] for _ in range(2)]==[True,False]
    assert here.ask('POST',f'/answers/{r["id"]}/pin',json=dict(expected='better')).json()['completion'][0]['content']=='better'

def test_where_no_texts_are_kept_the_receipt_has_all_but_them(begin):
    here = begin()
    here.ask('PUT','/tenants/acme/settings','operator',json=dict(keep_days=0))
    r = ask(here,headers={'Idempotency-Key':'k'}).json()
    mine = here.ask('GET',f'/answers/{r["id"]}').json()
    assert mine['text'] is None and mine['prompt'] is None and mine['composition']['identity']==r['composition']['identity'] and mine['tokens']==r['tokens']
    assert here.ask('GET',f'/answers/{r["id"]}/why').json()['verified'] is None
    assert here.ask('POST',f'/answers/{r["id"]}/queue').status_code==404
    here.runtime.journal.flush()
    everything = b''.join(p.read_bytes() for p in here.folder.glob('server.db*'))
    assert r['text'].encode() not in everything and question()[-1]['content'].encode()[:60] not in everything
    assert r['id'].encode() in everything
    assert ask(here,headers={'Idempotency-Key':'k'}).json()['id']==r['id'] # This process remembers

# --- an engine that dies

def test_an_engine_that_dies_goes_on_with_its_queue_and_says_so(begin, monkeypatch):
    here = begin()
    loop = here.runtime.compositor.engine.loop
    turn,left = loop._turn,[2]
    def dies():
        if left[0]: left[0] -= 1; raise SystemExit('as if the thread was killed')
        turn()
    monkeypatch.setattr(loop,'_turn',dies)
    codes = []
    threads = [threading.Thread(target=lambda i=i: codes.append(here.infer(f'row {i}').status_code)) for i in range(6)]
    for t in threads: t.start()
    for t in threads: t.join()
    said = here.ask('GET','/health','operator').json()
    assert codes==[200]*6 and said['engine']['deaths']==2 and said['ready'] and 'rmn_engine_deaths 2' in here.ask('GET','/metrics','operator',headers={'Accept':'text/plain'}).text

def test_an_engine_that_cannot_go_on_answers_503(begin, monkeypatch):
    here = begin()
    loop = here.runtime.compositor.engine.loop
    turn,left = loop._turn,[50]
    def dies():
        if left[0]: left[0] -= 1; raise MemoryError('nothing is left')
        turn()
    monkeypatch.setattr(loop,'_turn',dies)
    r = here.infer('row')
    assert r.status_code==503 and r.headers['retry-after'] and 'nothing is left' not in r.json()['title']
    left[0] = 0
    assert here.infer('row').status_code==200 and here.ask('GET','/health',None).json()['ready']
