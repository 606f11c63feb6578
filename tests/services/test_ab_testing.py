"services.assignment, verdict, experiment and ab_testing: units that stay where they are, figures that may be read at any time, and a record of every change."
import json, math, multiprocessing, threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats
from sqlalchemy import func, select

from rmn_lora.errors import ExperimentError
from rmn_lora.services.ab_testing import ABTestingFramework, get_ab_framework
from rmn_lora.services.assignment import BUCKETS, Assignment, deal
from rmn_lora.services.experiment import free_span
from rmn_lora.services.verdict import Plan, VariantFigures, results
from rmn_lora.stats.fixed_horizon import holm
from rmn_lora.stats.moments import Moments
from rmn_lora.stats.power import always_valid_shares
from rmn_lora.stats.sketch import Sketch
from rmn_lora.storage.database import Database, init_db
from rmn_lora.storage.journal import Journal
from rmn_lora.storage.models import JournalEvent
from rmn_lora.stats.tables import chi_square

HALVES = [dict(variant_id='v1',adapter_ids=['amazon_v1'],traffic_percentage=.5), dict(variant_id='v2',adapter_ids=['amazon_v2'],traffic_percentage=.5)]
THIRDS = [dict(variant_id=v,adapter_ids=[v],traffic_percentage=w) for v,w in (('a',.5),('b',.3),('c',.2))]
USERS = [f'user_{i}' for i in range(10_000)]

def over(db, tmp_path): return ABTestingFramework(db,Journal(db,spool=tmp_path/'spool'))

@pytest.fixture
def framework(sqlite, tmp_path): return over(sqlite,tmp_path)

def begun(framework, name='x', configs=HALVES, **more):
    framework.create_experiment(name,variant_configs=configs,**more)
    return framework.start_experiment(name)

# --- the seed's calls

def test_the_seeds_own_lines(tmp_path, monkeypatch):
    monkeypatch.setenv('RMN_ROOT',str(tmp_path)); init_db('sqlite://')
    from rmn_lora.services import ABExperiment, ABTestingFramework as handed_on, Variant, get_ab_framework as get
    framework = get()
    assert get is get_ab_framework and framework is get() and handed_on is ABTestingFramework
    experiment = framework.create_experiment(experiment_id='amazon_v1_vs_v2',name='Amazon Adapter Version Comparison',description='Compare v1 vs v2 for schema mapping accuracy',
        variant_configs=[{'variant_id':'v1','adapter_ids':['amazon_schema_v1'],'traffic_percentage':.5},{'variant_id':'v2','adapter_ids':['amazon_schema_v2'],'traffic_percentage':.5}],confidence_level=.95,min_sample_size=100)
    assert isinstance(experiment,ABExperiment) and all(isinstance(v,Variant) for v in experiment.variants) and experiment.status=='draft'
    framework.start_experiment('amazon_v1_vs_v2')
    variant = framework.assign_variant(experiment_id='amazon_v1_vs_v2',user_id='user_123',context={'task':'mapping','retailer':'amazon'})
    framework.record_impression(experiment_id='amazon_v1_vs_v2',variant_id=variant,success=True,latency_ms=145.0,feedback_score=4.5)
    found = framework.get_experiment_results('amazon_v1_vs_v2')
    assert found['winner'] is None and found['decision']=='not enough evidence yet' and set(found['statistical_tests'])>={'success','sample_ratio','latency_p95','feedback','fixed_horizon'}
    assert json.loads(json.dumps(found,allow_nan=False))==found and {'variants','intervals','guardrails'}<=set(found)

# --- assignment

def test_assignments_stay_the_same_for_ever():
    "Units keep their variant from one version of the workbench to the next: these were written down when the hash was chosen."
    a = Assignment(('v1','v2'),deal([.5,.5]),'amazon_v1_vs_v2')
    assert ''.join(a.assign(f'user_{i}')[1] for i in range(24))=='121121212222122212112222'

def test_uniform_and_independent_over_200_experiments():
    "Each of 200 experiments splits evenly, and no two of them go together (p > .001 after Holm's correction)."
    seen = np.array([[a.assign(u)=='b' for u in USERS[:4000]] for a in (Assignment(('a','b'),deal([.5,.5]),f'experiment {i}') for i in range(200))])
    even = [stats.binomtest(int(row.sum()),4000).pvalue for row in seen]
    x = 2*seen.astype(float)-1
    together = (x@x.T/math.sqrt(4000))[np.triu_indices(200,1)]
    assert min(holm(even))>.001 and min(holm((2*stats.norm.sf(np.abs(together))).tolist()))>.001
    assert stats.kstest(together,'norm').pvalue>.001

def test_layers_and_variants_are_independent():
    "Who is in an experiment's range of a layer is split as everybody is."
    a = Assignment(('a','b'),deal([.5,.5]),'e',layer='page',span=(.2,.6))
    seen = Counter(a.assign(u) for u in USERS)
    assert stats.binomtest(seen['b'],seen['a']+seen['b']).pvalue>.001 and stats.binomtest(seen[None],10_000,.6).pvalue>.001
    other = Assignment(('a','b'),deal([.5,.5]),'f',layer='page',span=(.6,1.))
    assert not any(a.assign(u) and other.assign(u) for u in USERS)

weights = st.lists(st.integers(0,100),min_size=2,max_size=5).filter(sum).map(lambda w: [x/sum(w) for x in w])
@given(weights, weights)
def test_buckets_follow_the_weights_and_move_no_more_than_they_must(a, b):
    first = deal(a)
    assert len(first)==BUCKETS and all(abs(first.count(v)-w*BUCKETS)<=1 for v,w in enumerate(a))
    if len(a)==len(b):
        second = deal(b,first)
        least = sum(max(0,second.count(v)-first.count(v)) for v in range(len(a)))
        assert all(abs(second.count(v)-w*BUCKETS)<=1 for v,w in enumerate(b)) and sum(x!=y for x,y in zip(first,second))==least

@given(st.floats(.01,1), st.floats(.01,1))
def test_a_ramp_moves_nobody(x, y):
    lo,hi = (Assignment(('a','b'),deal([.3,.7]),'s',exposure=e) for e in sorted((x,y)))
    for u in USERS[:300]: assert lo.assign(u) in (None,hi.assign(u))

def test_targeting(framework):
    begun(framework,targeting={'task':['mapping'],'retailer':['amazon','walmart']})
    assert framework.assign_variant('x','u',dict(task='mapping',retailer='amazon',other=1))
    for context in (None,{},dict(task='mapping'),dict(task='copy',retailer='amazon'),dict(task='mapping',retailer='kroger')): assert framework.assign_variant('x','u',context) is None

def test_strategies_that_draw(framework):
    begun(framework,'w',THIRDS,strategy='weighted'); begun(framework,'r',THIRDS,strategy='random')
    drawn = {s: Counter(framework.assign_variant(s,'one user') for _ in range(3000)) for s in 'wr'}
    assert stats.chisquare([drawn['w'][v] for v in 'abc'],[1500,900,600]).pvalue>1e-4 and stats.chisquare([drawn['r'][v] for v in 'abc']).pvalue>1e-4
    assert sum(v['units'] for v in framework.get_experiment_results('r')['variants'].values())==3000 and framework.get_experiment_results('r')['statistical_tests']['sample_ratio']['p']>.01

def test_who_was_assigned_keeps_the_variant_when_weights_change(db, tmp_path):
    one,other = over(db,tmp_path),over(db,tmp_path)
    begun(one,'x',HALVES,who='me')
    before = {u: one.assign_variant('x',u) for u in USERS[:300]}
    one.change_weights('x',dict(v1=.9,v2=.1),who='me',why='v2 is dear')
    one.journal.flush()
    for f in (one,other,over(db,tmp_path)): assert {u: f.assign_variant('x',u) for u in USERS[:300]}==before
    newcomers = Counter(other.assign_variant('x',u) for u in USERS[300:900])
    assert stats.binomtest(newcomers['v1'],600,.9).pvalue>1e-4
    other.journal.flush()
    found = one.get_experiment_results('x')
    assert sum(v['units'] for v in found['variants'].values())==900 and found['statistical_tests']['sample_ratio']['p']>.01
    assert one.history('x')[-1]|dict(at=0)==dict(experiment_id='x',at=0,action='change weights',who='me',why='v2 is dear',change=dict(weights=[[.5,.5],[.9,.1]]))

# --- lifecycle

def test_a_life_on_record(framework):
    draft = framework.create_experiment('x',name='X',variant_configs=HALVES,exposure=.1,who='ana',why='to see')
    assert draft.status=='draft' and framework.assign_variant('x','u') is None
    framework.start_experiment('x',who='ben'); framework.ramp('x',.5,who='ben',why='looks fine'); stopped = framework.stop_experiment('x',who='ana',why='enough')
    assert stopped.status=='stopped' and stopped.started_at and stopped.stopped_at and framework.assign_variant('x','u') is None
    assert [(h['action'],h['who'],h['why']) for h in framework.history('x')]==[('create','ana','to see'),('start','ben',''),('ramp','ben','looks fine'),('stop','ana','enough')]
    assert [e.experiment_id for e in framework.list_experiments()]==['x'] and framework.list_experiments('running')==[]

@pytest.mark.parametrize('wrong', [lambda f: f.create_experiment('x',variant_configs=HALVES), lambda f: f.create_experiment('',variant_configs=HALVES), lambda f: f.start_experiment('x'), lambda f: f.ramp('x',.2), lambda f: f.ramp('x',1.2), lambda f: f.change_weights('x',dict(v1=.5)),
    lambda f: f.change_weights('x',dict(v1=.5,v2=.6)), lambda f: f.get_experiment('y'), lambda f: f.assign_variant('xx','u'), lambda f: f.get_experiment_results('y'), lambda f: f.history('y'), lambda f: f.record_impression('x','v3',True), lambda f: f.record_impression('x','v1','yes'),
    lambda f: f.record_impression('x','v1',True,latency_ms=-1), lambda f: f.record_impression('x','v1',True,feedback_score=7), lambda f: f.create_experiment('n',variant_configs=HALVES,sampling=3), lambda f: f.create_experiment('n',variant_configs=HALVES[:1]),
    lambda f: f.create_experiment('n',variant_configs=[HALVES[0],HALVES[1]|dict(traffic_percentage=.6)]), lambda f: f.create_experiment('n',variant_configs=[HALVES[0],HALVES[0]]), lambda f: f.create_experiment('n',variant_configs=[HALVES[0],HALVES[1]|dict(adapter_ids='a')]),
    lambda f: f.create_experiment('n',variant_configs=[HALVES[0],HALVES[1]|dict(weight=1)]), lambda f: f.create_experiment('n',variant_configs=[{}]), lambda f: f.create_experiment('n',variant_configs=HALVES,confidence_level=95), lambda f: f.create_experiment('n',variant_configs=HALVES,strategy='x'),
    lambda f: f.create_experiment('n',variant_configs=HALVES,starts_at=datetime(2026,1,1)), lambda f: f.create_experiment('n',variant_configs=HALVES,planned=0)], ids=range(26))
def test_what_cannot_be_is_refused_and_changes_nothing(framework, wrong):
    begun(framework,exposure=.5)
    before = framework.history('x')
    with pytest.raises(ExperimentError) as e: wrong(framework)
    assert e.value.fix and framework.history('x')==before and len(framework.list_experiments())==1

def test_it_assigns_between_its_times(framework):
    at = datetime.now(UTC)
    for name,times,runs in (('past',dict(ends_at=at-timedelta(hours=1)),False),('future',dict(starts_at=at+timedelta(hours=1)),False),('now',dict(starts_at=at-timedelta(hours=1),ends_at=at+timedelta(hours=1)),True)):
        begun(framework,name,**times)
        assert (framework.assign_variant(name,'u') is not None)==runs

def test_layers_exclude_and_holdouts_stay_out(framework):
    begun(framework,'one',layer='page',layer_share=.5,holdout=.1); begun(framework,'two',layer='page',layer_share=.4)
    assert not any(framework.assign_variant('one',u) and framework.assign_variant('two',u) for u in USERS[:1000])
    assert .05<np.mean([not framework.assign_variant('one',u) and not framework.assign_variant('two',u) for u in USERS[:1000]])<.15
    with pytest.raises(ExperimentError, match='free range'): framework.create_experiment('three',variant_configs=HALVES,layer='page',layer_share=.2)
    framework.stop_experiment('one')
    assert begun(framework,'three',layer='page',layer_share=.2).definition['span'][0]==0
    with pytest.raises(ExperimentError): free_span([],dict(holdout=.5,layer_share=.6,layer='l'))

# --- counting

def traffic(framework, n, rates, seed=0, start=0, **more):
    rng = np.random.default_rng(seed)
    for i in range(start,start+n):
        v = framework.assign_variant('x',f'user_{i}')
        framework.record_impression('x',v,bool(rng.random()<rates[v]),float(rng.lognormal(5,.4)),float(rng.integers(1,6)),key=f'r{i}',**more)

def _some(url, spool, start):
    with Database(url) as db: traffic(ABTestingFramework(db,Journal(db,spool=spool)),150,dict(v1=.8,v2=.8),seed=start,start=start)

def test_processes_count_as_one_and_a_restart_forgets_nothing(db, tmp_path):
    one = over(db,tmp_path); begun(one)
    running = [multiprocessing.get_context('fork').Process(target=_some,args=(db.url,tmp_path/'spool',s)) for s in (0,100)]    # fifty impressions and units are reported by both
    for p in running: p.start()
    for p in running: p.join(60)
    assert [p.exitcode for p in running]==[0,0] and not [*(tmp_path/'spool').glob('*')]
    found = one.get_experiment_results('x')
    assert found['impressions']==sum(v['units'] for v in found['variants'].values())==250
    again = over(db,tmp_path).get_experiment_results('x')
    assert again==found or again['variants']['v1']['successes']==found['variants']['v1']['successes']

def test_users_that_come_often_count_as_users(framework):
    begun(framework,planned=4000)
    rng = np.random.default_rng(0)
    for i in range(120):
        v,rate = framework.assign_variant('x',f'u{i}'),rng.beta(2,2)
        for _ in range(10): framework.record_impression('x',v,bool(rng.random()<rate),user_id=f'u{i}')
    framework.refresh()
    f = framework.total['x']
    naive = {v: math.sqrt(f[v].successes*(f[v].n-f[v].successes)/f[v].n**3) for v in f}
    assert all(f[v].clustered and f[v].estimate.se>1.5*naive[v] for v in f)

def test_users_that_come_often_and_never_fail_are_bounded_too(framework):
    begun(framework,planned=400,min_sample_size=20)
    for i in range(60):
        v = framework.assign_variant('x',f'u{i}')
        for _ in range(1+i%3): framework.record_impression('x',v,True,user_id=f'u{i}')
    found = framework.get_experiment_results('x')
    for v in found['variants'].values(): assert v['success_interval']['hi']==1 and .7<v['success_interval']['lo']<1
    d = found['intervals']['v2']['success']
    assert -.4<d['lo']<0<d['hi']<.4 and found['decision']=='not enough evidence yet'

def test_a_past_makes_the_interval_narrower(framework):
    begun(framework,planned=3000)
    rng = np.random.default_rng(1)
    for i in range(1500):
        v,usual = framework.assign_variant('x',f'u{i}'),rng.beta(.3,.3)
        framework.record_before('x',v,f'u{i}',usual); framework.record_impression('x',v,bool(rng.random()<usual),user_id=f'u{i}')
    i = framework.get_experiment_results('x')['intervals']['v2']
    width = lambda d: d['hi']-d['lo']
    assert width(i['success_with_past'])<.8*width(i['success']) and i['success_with_past']['lo']<0<i['success_with_past']['hi']

# --- the verdict

def side(rng, n, rate, ms=150., units=None): return VariantFigures(assigned=Counter({0: n if units is None else units}), n=n, successes=int(rng.binomial(n,rate)), latency=Sketch().add(rng.lognormal(math.log(ms),.4,n)), feedback=Moments.of(rng.integers(1,6,n)))

def test_the_whole_rule_crowns_no_equal():
    "A/A through everything: sample ratio, smallest sample, exact and normal tests, guardrail, planned size; 25 looks, 120 runs, of two kinds of traffic."
    for rate,step in ((.8,80),(.03,80)):
        plan,crowned = Plan(('a','b'),((.5,.5),),planned=25*2*step),0
        for run in range(120):
            rng = np.random.default_rng(run)
            sides = {v: VariantFigures() for v in 'ab'}
            for _ in range(25):
                n = int(rng.binomial(2*step,.5))
                for v,m in zip('ab',(n,2*step-n)): sides[v].merge(side(rng,m,rate))
                found = results(plan,sides)
                assert found['decision']!='no difference shown' or sum(s.n for s in sides.values())>=plan.planned
                if found['winner']: crowned += 1; break
        assert crowned/120<=.05

def test_a_better_challenger_wins_and_a_worse_one_loses():
    plan,found = Plan(('a','b'),((.5,.5),),planned=3008),Counter()
    for run in range(60):
        rng = np.random.default_rng(run)
        found[results(plan,dict(a=side(rng,1504,.80),b=side(rng,1504,.87)))['winner']] += 1
        found[results(plan,dict(a=side(rng,1504,.87),b=side(rng,1504,.80)))['winner']] += 1
    assert found['b']>45 and found['a']>45

def test_decisions_in_their_order():
    rng = np.random.default_rng(0); plan = Plan(('a','b'),((.5,.5),),planned=6000)
    decide = lambda a,b: results(plan,dict(a=a,b=b))
    good = side(rng,3000,.9)
    assert decide(side(rng,3000,.8),good)['winner']=='b'
    assert decide(side(rng,3000,.8),side(rng,3000,.9,units=2400))['decision']=='sample ratio mismatch'
    slow = decide(side(rng,3000,.8),side(rng,3000,.9,ms=240.))
    assert slow['decision']=='guardrail' and slow['winner'] is None and slow['guardrails'][0]['failed'] and 'roll back' in slow['verdict']
    assert decide(side(rng,50,.2),side(rng,50,.9))['decision']=='not enough evidence yet'
    assert decide(side(rng,3000,.8),side(rng,3000,.8))['decision']=='no difference shown'
    assert decide(side(rng,500,.8),side(rng,500,.8))['decision']=='not enough evidence yet'

def test_several_challengers_share_the_level():
    rng = np.random.default_rng(1)
    plan = Plan(('a','b','c'),((1/3,1/3,1/3),),planned=9000)
    found = results(plan,dict(a=side(rng,3000,.8),b=side(rng,3000,.8),c=side(rng,3000,.88)))
    t = found['statistical_tests']['success']
    assert found['winner']=='c' and t['b']['p_adjusted']>=t['b']['p'] and found['intervals']['c']['success']['confidence']==pytest.approx(.975) and sum(v['chance_to_be_best'] for v in found['variants'].values())==pytest.approx(1)

def test_nothing_yet_is_said_to_be_nothing():
    found = results(Plan(('a','b'),((.5,.5),),planned=1000),dict(a=VariantFigures(),b=VariantFigures()))
    assert found['decision']=='not enough evidence yet' and found['variants']['a']['success_rate'] is None and found['statistical_tests']['success']['b']['p'] is None and found['statistical_tests']['sample_ratio']['p'] is None
    json.dumps(found,allow_nan=False)

def test_no_success_is_no_missing_effect():
    "None of 300 against 60 of 300: some tools say p = 1."
    a,b = (VariantFigures(assigned=Counter({0:300}),n=300,successes=k,latency=Sketch().add(np.full(300,9.))) for k in (0,60))
    found = results(Plan(('a','b'),((.5,.5),),planned=600),dict(a=a,b=b))
    assert found['winner']=='b' and found['statistical_tests']['success']['b']['p']<1e-6 and found['statistical_tests']['fixed_horizon']['b']['test']['p']<1e-10 and 'one look' in found['statistical_tests']['fixed_horizon']['b']['note']

def test_the_fixed_horizon_view_agrees_with_scipy():
    rng = np.random.default_rng(2); a,b = side(rng,900,.8),side(rng,950,.84)
    got = results(Plan(('a','b'),((.5,.5),),planned=6000),dict(a=a,b=b))['statistical_tests']['fixed_horizon']['b']['test']
    assert got['p']==pytest.approx(stats.chi2_contingency([[a.successes,a.n-a.successes],[b.successes,b.n-b.successes]],correction=False).pvalue,rel=1e-9)==chi_square([(a.successes,a.n),(b.successes,b.n)]).p

@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from('ab'),st.booleans(),st.floats(.1,1e4),st.sampled_from([None,'u','v','w'])),max_size=40), st.integers(0,40))
def test_figures_of_parts_are_those_of_the_whole(some, cut):
    from rmn_lora.services.experiment import figures_of
    from rmn_lora.storage.events import Event
    events = [Event('w',i,1,'impression',dict(variant_id=v,success=ok,latency_ms=ms,feedback_score=None)|({} if u is None else dict(user_id=u))) for i,(v,ok,ms,u) in enumerate(some)]
    whole,parts = figures_of(events),figures_of(events[:cut])
    for v,f in figures_of(events[cut:]).items(): parts.setdefault(v,VariantFigures()).merge(f)
    assert {v: (f.n,f.successes,f.users,f.latency.counts.tolist()) for v,f in whole.items()}=={v: (f.n,f.successes,f.users,f.latency.counts.tolist()) for v,f in parts.items()}

def test_a_table_of_impressions_shows_what_the_journal_would():
    import polars as pl
    from rmn_lora.services.experiment import figures_of, figures_of_frame
    from rmn_lora.storage.events import Event
    rng = np.random.default_rng(0)
    rows = [dict(variant_id='ab'[i%2],success=bool(rng.random()<.8),latency_ms=None if i%7==0 else float(rng.lognormal(5,1)),feedback_score=None if i%3 else float(rng.integers(2,10)/2)) for i in range(3000)]
    want,got = figures_of([Event('w',i,1,'impression',r) for i,r in enumerate(rows)]),figures_of_frame(pl.DataFrame(rows))
    for v in 'ab':
        a,b = want[v],got[v]
        assert (a.n,a.successes,a.stars,a.latency.first,a.latency.counts.tolist(),a.latency.n,a.feedback.n)==(b.n,b.successes,b.stars,b.latency.first,b.latency.counts.tolist(),b.latency.n,b.feedback.n)
        assert (a.latency.moments.mean,a.latency.moments.variance,a.feedback.mean)==pytest.approx((b.latency.moments.mean,b.latency.moments.variance,b.feedback.mean),rel=1e-9)
    assert figures_of_frame(pl.DataFrame(rows).lazy().select('variant_id','success'))['a'].latency.n==0
    with pytest.raises(ExperimentError, match='success'): figures_of_frame(pl.DataFrame(dict(variant_id=['a'])))

# --- what a hostile tester found

def _at_once(gate, change):
    gate.wait(); change()

def test_changes_at_once_are_all_kept(db, tmp_path):
    f,g = over(db,tmp_path),over(db,tmp_path)
    for name in ('e0','e1','e2','e3'):
        f.create_experiment(name,variant_configs=HALVES,exposure=.1)
        gate = threading.Barrier(2)
        both = [threading.Thread(target=_at_once,args=(gate,c)) for c in (partial(f.ramp,name,.5),partial(g.change_weights,name,dict(v1=.9,v2=.1)))]
        for t in both: t.start()
        for t in both: t.join()
        d = f.get_experiment(name).definition
        assert d['exposure']==.5 and [v['weights'] for v in d['versions']]==[[.5,.5],[.9,.1]] and len(f.history(name))==3

def test_early_results_are_json(framework):
    begun(framework)
    for v,ok in (('v1',True),('v1',True),('v2',False)): framework.record_impression('x',v,ok)
    json.dumps(framework.get_experiment_results('x'),allow_nan=False)

def test_one_key_serves_for_several_experiments(framework):
    for name in ('x','y'):
        begun(framework,name)
        for _ in range(2): framework.record_impression(name,'v1',True,key='req')
    assert [framework.get_experiment_results(n)['impressions'] for n in ('x','y')]==[1,1]

@pytest.mark.parametrize('more', [dict(targeting={'task':'mapping'}),dict(planned=math.inf),dict(planned='100'),dict(latency_tolerance=math.inf),dict(variant_configs=[HALVES[0]|dict(traffic_percentage=math.nan),HALVES[1]]),
    dict(variant_configs=[HALVES[0]|dict(traffic_percentage=.99996),HALVES[1]|dict(traffic_percentage=.00004)]),dict(experiment_id='x'*300),dict(experiment_id=5),dict(why='w'*3000)])
def test_definitions_that_cannot_be_are_refused(framework, more):
    with pytest.raises(ExperimentError) as e: framework.create_experiment(**(dict(experiment_id='n',variant_configs=HALVES)|more))
    assert e.value.fix and framework.list_experiments()==[]

def test_impressions_that_cannot_be_are_refused(framework):
    begun(framework)
    for wrong in (dict(user_id=['u']),dict(latency_ms=10**400),dict(latency_ms='5'),dict(feedback_score='4')):
        with pytest.raises(ExperimentError): framework.record_impression('x','v1',True,**wrong)
    for user,value in ((['u'],1.),('u','x'),('u',math.nan),('u',None)):
        with pytest.raises(ExperimentError): framework.record_before('x','v1',user,value)
    for unit in (5,None):
        with pytest.raises(ExperimentError): framework.assign_variant('x',unit)

# --- what users and auditors found

def test_the_first_look_that_decides_has_decided(framework):
    begun(framework,planned=600,min_sample_size=20)
    for i in range(400): framework.record_impression('x','v1' if i%2 else 'v2',bool(i%2==0 or i%4==1))
    assert framework.get_experiment_results('x')['winner']=='v2'
    for i in range(400): framework.record_impression('x','v1' if i%2 else 'v2',bool(i%2 or i%4==0))
    found = framework.get_experiment_results('x')
    assert found['intervals']['v2']['success']['lo']<=0 and (found['decision'],found['winner'])==('winner','v2') and '(400 impressions' in found['verdict'] and 'Of 800 impressions it is' in found['verdict']
    assert [h['action'] for h in framework.history('x')]==['create','start','decide']

def test_a_winner_that_becomes_slow_is_stopped_by_the_guardrail(framework):
    begun(framework,planned=600,min_sample_size=20)
    for i in range(400): framework.record_impression('x','v1' if i%2 else 'v2',bool(i%2==0 or i%4==1),latency_ms=100.)
    assert framework.get_experiment_results('x')['winner']=='v2'
    for i in range(2000): framework.record_impression('x','v1' if i%2 else 'v2',bool(i%2==0 or i%4==1),latency_ms=100. if i%2 else 300.)
    assert framework.get_experiment_results('x')['decision']=='guardrail'

def test_a_few_named_users_do_not_drown_the_others(framework):
    begun(framework,planned=4000)
    rng = np.random.default_rng(0)
    for i in range(4000): framework.record_impression('x','v1' if i%2 else 'v2',bool(rng.random()<(.7 if i%2 else .8)))
    before = framework.get_experiment_results('x')['intervals']['v2']['success']
    for v in ('v1','v2'):
        for _ in range(2): framework.record_impression('x',v,True,user_id='u1')
    after = framework.get_experiment_results('x')
    assert after['winner']=='v2' and after['intervals']['v2']['success']['lo']==pytest.approx(before['lo'],abs=.003)

def test_users_who_come_again_without_a_name_are_warned_of(framework):
    begun(framework,planned=1000)
    for i in range(200):
        v = framework.assign_variant('x',f'u{i%40}')
        framework.record_impression('x',v,True)
    assert len(framework.get_experiment_results('x')['warnings'])==2 and 'user_id' in framework.get_experiment_results('x')['warnings'][0]

@pytest.mark.parametrize('named', [True,False])
def test_a_better_day_is_no_merit_of_who_had_more_of_it(framework, named):
    "Equal variants; after half of the traffic the split changes, and everything succeeds more often (Simpson's paradox)."
    begun(framework,planned=8000)
    rng = np.random.default_rng(1)
    for i in range(8000):
        if i==4000: framework.change_weights('x',dict(v1=.1,v2=.9))
        v = framework.assign_variant('x',f'u{i}')
        framework.record_impression('x',v,bool(rng.random()<(.5 if i<4000 else .8)),user_id=f'u{i}' if named else None)
    found = framework.get_experiment_results('x')
    assert found['winner'] is None and found['intervals']['v2']['success']['lo']<0<found['intervals']['v2']['success']['hi']
    assert found['statistical_tests']['fixed_horizon']['v2']['test'] is None and found['warnings']
    assert found['impressions']==8000 and found['statistical_tests']['sample_ratio']['p']>.01

def test_who_was_assigned_before_the_change_stays_in_that_period(db, tmp_path):
    "Also for a process that did not assign."
    one = over(db,tmp_path/'one'); begun(one)
    variant = one.assign_variant('x','early'); one.journal.flush()
    one.change_weights('x',dict(v1=.1,v2=.9))
    two = over(db,tmp_path/'two')
    two.record_impression('x',variant,True,user_id='early'); two.record_impression('x','v2',True,user_id='late')
    two.refresh()
    f = two.total['x']
    assert f[variant].n==(1 if variant=='v1' else 1) and f['v2'].later[1].n==1 and sum(s.whole.n for s in f.values())==2

def test_nobodys_variant_is_not_counted_and_drafts_and_stopped_ones_take_nothing(framework):
    framework.create_experiment('x',variant_configs=HALVES)
    assert framework.get_experiment_results('x')['verdict']=='It has not been started.'
    with pytest.raises(ExperimentError, match='not been started'): framework.record_impression('x','v1',True)
    framework.start_experiment('x')
    framework.record_impression('x',None,True); framework.record_impression('x','v1',np.bool_(True),np.float32(1.5),np.int64(4))
    framework.stop_experiment('x')
    framework.record_impression('x','v1',True)
    found = framework.get_experiment_results('x')
    assert found['impressions']==1 and found['variants']['v1']['avg_feedback']==4

@pytest.mark.parametrize('wrong', [dict(detect=.05),dict(detect=(.8,.8)),dict(detect=(.8,1.2)),dict(targeting={'task':[object()]}),dict(targeting={'task':[['a']]}),dict(starts_at=datetime(2026,2,1,tzinfo=UTC),ends_at=datetime(2026,1,1,tzinfo=UTC)),dict(salt='q'),dict(power=.9)])
def test_designs_that_cannot_be_are_refused(framework, wrong):
    with pytest.raises(ExperimentError): framework.create_experiment('x',variant_configs=HALVES,**wrong)

def test_a_context_that_is_no_value_is_no_target(framework):
    begun(framework,targeting={'retailer':['amazon']})
    assert framework.assign_variant('x','u',{'retailer':['amazon']}) is None and framework.assign_variant('x','u',{'retailer':'amazon'})

def test_even_splits_know_no_weights_and_a_holdout_takes_nobodys_range(framework):
    begun(framework,strategy='random')
    with pytest.raises(ExperimentError, match='evenly'): framework.change_weights('x',dict(v1=.1,v2=.9))
    framework.create_experiment('a',variant_configs=HALVES,layer='l',layer_share=.5); framework.create_experiment('b',variant_configs=HALVES,layer='l',layer_share=.5)
    with pytest.raises(ExperimentError, match='holdout'): framework.create_experiment('c',variant_configs=HALVES,layer='l',layer_share=.1,holdout=.2)

@pytest.mark.parametrize('shares', [(.8,.95),(.95,.98)])
def test_the_planned_size_finds_what_it_was_planned_for(shares):
    "Through the whole rule: four in five, as planned."
    plan = Plan(('a','b'),((.5,.5),),2*always_valid_shares(*shares),min_sample_size=20)
    rng,won = np.random.default_rng(0),0
    for _ in range(100):
        n = plan.planned//2
        steps = np.diff(np.linspace(0,n,13).astype(int))
        k = np.array([rng.binomial(steps,p).cumsum() for p in shares]); seen = steps.cumsum()
        won += any(results(plan,{v: VariantFigures(n=int(m),successes=int(x)) for v,x in zip('ab',k[:,i])})['winner']=='b' for i,m in enumerate(seen))
    assert won>=70

def test_no_equal_is_crowned_in_two_thousand_experiments_of_a_hundred_looks():
    "The whole rule wherever it could crown anybody: where the plain z is above 2, which every one of its tests asks for."
    rng,plan,runs = np.random.default_rng(11),Plan(('a','b'),((.5,.5),),4000,min_sample_size=20),2000
    n = np.arange(1,101)*20
    k = rng.binomial(20,.8,size=(2,runs,100)).cumsum(2)
    with np.errstate(divide='ignore',invalid='ignore'): z = (k[1]-k[0])/n/np.sqrt((k*(n-k)).sum(0)/n**3)
    def crowned(run, look): return results(plan,{v: VariantFigures(n=int(n[look]),successes=int(k[i,run,look])) for i,v in enumerate('ab')})['winner'] is not None
    suspect = ~(np.abs(z)<2)
    assert not any(crowned(run,look) for run in range(0,runs,40) for look in range(0,100,9) if not suspect[run,look])
    wrong = sum(any(crowned(run,int(look)) for look in np.flatnonzero(suspect[run])) for run in range(runs))
    assert wrong/runs<=.05 and (np.abs(z)>1.96).any(1).mean()>.3

def test_reading_while_another_stops_it(framework, monkeypatch):
    begun(framework,planned=600,min_sample_size=20)
    for i in range(400): framework.record_impression('x','v1' if i%2 else 'v2',bool(i%2==0 or i%4==1))
    decide = framework._decide
    def stopped_meanwhile(*args): framework.stop_experiment('x'); decide(*args)
    monkeypatch.setattr(framework,'_decide',stopped_meanwhile)
    assert framework.get_experiment_results('x')['winner']=='v2'
    assert [h['action'] for h in framework.history('x')]==['create','start','stop','decide'] and framework.get_experiment('x').status=='stopped'

def test_drawn_anew_belongs_to_the_newest_weights(framework):
    begun(framework,strategy='weighted'); framework.change_weights('x',dict(v1=.1,v2=.9))
    framework.record_impression('x','v1',True,user_id='u')
    framework.refresh()
    assert framework.total['x']['v1'].whole.n==1

def test_any_text_is_a_unit(framework):
    begun(framework)
    assert framework.assign_variant('x','a lone surrogate: \ud800')

def test_experiments_that_are_over_leave_their_figures(db, tmp_path):
    one,two = over(db,tmp_path/'one'),over(db,tmp_path/'two')
    for name in ('old','running'):
        begun(one,name,planned=900)
        traffic_of(one,name,400)
        if name=='old':
            one.change_weights(name,dict(v1=.3,v2=.7)); traffic_of(one,name,200,start=400)
            one.record_before(name,'v1','user_1',.5)
    one.stop_experiment('old')
    before,seen = one.get_experiment_results('old'),two.get_experiment_results('running')
    assert one.tidy(1)==0 and one.tidy(0)==600+150+300+1 and one.tidy(0)==two.tidy(0)==0
    with db.connect(readonly=True) as c: left = c.scalar(select(func.count()).select_from(JournalEvent).where(JournalEvent.kind.in_(one.kinds)))
    assert left==400+150+100 # Impressions, and units
    for f in (one,two,over(db,tmp_path/'new')):
        assert f.get_experiment_results('old')==before and f.get_experiment_results('running')['impressions']==seen['impressions']==400
    one.record_impression('running','v1',True); assert one.get_experiment_results('running')['impressions']==401

def traffic_of(framework, name, n, start=0):
    rng = np.random.default_rng(start)
    for i in range(start,start+n):
        v = framework.assign_variant(name,f'user_{i%150 if i<300 else i}')
        framework.record_impression(name,v,bool(rng.random()<.8),float(rng.lognormal(5,.4)),float(rng.integers(1,6)),user_id=f'user_{i%150 if i<300 else i}')
