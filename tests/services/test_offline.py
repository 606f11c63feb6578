"services.offline, and the winner's way into production: real models, real swaps."
import json, math
from collections import Counter

import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy import stats

from rmn_lora.adapters.compositor import get_compositor
from rmn_lora.adapters.manager import AdapterManager
from rmn_lora.adapters.store import platform_store
from rmn_lora.errors import AdapterError, EngineError, ExperimentError
from rmn_lora.services.ab_testing import ABTestingFramework
from rmn_lora.services.offline import Answered, Replay, Shadow, as_expected, blind_pairs, forget_requests, keep_request, kept_requests, preference, replay
from rmn_lora.stats.fixed_horizon import mcnemar, paired_difference
from rmn_lora.storage.events import read
from rmn_lora.storage.journal import Journal
from rmn_lora.training.corpus import HELD_OUT_TOOLS
from rmn_lora.training.dataset import task_rows

REQUESTS = [dict(prompt=r['prompt'],expected=r['completion'][0]['content']) for r in task_rows(HELD_OUT_TOOLS,10,seed=3)]

@pytest.fixture(scope='module')
def manager(tmp_path_factory):
    folder = tmp_path_factory.mktemp('adapters')
    manager = AdapterManager('embedded',folder/'adapters',device='cpu')
    manager.store.publish(platform_store().resolve('task_tools').path,'task_tools','task',base=manager.base)
    for version in (1,2):
        peft = get_peft_model(type(manager.base.model)(manager.base.model.config),LoraConfig(r=4,target_modules='all-linear'))
        torch.manual_seed(version)
        for name,p in peft.named_parameters():
            if 'lora_' in name: p.data.normal_(std=.05)
        peft.save_pretrained(folder/f'v{version}')
        manager.store.publish(folder/f'v{version}',f'amazon_v{version}','retailer',base=manager.base)
    return manager

@pytest.fixture
def compositor(manager):
    compositor = get_compositor(manager)
    yield compositor
    compositor.close()

# --- replay

def test_a_replay_compares_the_same_requests(compositor):
    found = replay(compositor,dict(base=[],tools=['task_tools'],both=['task_tools','amazon_v1']),REQUESTS,max_new_tokens=48,progress=False)
    assert len(found.answered)==10 and all(set(a.answers)=={'base','tools','both'} for a in found.answered)
    alone = compositor.compose_sync(['task_tools'])
    for a in found.answered[:3]: assert a.answers['tools']==alone.generate(a.request['prompt'],max_new_tokens=48).text and a.right['tools']==as_expected(a.answers['tools'],a.request)
    gained = sum(a.right['tools'] and not a.right['base'] for a in found.answered); lost = sum(a.right['base'] and not a.right['tools'] for a in found.answered)
    d = json.loads(json.dumps(found.to_dict(),allow_nan=False))
    assert d['differences']['tools']['difference']==paired_difference(gained,lost,10).to_dict() and d['differences']['tools']['p']==mcnemar(lost,gained).p and gained>5
    assert 'more than base' in repr(found)

def test_more_requests_than_may_wait(manager, monkeypatch):
    monkeypatch.setenv('RMN_ENGINE_WAITING','6')
    compositor = get_compositor(manager)
    try: assert len(replay(compositor,dict(a=[],b=['task_tools']),REQUESTS,judge=lambda answer,request: len(answer)>3,max_new_tokens=6,progress=False).answered)==10
    finally: compositor.close()

@pytest.mark.parametrize('wrong', [lambda c: replay(c,dict(a=[]),REQUESTS,progress=False), lambda c: replay(c,dict(a=[],b=[]),[],progress=False), lambda c: replay(c,dict(a=[],b=['task_tools']),[dict(prompt='x')],max_new_tokens=2,progress=False)])
def test_what_cannot_be_compared_is_said(compositor, wrong):
    with pytest.raises(ExperimentError) as e: wrong(compositor)
    assert e.value.fix
    with pytest.raises(AdapterError): replay(compositor,dict(a=[],b=['nobody']),REQUESTS,progress=False)

def test_slower_is_in_the_mean_of_logarithms():
    answered = [Answered({},dict(a='',b=''),dict(a=True,b=True),dict(a=1.*k,b=1.5*k)) for k in (1,2,3,9)]
    i = Replay(('a','b'),answered).slower('b')
    assert i.estimate==pytest.approx(.5) and i.lo==pytest.approx(.5)
    assert Replay(('a','b'),answered).to_dict()['differences']['b']['p'] is None

# --- shadow

def test_a_shadow_answers_unseen_and_leaves_pairs(compositor, sqlite, tmp_path):
    journal = Journal(sqlite,spool=tmp_path/'s')
    shadow = Shadow(compositor,['task_tools'],judge=as_expected,journal=journal)
    for r in REQUESTS[:6]: shadow.beside(r,'no answer',.1,max_new_tokens=48)
    shadow.close(); journal.flush()
    report = shadow.report()
    assert (report['pairs'],report['failed'],report['same']['estimate'])==(6,0,0) and report['difference']['estimate']>.5
    kept = [e.body for p in read(sqlite) for e in p]
    assert len(kept)==6 and all(b['kind']=='shadow' and b['identity'] for b in kept)
    json.dumps(report,allow_nan=False)

def test_a_shadow_that_fails_or_is_late_is_counted(compositor):
    def judge(answer, request): raise ValueError
    shadow = Shadow(compositor,['task_tools'],judge=judge,waiting=2)
    for r in REQUESTS[:8]: shadow.beside(r,'x',.1,max_new_tokens=20)
    shadow.close()
    assert shadow.failed and shadow.failed+shadow.skipped==8 and shadow.report()['pairs']==0
    none = Shadow(compositor,['task_tools'],share=0.); none.beside(REQUESTS[0],'x',.1); none.close()
    assert none.report()['pairs']==none.skipped==0

# --- people

def test_sides_are_drawn_by_lot_and_equals_are_left_out():
    pairs,key = blind_pairs([(f'q{i}','same' if i%10==0 else f'old {i}','same' if i%10==0 else f'new {i}') for i in range(1000)])
    assert len(pairs)==len(key)==900 and stats.binomtest(Counter(key.values())['left'],900).pvalue>.001
    assert all(p[key[p['pair_id']]].startswith('new') and p[{'left':'right','right':'left'}[key[p['pair_id']]]].startswith('old') and set(p)=={'pair_id','prompt','left','right'} for p in pairs)

def test_votes_may_be_counted_at_any_time():
    import numpy as np
    fooled = found = 0
    for run in range(200):
        rng = np.random.default_rng(run)
        _,key = blind_pairs([(f'q{i}','a','b') for i in range(320)],seed=run)
        for share in (.5,.65):
            votes,done = {},False
            for i,(pair,side) in enumerate(key.items()):
                votes[pair] = side if rng.random()<share else {'left':'right','right':'left'}[side]
                if i%20==19 and not done: done = preference(votes,key).winner is not None
            fooled += done and share==.5; found += done and share==.65
    assert fooled/200<=.05 and found/200>.8
    with pytest.raises(ExperimentError): preference({'pair-x':'left'},key)
    with pytest.raises(ExperimentError): preference({'pair-1':'up'},key)
    assert preference({},key).winner is None and math.isnan(preference({},key).share.estimate)

# --- promotion

def experiment(framework, better='v2', arms=(['amazon_v1'],['amazon_v2']), name='x'):
    framework.create_experiment(name,variant_configs=[dict(variant_id=v,adapter_ids=a,traffic_percentage=.5) for v,a in zip(('v1','v2'),arms)],planned=800)
    framework.start_experiment(name)
    for i in range(800):
        v = framework.assign_variant(name,f'u{i}')
        framework.record_impression(name,v,i%10>0 if v==better else i%10>4,100.+i%7)
    return framework

def test_a_winner_is_promoted_and_taken_back(compositor, sqlite, tmp_path):
    framework = experiment(ABTestingFramework(sqlite,Journal(sqlite,spool=tmp_path/'s'),compositor))
    store = compositor.manager.store
    before,after = store.resolve('amazon_v1').version,store.resolve('amazon_v2').version
    done = framework.promote('x',who='ana',why='better')
    assert done['winner']=='v2' and store.resolve('amazon_v1').version==after and framework.get_experiment('x').status=='stopped'
    assert after in json.dumps(compositor.compose_sync(['amazon_v1']).generate('Which?',max_new_tokens=2).identity)
    back = framework.roll_back('x',who='ben',why='complaints')
    assert store.resolve('amazon_v1').version==before and back['swaps'][0]['after']==before
    assert [(h['action'],h['who'],h['why']) for h in framework.history('x')][-2:]==[('promote','ana','better'),('roll back','ben','complaints')]
    with pytest.raises(ExperimentError): framework.roll_back('x')

def test_nothing_moves_where_nothing_may(compositor, sqlite, tmp_path):
    framework = ABTestingFramework(sqlite,Journal(sqlite,spool=tmp_path/'s'))
    experiment(framework); experiment(framework,name='y',arms=(['amazon_v1'],['amazon_v2','task_tools'])); experiment(framework,name='z',arms=(['amazon_v1'],['nobody']))
    framework.create_experiment('none',variant_configs=[dict(variant_id=v,adapter_ids=[v],traffic_percentage=.5) for v in ('amazon_v1','amazon_v2')]); framework.start_experiment('none')
    before = compositor.manager.store.resolve('amazon_v1').version
    with pytest.raises(ExperimentError, match='compositor'): framework.promote('x')
    framework.compositor = compositor
    for name,error in (('none',ExperimentError),('y',ExperimentError),('z',AdapterError)):
        with pytest.raises(error): framework.promote(name)
        assert framework.get_experiment(name).status=='running' and framework.history(name)[-1]['action']==('start' if name=='none' else 'decide')
    assert compositor.manager.store.resolve('amazon_v1').version==before

def test_a_shadow_that_cannot_be_asked_is_nobodys_trouble():
    class Full:
        def compose_sync(self, ids): return None
        def submit(self, *args, **options): raise EngineError('The queue is full.')
    shadow = Shadow(Full(),['x'])
    for _ in range(100): shadow.beside(dict(prompt='q'),'a',.1)
    shadow.close()
    assert (shadow.failed,shadow.skipped,shadow.report()['pairs'])==(100,0,0)

def test_kept_requests_come_back_once_and_can_be_let_go(db, tmp_path):
    one,two = (Journal(db,spool=tmp_path/n) for n in 'ab')
    for i in range(5): keep_request(one,dict(prompt=[dict(role='user',content=f'q{i}')],expected=str(i)),key=str(i))
    one.flush()
    for i in range(5): keep_request(two,dict(prompt='again'),key=str(i))
    two.flush()
    assert [r['expected'] for r in kept_requests(one)]==list('01234') and [r['expected'] for r in kept_requests(one,limit=2)]==list('34')
    with pytest.raises(ExperimentError): keep_request(one,dict(expected='x'))
    assert forget_requests(one,days=1)==0 and forget_requests(one)==5 and kept_requests(two)==[]
