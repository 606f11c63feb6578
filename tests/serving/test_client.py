"serving.client: every route is a method, a refusal is the error that was raised, and what is asked again is asked as it may be."
import asyncio, inspect, json, re, socket, threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx, pytest

from rmn_lora import errors
from rmn_lora.errors import AccessError, AdapterError, ConflictError, CredentialError, DeadlineError, ExperimentConflictError, MissingError, NoAdapterError, NoAnswerError, NoKeyError, SettingsError, UnavailableError, WorkbenchError
from rmn_lora.serving.client import AsyncClient, Client
from rmn_lora.serving.inference import Answer
from rmn_lora.serving.problems import STATUS, problem_of

def through(here):
    "A transport to a server in this process."
    def ask(request):
        headers = [(k,v) for k,v in request.headers.raw if k.lower() not in (b'host',b'content-length',b'connection')]
        came = here.client.request(request.method, request.url.raw_path.decode(), headers=headers, content=request.content)
        return httpx.Response(came.status_code, headers=[(k,v) for k,v in came.headers.multi_items() if k!='content-length'], content=came.content)
    return httpx.MockTransport(ask)

@pytest.fixture(scope='module')
def acme(here):
    with Client('http://here', here.keys['acme'], transport=through(here)) as client: yield client
@pytest.fixture(scope='module')
def operator(here):
    with Client('http://here', here.keys['operator'], transport=through(here)) as client: yield client

SAID = dict(id='ans-1', text='yes', finish='stop', composition=dict(identity='', base='b', adapters=[]), tokens=dict(prompt=1,answer=1), timings_ms={})

class Server:
    "Answers what it was told to, one after the other, and the last for ever."
    def __init__(self, *answers, **more):
        self.answers,self.asked,self.waited = list(answers),[],[]
        self.client = Client(transport=httpx.MockTransport(self.answer), **more)
        self.client._sleep = self.waited.append
    def answer(self, request):
        self.asked.append(request)
        a = self.answers.pop(0) if len(self.answers)>1 else self.answers[0]
        if isinstance(a,type): raise a('lost')
        status,headers,body = (a,{},SAID) if isinstance(a,int) else a
        return httpx.Response(status, headers=headers, **(dict(content=body) if isinstance(body,bytes|list) else dict(json=body)))
    @property
    def keys(self): return [r.headers.get('Idempotency-Key') for r in self.asked]

# --- every route

def test_every_route_has_a_method(here, tmp_path):
    for name in ('adapter_config.json','adapter_model.safetensors'): (tmp_path/name).touch()
    special,asked = dict(folder=tmp_path, variants=[], candidates=['x'], ids=['x'], adapter_ids=['x'], tenants=None, settings={}),set()
    def answer(request):
        asked.add((request.method,request.url.path))
        return httpx.Response(200, json=SAID|dict(recorded=True))
    client = Client(transport=httpx.MockTransport(answer))
    methods = {n: getattr(client,n) for n in dir(client) if not n.startswith('_') and n not in ('close','url')}
    for n,method in methods.items():
        needed = [p.name for p in inspect.signature(method).parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        came = method(**{p: special.get(p,'x') for p in needed})
        if n=='stream':
            with pytest.raises(UnavailableError): list(came)
    there = {(m.upper(),re.compile(re.sub(r'\{[^}]*\}','[^/]+',path))) for path,ops in here.app.openapi()['paths'].items() if not path.startswith('/v1/') for m in ops}
    assert [(m,p.pattern) for m,p in there if not any(m==a and p.fullmatch(b) for a,b in asked)]==[]
    assert [(a,b) for a,b in asked if not any(m==a and p.fullmatch(b) for m,p in there)]==[]

def test_both_clients_have_the_same_methods():
    def methods(kind): return {n: [(p.name,p.default) for p in inspect.signature(getattr(kind,n)).parameters.values()] for n in dir(kind) if not n.startswith('_')}
    assert methods(Client)==methods(AsyncClient)

def test_answers(acme):
    a = acme.infer('spend=1.50', task='tools', max_new_tokens=6)
    assert isinstance(a,Answer) and [p.id for p in a.composition.adapters]==['task_tools'] and a.unmatched==[]
    assert acme.infer([dict(role='user',content='spend=1.50')], adapters=['task_tools'], max_new_tokens=6).text==a.text
    assert acme.infer('spend=1.50', adapters=[], max_new_tokens=6).composition.adapters==[]
    assert acme.answer(a.id)['text']==a.text and acme.why(a.id)['verified']
    assert [acme.queue(a.id)['new'] for _ in range(2)]==[True,False]
    assert acme.pin(a.id,'yes')['completion']==[dict(role='assistant',content='yes')]

def test_pieces_joined_are_the_text(acme):
    *pieces,whole = acme.stream('Call a tool\nspend=12.50\nobjective=pause', task='tools', max_new_tokens=20)
    assert len(pieces)>1 and ''.join(pieces)==whole.text==acme.infer('Call a tool\nspend=12.50\nobjective=pause', task='tools', max_new_tokens=20).text
    *pieces,same = acme.stream('Call a tool\nspend=12.50\nobjective=pause', task='tools', max_new_tokens=20, key='k')
    assert pieces==[whole.text] and same.id==acme.infer('Call a tool\nspend=12.50\nobjective=pause', task='tools', max_new_tokens=20, key='k').id!=whole.id

def test_a_key_makes_two_calls_one(acme):
    assert len({acme.infer('spend=1.50', task='tools', max_new_tokens=4, key='bestellung-ü').id for _ in range(2)})==1
    assert len({acme.infer('spend=1.50', task='tools', max_new_tokens=4, temperature=.5).id for _ in range(2)})==2 # Calls without a key have one each
    assert len({acme.infer('spend=1.50', task='tools', max_new_tokens=4).id for _ in range(2)})==1 # From the cache, with the key all the same
    with pytest.raises(ConflictError, match='Another request') as e: acme.infer('spend=1.50', task='tools', max_new_tokens=5, key='bestellung-ü')
    assert e.value.status==409

def test_adapters(here, acme, operator):
    now,first = (acme.aliases()[n]['version'] for n in ('task_tools','task_tools_first'))
    made = acme.upload(here.runtime.manager.store.look_up('task_tools_first').path, 'voice', 'task')
    assert made['name']=='voice' and 'voice' in {n for a in acme.adapters()['adapters'] for n in a['names']}
    acme.upload(here.runtime.manager.store.look_up('task_tools').path, 'voice', 'task', move=False)
    assert acme.aliases()['voice']['version']==made['version']
    assert acme.move('mine',first)['version']==first
    assert acme.swap('mine','task_tools',warm=False)['after']==now and acme.rollback('mine')['after']==first
    assert acme.prefetch(['task_tools'])['request_id']
    assert operator.composition_stats().keys()>={'cached_compositions','cache_hit_rate'}
    with pytest.raises(AdapterError, match='adapter_config.json'): acme.upload(here.folder,'voice','task')

def test_experiments(acme):
    acme.move('base_tools','task_tools_first')
    arms = [dict(variant_id=v,adapter_ids=[a],traffic_percentage=.5) for v,a in (('old','base_tools'),('new','task_tools'))]
    assert acme.create_experiment('tools',arms,name='Which?',outcomes='later',min_sample_size=10)['status']=='draft'
    with pytest.raises(ExperimentConflictError): acme.create_experiment('tools',arms)
    assert acme.start('tools','ready')['status']=='running' and [e['experiment_id'] for e in acme.experiments('running')]==['tools'] and acme.experiments('stopped')==[]
    assert acme.assign('tools','user-1')==acme.assign('tools','user-1',dict(task='tools'))
    key = acme.record_impression('tools','new',None,100.,user_id='user-1')['key']
    assert acme.record_outcome('tools',key,True,5)['recorded'] and acme.record_outcome('tools',key,False)['recorded']
    for _ in range(2): acme.record_impression('tools','old',False,key='again')
    assert {v: r['impressions'] for v,r in acme.results('tools')['variants'].items()}==dict(old=1,new=1)
    with pytest.raises(ExperimentConflictError): acme.promote('tools')
    for _ in range(60):
        for v in ('old','new'): acme.record_impression('tools',v,v=='new')
    assert acme.promote('tools','clear')['winner']=='new' and acme.aliases()['base_tools']['version']==acme.aliases()['task_tools']['version']
    acme.roll_back('tools')
    assert acme.aliases()['base_tools']['version']==acme.aliases()['task_tools_first']['version']
    assert [h['action'] for h in acme.experiment('tools')['history']]==['create','start','decide','promote','roll back']
    acme.create_experiment('more',arms)
    acme.start('more')
    assert acme.stop('more','enough')['status']=='stopped'

def test_what_came_of_requests(acme):
    for _ in range(2): assert acme.record_request('elsewhere','retailer',100.,True,'mapping',key='once')['key']=='once'
    acme.record_request('elsewhere',success=False)
    assert acme.metrics_of('elsewhere')['total_requests']==2
    assert 'elsewhere' in {m['adapter_id'] for m in acme.top('total_requests',50)}
    assert acme.compare(['elsewhere','task_tools'])['adapters'].keys()=={'elsewhere','task_tools'}
    chosen = acme.select([dict(prompt=str(i),model_output=str(i),score=i/10) for i in range(5)], batch_size=2, strategy='top')
    assert [c['prompt'] for c in chosen]==['4','3']

def test_running_it(here, acme, operator):
    assert operator.register('cedar','Cedar',dict(keep_days=3))['api_key'].startswith('rmn_') and 'cedar' in {t['tenant_id'] for t in operator.tenants()}
    assert operator.change_tenant('cedar',dict(keep_days=5))['keep_days']==5
    key = operator.issue_key(['cedar'],('infer','read'),'nightly',2)['api_key']
    id = key.split('_')[1]
    assert [k['name'] for k in operator.keys() if k['key_id']==id]==['nightly']
    new = operator.rotate_key(id,60)['api_key']
    for k in (key,new+'\n'):
        with Client('http://here',k,transport=through(here)) as cedar: assert cedar.me()['tenant']=='cedar'
    assert operator.revoke_key(new.split('_')[1])==dict(revoked=True)
    with Client('http://here',new,transport=through(here)) as cedar, pytest.raises(CredentialError): cedar.me()
    assert Client('http://here',here.keys['operator'],'acme',transport=through(here)).me()['tenant']=='acme'
    assert operator.status()['ready'] and operator.metrics()['total_requests']>0 and operator.health()['base'] and acme.health().keys()=={'status','live','ready'}

# --- what went wrong

def test_errors_are_those_of_the_server(here, acme, operator):
    for wrong,kind,status in [(lambda: acme.infer('x',adapters=['nobody']),NoAdapterError,404),(lambda: acme.answer('ans-0'),NoAnswerError,404),(lambda: acme.keys(),AccessError,403),(lambda: operator.revoke_key('0'),NoKeyError,404),
            (lambda: acme.infer('x',top_p=2),WorkbenchError,422),(lambda: Client('http://here',transport=through(here)).me(),CredentialError,401),(lambda: acme.answer('..'),MissingError,None),(lambda: acme.experiment(''),MissingError,None)]:
        with pytest.raises(kind) as e: wrong()
        assert type(e.value) is kind and e.value.what and e.value.fix and getattr(e.value,'status',None)==status and (status is None or re.fullmatch('[0-9a-f]{32}',e.value.request_id))
    with pytest.raises(NoAdapterError): list(acme.stream('x',adapters=['nobody']))

@pytest.mark.parametrize('kind', [k for n in errors.__all__ if issubclass(k := getattr(errors,n),tuple(STATUS))], ids=lambda k: k.__name__)
def test_each_error_comes_back_as_itself(kind):
    problem = problem_of(kind('what','fix'))
    server = Server((problem.status,problem.headers,problem.document('17')), retries=0)
    with pytest.raises(kind) as e: server.client.adapters()
    assert type(e.value) is kind and (e.value.what,e.value.fix,e.value.status,e.value.request_id)==('what','fix',problem.status,'17')

@pytest.mark.parametrize('status,kind', [(400,WorkbenchError),(401,CredentialError),(403,AccessError),(404,MissingError),(405,WorkbenchError),(409,ConflictError),(413,WorkbenchError),(429,UnavailableError),(500,WorkbenchError),(502,WorkbenchError),(503,UnavailableError),(504,DeadlineError),(307,WorkbenchError)])
@pytest.mark.parametrize('body', [b'<html>', b'', b'[1]', b'{"detail":[]}', json.dumps(dict(type='about:blank',title='No.',status=1)).encode(), json.dumps(dict(type='urn:rmn-lora:problem:nothing-known',title='No.')).encode()], ids=range(6))
def test_what_has_no_error_of_its_own_is_that_of_its_status(status, kind, body):
    with pytest.raises(kind) as e: Server((status,{},body), retries=0).client.adapters()
    assert type(e.value) is kind and e.value.status==status

def test_a_fault_of_the_server_says_under_which_id_it_is_found():
    with pytest.raises(WorkbenchError, match="request's id. It is 17"): Server((500,{},problem_of(ValueError()).document('17'))).client.adapters()

@pytest.mark.parametrize('ask', [lambda c: c.adapters(), lambda c: c.infer('x')])
def test_another_server_is_told_apart(ask):
    with pytest.raises(WorkbenchError, match='Is it the workbench'): ask(Server((200,{},b'<html>')).client)

@pytest.mark.parametrize('url', ['', 'localhost:8000', 'ftp://here', 'http://', 'http://here:port'])
def test_an_address_that_is_none(url):
    with pytest.raises(SettingsError): Client(url)

def test_what_is_no_json_is_not_sent():
    for said in (float,'\ud800'):
        with pytest.raises(WorkbenchError, match='no JSON'): Server(200).client.select([dict(prompt=said)])

def test_a_server_below_a_path():
    server = Server((200,{},{}), url='https://here/rmn/')
    server.client.metrics_of('a/b?c')
    assert str(server.asked[0].url)=='https://here/rmn/analytics/adapters/a%2Fb%3Fc'

# --- again

@pytest.mark.parametrize('status', [429,503])
@pytest.mark.parametrize('ask', [lambda c: c.infer('x'), lambda c: c.swap('a','b'), lambda c: c.adapters()], ids=['infer','swap','adapters'])
def test_it_waits_as_long_as_it_is_told(status, ask):
    server = Server((status,{'Retry-After': '2'},{}),(status,{'Retry-After': '7'},{}),200)
    ask(server.client)
    assert server.waited==[2,7] and len(server.asked)==3 and len({r.content for r in server.asked})==1

def test_it_waits_half_a_minute_at_most_and_understands_dates():
    server = Server((503,{'Retry-After': '86400'},{}),(503,{'Retry-After': format_datetime(datetime.now(UTC)+timedelta(seconds=20),usegmt=True)},{}),(503,{'Retry-After': 'Thu, 01 Jan 1970 00:00:00 GMT'},{}),200)
    server.client.adapters()
    assert server.waited[0]==30 and 10<server.waited[1]<=20 and server.waited[2]==0

@pytest.mark.parametrize('said', [{},{'Retry-After': 'soon'},{'Retry-After': '-1'},{'Retry-After': b'\xb2'}])
def test_pauses_double_where_nothing_is_said(said):
    server = Server((503,said,{}), retries=8)
    with pytest.raises(UnavailableError): server.client.adapters()
    assert len(server.asked)==9 and all(min(30,.5*2**n)<=w<=min(30,.625*2**n) for n,w in enumerate(server.waited))

def test_retries_end():
    for retries in (0,2):
        server = Server((429,{'Retry-After': '1'},dict(type='urn:rmn-lora:problem:too-many-requests',title='Too many requests.',detail='3 calls',remedy='Wait.')), retries=retries)
        with pytest.raises(UnavailableError) as e: server.client.adapters()
        assert len(server.asked)==retries+1 and (e.value.what,e.value.fix,e.value.status)==('3 calls','Wait.',429)

@pytest.mark.parametrize('status', [400,401,404,409,422,500,502,504])
def test_other_refusals_are_final(status):
    server = Server(status)
    with pytest.raises(WorkbenchError): server.client.infer('x')
    assert len(server.asked)==1

READS = dict(adapters=lambda c: c.adapters(), infer=lambda c: c.infer('x'), move=lambda c: c.move('a','b'), revoke_key=lambda c: c.revoke_key('a'), record_request=lambda c: c.record_request('a'), record_impression=lambda c: c.record_impression('a','b',True), record_outcome=lambda c: c.record_outcome('a','b',True), keyed_stream=lambda c: list(c.stream('x',key='k')))
WRITES = dict(swap=lambda c: c.swap('a','b'), rollback=lambda c: c.rollback('a'), start=lambda c: c.start('a'), promote=lambda c: c.promote('a'), create=lambda c: c.create_experiment('a',[]), issue_key=lambda c: c.issue_key(None), rotate_key=lambda c: c.rotate_key('a'), register=lambda c: c.register('a'), select=lambda c: c.select(['a'],enqueue=True), stream=lambda c: list(c.stream('x')))

WHOLE = (200,{},b'event: answer\ndata: '+json.dumps(SAID).encode()+b'\n\n')
def good(name): return WHOLE if 'stream' in name else 200

@pytest.mark.parametrize('lost', [httpx.ReadError,httpx.RemoteProtocolError,httpx.WriteError])
@pytest.mark.parametrize('name', READS)
def test_what_may_be_done_twice_is_asked_again_after_a_broken_connection(name, lost):
    server = Server(lost,good(name))
    READS[name](server.client)
    assert len(server.asked)==2 and server.asked[0].content==server.asked[1].content and server.keys[0]==server.keys[1]

@pytest.mark.parametrize('lost', [httpx.ReadError,httpx.RemoteProtocolError,httpx.WriteError])
@pytest.mark.parametrize('name', WRITES)
def test_what_may_not_is_asked_once(name, lost):
    server = Server(lost,good(name))
    with pytest.raises(UnavailableError, match='failed') as e: WRITES[name](server.client)
    assert len(server.asked)==1 and e.value.status is None and isinstance(e.value.__cause__,lost)

@pytest.mark.parametrize('lost', [httpx.ConnectError,httpx.ConnectTimeout])
@pytest.mark.parametrize('name', [*READS,*WRITES])
def test_where_nobody_was_reached_all_may_be_asked_again(name, lost):
    server = Server(lost,lost,good(name))
    (READS|WRITES)[name](server.client)
    assert len(server.asked)==3 and len(server.waited)==2

def test_time_that_is_up_is_up():
    server = Server(httpx.ReadTimeout, timeout=5)
    with pytest.raises(DeadlineError, match='5 seconds'): server.client.infer('x')
    assert len(server.asked)==1

def test_keys_are_the_same_in_each_try_and_others_in_each_call():
    server = Server((503,{'Retry-After': '0'},{}),httpx.ReadError,200)
    server.client.infer('x')
    for key in (None,'mine'): server.client.infer('x',key=key)
    *one,two,three = server.keys
    assert len(one)==3 and len(set(one))==1 and one[0] not in (None,two) and three=='mine'
    sent = Server((503,{'Retry-After': '0'},{}),httpx.ReadError,(200,{},dict(recorded=True)))
    keys = [sent.client.record_request('a')['key'] for _ in range(2)]
    bodies = [json.loads(r.content)['key'] for r in sent.asked]
    assert bodies==[keys[0]]*3+[keys[1]] and keys[0]!=keys[1]

def test_health_is_answered_as_it_is():
    server = Server((503,{'Retry-After': '1'},dict(status='draining',live=True,ready=False)))
    assert server.client.health()['status']=='draining' and server.waited==[]

# --- streams

def events(*said): return b''.join(b'event: '+n.encode()+b'\ndata: '+json.dumps(d,ensure_ascii=False).encode()+b'\n\n' for n,d in said)

@pytest.mark.parametrize('size', [1,2,7,1000])
def test_events_in_any_pieces(size):
    texts = ['one\n\ntwo','\u2028\x85','ü€😀','','event: answer']
    raw = b': ping\n\n'+events(*(('piece',dict(text=t)) for t in texts),('answer',SAID))
    *pieces,whole = Server((200,{},[raw[i:i+size] for i in range(0,len(raw),size)])).client.stream('x')
    assert pieces==texts and whole.text=='yes'

def test_a_problem_in_the_middle_is_raised():
    came = Server((200,{},events(('piece',dict(text='a')),('problem',problem_of(DeadlineError('late','wait')).document('17'))))).client.stream('x')
    assert next(came)=='a'
    with pytest.raises(DeadlineError, match='late') as e: next(came)
    assert e.value.status==504 and e.value.request_id=='17'

def test_a_stream_that_breaks_is_not_taken_for_whole():
    def broken():
        yield events(('piece',dict(text='a')))
        raise httpx.ReadError('lost')
    for body,why in ((events(('piece',dict(text='a'))),'before the answer was whole'),(broken(),'lost')):
        client = Client(transport=httpx.MockTransport(lambda r, body=body: httpx.Response(200,content=body)))
        came = client.stream('x')
        assert next(came)=='a'
        with pytest.raises(UnavailableError, match=why): next(came)

class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
    closed = 0
    def __iter__(self):
        while True: yield events(('piece',dict(text='a')))
    async def __aiter__(self):
        for e in self: yield e
    def close(self): self.closed += 1
    async def aclose(self): self.closed += 1

def test_a_stream_that_is_left_is_closed():
    endless = Endless()
    answering = httpx.MockTransport(lambda r: httpx.Response(200,stream=endless))
    came = Client(transport=answering).stream('x')
    assert [next(came) for _ in range(3)]==['a']*3 and not endless.closed
    came.close()
    assert endless.closed==1
    async def leave():
        async with AsyncClient(transport=answering) as client:
            came = client.stream('x')
            assert [await anext(came) for _ in range(3)]==['a']*3
            await came.aclose()
    asyncio.run(leave())
    assert endless.closed==2

def test_a_stream_is_asked_for_again_until_it_begins():
    server = Server((503,{'Retry-After': '3'},{}),httpx.ConnectError,WHOLE)
    assert [a.text for a in server.client.stream('x')]==['yes'] and server.waited[0]==3 and server.keys==[None]*3

# --- async, and over the network

def test_the_async_client_does_the_same(here):
    async def ask():
        waited = []
        async def sleep(seconds): waited.append(seconds)
        async with AsyncClient('http://here', here.keys['acme'], transport=through(here)) as client:
            a,b = await asyncio.gather(*(client.infer('spend=1.50', task='tools', max_new_tokens=6) for _ in range(2)))
            *pieces,whole = [p async for p in client.stream('spend=1.50', task='tools', max_new_tokens=6)]
            assert a.text==b.text==''.join(pieces)==whole.text
            assert (await client.answer(a.id))['text']==a.text and (await client.record_request('a'))['recorded']
            assert (await client.upload(here.runtime.manager.store.look_up('task_tools').path,'async','task'))['name']=='async'
            with pytest.raises(NoAdapterError): await client.infer('x',adapters=['nobody'])
            with pytest.raises(NoAdapterError): [p async for p in client.stream('x',adapters=['nobody'])]
        served = Server((503,{'Retry-After': '4'},{}),httpx.ReadError,200)
        async with AsyncClient(transport=httpx.MockTransport(served.answer)) as client:
            client._sleep = sleep
            assert (await client.infer('x')).text=='yes' and waited[0]==4 and len(waited)==2 and len(set(served.keys))==1
            served.answers = [httpx.ReadError]
            with pytest.raises(UnavailableError): await client.swap('a','b')
            with pytest.raises(UnavailableError): [p async for p in client.stream('x')]
            assert len(served.asked)==5
    asyncio.run(ask())

def test_over_the_network(apart):
    server = apart()
    question = dict(messages='Call a tool\nspend=12.50\nobjective=pause', task='tools', max_new_tokens=12)
    with Client(server.url) as client:
        a = client.infer(**question)
        *pieces,whole = client.stream(**question)
        assert len(pieces)>1 and ''.join(pieces)==whole.text==a.text and client.why(a.id)['verified']
        async def ask():
            async with AsyncClient(server.url) as c: return await asyncio.gather(*(c.infer(**question) for _ in range(4))),[p async for p in c.stream(**question)]
        answers,(*pieces,whole) = asyncio.run(ask())
        assert {x.text for x in answers}=={a.text}=={''.join(pieces)}
        server.stop()
        gone = Client(server.url, retries=1)
        gone._sleep = lambda s: None
        with pytest.raises(UnavailableError, match='rmn-lora serve'): gone.health()
    async def gone_too():
        async with AsyncClient(server.url, retries=0) as c: await c.me()
    with pytest.raises(UnavailableError): asyncio.run(gone_too())

def test_a_connection_that_really_breaks():
    "A server that takes two requests and hangs up, and answers the third."
    seen,door = [],socket.create_server(('127.0.0.1',0))
    def serve():
        for n in range(3):
            c = door.accept()[0]
            with c:
                raw = b''
                while b'\r\n\r\n' not in raw or len(raw.split(b'\r\n\r\n',1)[1])<int(re.search(rb'content-length: (\d+)',raw.lower())[1]): raw += c.recv(65536)
                seen.append(re.search(rb'idempotency-key: (\w+)',raw.lower())[1])
                body = json.dumps(SAID).encode()
                if n==1: c.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{')
                if n==2: c.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n'%len(body)+body)
    thread = threading.Thread(target=serve)
    thread.start()
    with Client(f'http://127.0.0.1:{door.getsockname()[1]}') as client:
        client._sleep = lambda s: None
        assert client.infer('x').text=='yes' and len(seen)==3 and len(set(seen))==1
    thread.join()
    door.close()
