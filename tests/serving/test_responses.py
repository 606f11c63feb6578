"serving.responses: an answer comes back for exactly what it was made for, not too late, and not too much of it is kept."
import threading, time
from collections import OrderedDict

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rmn_lora.errors import WorkbenchError
from rmn_lora.serving.responses import RedisResponses, ResponseCache, is_certain, response_key

text = st.text(max_size=6)
value = st.recursive(st.none()|st.booleans()|st.integers(-9,9)|st.floats(allow_nan=False,allow_infinity=False)|text, lambda v: st.lists(v,max_size=3)|st.dictionaries(text,v,max_size=3), max_leaves=5)
asked = st.tuples(text,text,text,st.dictionaries(st.sampled_from(['temperature','seed','top_p']),st.integers(0,3),max_size=3),value)

def canonical(v):
    "Equal exactly where the JSON is."
    if isinstance(v,dict): return 'd',tuple(sorted((k,canonical(x)) for k,x in v.items()))
    if isinstance(v,(list,tuple)): return 'l',tuple(map(canonical,v))
    return type(v).__name__,repr(v)

@settings(max_examples=300)
@given(asked, asked)
def test_no_two_different_requests_share_a_key(a, b):
    assert (response_key(*a)==response_key(*b))==(tuple(map(canonical,a))==tuple(map(canonical,b)))

@given(text,text,text,text)
def test_parts_do_not_run_into_each_other(a, b, c, d):
    assert (response_key(a,b,'',{},'')==response_key(c,d,'',{},''))==((a,b)==(c,d))

@pytest.mark.parametrize('wrong', [float('nan'),object(),{1,2},b'x'])
def test_what_is_no_json_has_no_key(wrong):
    with pytest.raises(WorkbenchError): response_key('t','b','i',{},wrong)

def test_only_the_likeliest_answer_is_certain(): assert [is_certain(d) for d in (dict(),dict(temperature=0),dict(temperature=0.),dict(temperature=.7,seed=1))]==[True,True,True,False]

class Model(RuleBasedStateMachine):
    "Against a plain list in order of use."
    def __init__(self):
        super().__init__()
        self.at,self.kept = 0.,OrderedDict()
        self.cache = ResponseCache(ttl=10,max_size=4,max_bytes=200,clock=lambda: self.at)
    @rule(dt=st.integers(0,6))
    def wait(self, dt): self.at += dt
    @rule(key=st.sampled_from('abcdef'),size=st.integers(0,25),tenant=st.sampled_from('xy'))
    def put(self, key, size, tenant):
        self.cache.put(key,key.encode()*size,tenant,key)
        if size>20: return
        self.kept.pop(key,None); self.kept[key] = self.at,size,tenant
        while len(self.kept)>4 or sum(s for _,s,_ in self.kept.values())>200: self.kept.popitem(last=False)
    @rule(key=st.sampled_from('abcdef'))
    def get(self, key):
        found,want = self.cache.get(key),self.kept.get(key)
        if want and self.at-want[0]>=10: del self.kept[key]; want = None
        assert (found is None)==(want is None)
        if want: self.kept.move_to_end(key); assert (found.body,found.age)==(key.encode()*want[1],self.at-want[0])
    @rule(tenant=st.sampled_from(['x','y',None]),identity=st.sampled_from(['a','b',None]))
    def flush(self, tenant, identity):
        gone = [k for k,(_,_,t) in self.kept.items() if tenant in (None,t) and identity in (None,k)]
        assert self.cache.flush(tenant,identity)==len(gone)
        for k in gone: del self.kept[k]
    @invariant()
    def nothing_else_is_kept(self): assert list(self.cache._kept)==list(self.kept) and self.cache._bytes==sum(s for _,s,_ in self.kept.values())
TestModel = Model.TestCase

def test_threads_leave_it_whole():
    cache = ResponseCache(max_size=50)
    def work(seed):
        for i in range(2000):
            k = str((i*seed)%97)
            cache.put(k,b'x'*(i%9),'t',k) if i%3 else cache.get(k)
            if i%500==0: cache.flush(identity=k)
    threads = [threading.Thread(target=work,args=(s,)) for s in (3,5,7,11)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert len(cache)<=50 and cache._bytes==sum(len(v[1]) for v in cache._kept.values())

@pytest.mark.parametrize('wrong', [dict(ttl=0),dict(max_size=0),dict(max_bytes=0)])
def test_caches_that_cannot_be(wrong):
    with pytest.raises(WorkbenchError): ResponseCache(**wrong)

def test_redis_keeps_them_for_all(redis_url):
    one,two = RedisResponses(redis_url,ttl=5),RedisResponses(redis_url,ttl=5)
    for k,t,i in (('k1','acme','s1'),('k2','acme','s2'),('k3','birch','s1')): one.put(k,b'\x00'+k.encode(),t,i)
    kept = two.get('k1')
    assert kept.body==b'\x00k1' and 0<=kept.age<1 and two.get('nobody') is None and (two.hits,two.misses)==(1,1)
    assert two.flush('acme','s1')==1 and one.get('k1') is None and one.get('k2') and two.flush(identity='s1')==1 and one.get('k3') is None
    assert two.flush('acme')==1 and one.flush()==0
    for i in ('','s1'): one.put(f'b{i}',b'x','acme',i)
    assert two.flush('acme','')==1 and one.get('bs1') # The base alone

def test_redis_forgets_in_time(redis_url):
    cache = RedisResponses(redis_url,ttl=.2); cache.put('k',b'x','t','i')
    assert cache.get('k'); time.sleep(.25); assert cache.get('k') is None

def test_a_redis_that_is_gone_has_no_answers():
    pytest.importorskip('redis', reason='redis is not installed')
    cache = RedisResponses('redis://127.0.0.1:1/0'); cache.put('k',b'x','t','i')
    assert cache.get('k') is None and cache.flush()==0
