"storage.views and services.analytics: every process shows the same, a restart loses nothing, and nobody is crowned after three requests."
import json, math, multiprocessing, subprocess, sys, time
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from sqlalchemy import delete, func, select

from rmn_lora.errors import StorageError
from rmn_lora.services.analytics import BASELINE, AdapterAnalytics, get_analytics, trend_chart
from rmn_lora.services.metrics import figures_of, metrics_of, pack, unpack
from rmn_lora.stats.change import ChangeAlarm
from rmn_lora.stats.fixed_horizon import newcombe, wilson
from rmn_lora.storage.database import Database, init_db, migrate
from rmn_lora.storage.events import Event
from rmn_lora.storage.journal import Journal
from rmn_lora.storage.models import Figure, JournalEvent
from rmn_lora.storage.views import DAY

TODAY = time.time_ns()//1000//DAY

@pytest.fixture
def analytics(sqlite, tmp_path): return AdapterAnalytics(sqlite,Journal(sqlite,spool=tmp_path/'spool'))

def another(db, tmp_path): return AdapterAnalytics(db,Journal(db,spool=tmp_path/'spool'))

def traffic(analytics, n=400, adapters=5, seed=0, at=None):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        event = dict(kind='request',adapter_id=f'a{rng.integers(adapters)}',adapter_type='task',latency_ms=float(rng.lognormal(5,.5)),success=bool(rng.random()<.9),task_type=str(rng.choice(['mapping','copy'])))
        analytics.journal.record(event|({} if at is None else dict(at=at)))
        if rng.random()<.2: analytics.journal.record(dict(kind='feedback',adapter_id=event['adapter_id'],rating=float(rng.integers(1,6)),thumbs=str(rng.choice(['up','down'])))|({} if at is None else dict(at=at)))
    analytics.journal.flush()

def shown(analytics): return {a: analytics.get_adapter_metrics(a) for a in analytics.adapters()}

def alike(one, two):
    "Counts, bins and percentiles equal; means to rounding."
    assert one.keys()==two.keys()
    for a in one:
        for k,v in one[a].items():
            w = two[a][k]
            assert v==w or np.allclose(np.array(v,float),np.array(w,float),rtol=1e-9,equal_nan=True), (a,k,v,w)
    return True

# --- the seed's calls

def test_the_seeds_own_lines(tmp_path, monkeypatch):
    monkeypatch.setenv('RMN_ROOT',str(tmp_path)); init_db('sqlite://')
    from rmn_lora.services import AdapterAnalytics as handed_on, AdapterMetrics, get_analytics as get
    analytics = get()
    assert get is get_analytics and analytics is get() and handed_on is AdapterAnalytics
    analytics.record_request(adapter_id='amazon_schema_v1',adapter_type='retailer',latency_ms=145.3,success=True,task_type='mapping')
    analytics.record_request('walmart_schema_v1','retailer',99.,success=True)
    analytics.record_feedback(adapter_id='amazon_schema_v1',rating=4.5,thumbs='up',task_type='mapping',accuracy=.92)
    top = analytics.get_top_adapters(metric='success_rate',limit=5)
    assert [f'{a.adapter_id} {a.get_success_rate():.1%} {a.avg_latency_ms:.0f}ms' for a in top]==['amazon_schema_v1 100.0% 145ms','walmart_schema_v1 100.0% 99ms']
    assert set(analytics.get_adapter_comparison(['amazon_schema_v1','walmart_schema_v1'])['adapters'])=={'amazon_schema_v1','walmart_schema_v1'}
    m = analytics.get_adapter_metrics('amazon_schema_v1')
    assert isinstance(m,AdapterMetrics) and (m.avg_user_rating,m.thumbs_up,m.accuracy_by_task,m.total_requests)==(4.5,1,{'mapping':{'accuracy':.92,'accuracy_interval':[None,None],'n':1}},1)
    for item in [*top,m]: assert json.loads(json.dumps(item,allow_nan=False))==item
    assert {'adapter_id','success_rate','avg_latency_ms','p50_latency_ms','p95_latency_ms','p99_latency_ms','avg_user_rating','total_requests','memory_mb','size_mb','errors_by_type','avg_composition_ms'}<=set(m)

def test_figures_agree_with_the_values_themselves(analytics):
    traffic(analytics,2000,adapters=1)
    rng,latency,ok = np.random.default_rng(0),[],[]
    for _ in range(2000):
        rng.integers(1); latency.append(float(rng.lognormal(5,.5))); ok.append(bool(rng.random()<.9)); rng.choice(['mapping','copy'])
        if rng.random()<.2: rng.integers(1,6); rng.choice(['up','down'])
    m = analytics.get_adapter_metrics('a0')
    assert m.success_rate==np.mean(ok) and m.success_rate_interval==[(w := wilson(sum(ok),2000)).lo,w.hi] and m.avg_latency_ms==pytest.approx(np.mean(latency),rel=1e-12)
    exact = np.quantile(latency,[.5,.95,.99],method='inverted_cdf')
    assert np.abs(np.array([m.p50_latency_ms,m.p95_latency_ms,m.p99_latency_ms])/exact-1).max()<=.01
    assert sum(t['requests'] for t in m.by_task.values())==2000 and sum(m.errors_by_type.values())==m.failed_requests

def test_nobody_is_crowned_after_three_requests(analytics):
    for i in range(1000): analytics.record_request('steady','task',100.,i%20>0)
    for _ in range(3): analytics.record_request('new','task',1.,True)
    analytics.record_feedback('new',rating=5.)
    for _ in range(50): analytics.record_feedback('steady',rating=4.); analytics.record_feedback('steady',rating=5.)
    for metric in ('success_rate','avg_user_rating','p95_latency_ms'): assert [m.adapter_id for m in analytics.get_top_adapters(metric)][0]=='steady', metric
    with pytest.raises(StorageError, match='success_rate'): analytics.get_top_adapters('beauty')

def test_a_comparison_is_by_pairs_and_adjusted(analytics):
    for i in range(900): analytics.record_request('abc'[i%3],'task',10.,i%3!=0 or i%5>0)
    got = analytics.get_adapter_comparison(['a','b','c'])
    d = got['success_rate_differences']
    assert [(x['a'],x['b']) for x in d]==[('a','b'),('a','c'),('b','c')] and 'chance' in got['note']
    k = got['adapters']['a'].successful_requests
    assert d[0]['difference']==newcombe(k,300,300,300).to_dict() and d[0]['p_adjusted']>=d[0]['p'] and d[2]['p'] is None and d[2]['undefined']
    json.dumps(got,allow_nan=False)

def test_what_is_not_known_is_null(analytics):
    m = analytics.get_adapter_metrics('nobody')
    assert m.total_requests==0 and m.success_rate is None and m.p95_latency_ms is None and m.avg_user_rating is None and math.isnan(m.get_success_rate()) and m.return_on_cost is None and m.return_unknown
    assert analytics.adapters()==[] and analytics.get_top_adapters()==[] and analytics.trend('nobody').is_empty()
    json.dumps(m,allow_nan=False)
    with pytest.raises(AttributeError, match='success_rate'): _ = m.sucess_rate

def test_a_return_is_of_like_amounts_or_unknown(analytics):
    for i in range(40): analytics.record_request('a','task',1.,True,cost=.002,value=.01+.001*(i%3),currency='USD')
    m = analytics.get_adapter_metrics('a')
    assert m.return_on_cost==pytest.approx((.01*40+.001*(13*3+0))/.08, rel=1e-2) and m.return_interval[0]<m.return_on_cost<m.return_interval[1] and m.currency=='USD'
    analytics.record_request('a','task',1.,True,cost=1.,value=1.,currency='EUR')
    m = analytics.get_adapter_metrics('a')
    assert m.return_on_cost is None and 'EUR, USD' in m.return_unknown and m.cost_per_request is None
    analytics.record_request('b','task',1.,True,cost=1.,currency='USD')
    assert analytics.get_adapter_metrics('b').cost_per_request==1 and 'both' in analytics.get_adapter_metrics('b').return_unknown

@pytest.mark.parametrize('wrong', [lambda a: a.record_request('','task',1.,True), lambda a: a.record_request('x','task',-1.,True), lambda a: a.record_request('x','task',math.nan,True), lambda a: a.record_request('x','task',1.,True,latencyms=3),
    lambda a: a.record_request('x','task',1.,True,cost=3), lambda a: a.record_feedback('x',rating=6), lambda a: a.record_feedback('x',thumbs='left'), lambda a: a.record_feedback('x',accuracy=2), lambda a: a.trend('x',by='year'), lambda a: a.export('x.xlsx')])
def test_what_cannot_be_is_refused(analytics, wrong):
    with pytest.raises(StorageError) as e: wrong(analytics)
    assert e.value.fix and analytics.adapters()==[]

# --- processes, restarts, and days that are let go

def _one_of_two(url, spool, seed):
    with Database(url) as db: traffic(AdapterAnalytics(db,Journal(db,spool=spool)),500,seed=seed)

def test_two_processes_show_what_one_would(db, tmp_path):
    context = multiprocessing.get_context('fork')
    running = [context.Process(target=_one_of_two,args=(db.url,tmp_path/'spool',seed)) for seed in (1,2)]
    for p in running: p.start()
    for p in running: p.join(60)
    both = another(db,tmp_path)
    with Database('sqlite://') as alone:
        migrate(alone)
        one = another(alone,tmp_path/'x')
        for seed in (1,2): traffic(one,500,seed=seed)
        for a in one.adapters():
            got,want = both.get_adapter_metrics(a),one.get_adapter_metrics(a)
            assert alike({a: {k: v for k,v in got.items() if 'seen' not in k}},{a: {k: v for k,v in want.items() if 'seen' not in k}})
            assert (both.total[a].latency.counts.tolist(),both.total[a].latency.first)==(one.total[a].latency.counts.tolist(),one.total[a].latency.first)

def test_one_that_runs_sees_what_others_write(db, tmp_path):
    here,there = another(db,tmp_path),another(db,tmp_path)
    for i in range(6):
        (here,there)[i%2].record_request('a','task',10.*i,True,key=f'r{i//2}')    # each reported by both
        for a in (here,there): a.journal.flush()
    assert here.get_adapter_metrics('a').total_requests==there.get_adapter_metrics('a').total_requests==3

def test_a_restart_loses_nothing(sqlite, tmp_path):
    first = another(sqlite,tmp_path); traffic(first,1500); before = shown(first); first.journal.close()
    assert alike(before,shown(another(sqlite,tmp_path)))

def test_a_view_that_starts_late_sees_what_its_own_process_wrote(sqlite, tmp_path):
    journal = Journal(sqlite,spool=tmp_path/'s')
    first = AdapterAnalytics(sqlite,journal); traffic(first,300)
    second = AdapterAnalytics(sqlite,journal); traffic(second,300,seed=1)
    assert alike(shown(first),shown(second)) and sum(m.total_requests for m in shown(second).values())==600

def test_days_that_are_let_go_leave_their_figures(db, tmp_path):
    one,other = another(db,tmp_path),another(db,tmp_path)
    one._tidied = other._tidied = TODAY    # not by itself, yet
    for back in (12,10,9,1,0): traffic(one,120,seed=back,at=(TODAY-back)*DAY+DAY//3)
    before,days = shown(one),one.trend('a0')
    shown(other)
    assert one.tidy(7)>360
    with db.connect(readonly=True) as c: assert c.scalar(select(func.min(JournalEvent.at)).where(JournalEvent.kind=='request'))>=(TODAY-6)*DAY and c.scalar(select(func.count()).select_from(Figure))>10
    for who in (one,other,another(db,tmp_path)):
        assert alike(before,shown(who))
        assert who.trend('a0').drop('success_rate_interval').equals(days.drop('success_rate_interval')) or np.allclose(who.trend('a0')['avg_latency_ms'],days['avg_latency_ms'])
    traffic(other,100,seed=99)
    assert alike(shown(one),shown(other)) and one.tidy(7)==0

def test_old_events_go_by_themselves(sqlite, tmp_path, monkeypatch):
    monkeypatch.setenv('RMN_STORAGE_JOURNAL_DAYS','3'); monkeypatch.setenv('RMN_STORAGE_EXPORT','csv'); monkeypatch.setenv('RMN_ROOT',str(tmp_path))
    a = another(sqlite,tmp_path); traffic(a,60,at=(TODAY-5)*DAY); traffic(a,60,seed=1)
    assert sum(m.total_requests for m in shown(a).values())==120
    with sqlite.connect(readonly=True) as c: assert c.scalar(select(func.count()).select_from(JournalEvent).where(JournalEvent.at<(TODAY-3)*DAY))==0
    assert sum(m.total_requests for m in shown(a).values())==120 and pl.read_csv(tmp_path/'exports'/'adapters.csv')['total_requests'].sum()==120

def test_trends_by_day_and_hour(analytics):
    for hour in (1,1,5): analytics.journal.record(dict(kind='request',adapter_id='a',latency_ms=10.*hour,success=hour==1,at=(TODAY-1)*DAY+hour*DAY//24+7))
    analytics.record_request('a','task',100.,True)
    day,hour = analytics.trend('a'),analytics.trend('a',by='hour')
    assert day['total_requests'].to_list()==[3,1] and hour['total_requests'].to_list()==[2,1,1] and hour['success_rate'].to_list()==[1,0,1] and hour['avg_latency_ms'].to_list()==[10,50,100]
    assert day['at'][0]==datetime.fromtimestamp((TODAY-1)*86400,UTC) and hour['at'][0].hour==1
    assert {d for t in (day,hour) for d in trend_chart(t).to_dict()}>={'hconcat','datasets'}

@pytest.mark.parametrize('suffix', ['.csv','.parquet'])
@pytest.mark.parametrize('by', ['adapter','day'])
def test_exports(analytics, tmp_path, suffix, by):
    traffic(analytics,200)
    path = analytics.export(tmp_path/'deep'/f'figures{suffix}',by=by)
    table = pl.read_csv(path) if suffix=='.csv' else pl.read_parquet(path)
    assert table['total_requests'].sum()==200 and table['adapter_id'].sort().to_list()==[f'a{i}' for i in range(5)] and 'success_rate_lo' in table.columns

events = st.lists(st.builds(lambda kind,ms,ok,rating,task,at: Event('w',1,at,kind,dict(adapter_id='a',latency_ms=ms,success=ok,task_type=task,rating=rating) if kind=='request' else dict(adapter_id='a',rating=rating,thumbs='up')),
    st.sampled_from(['request','feedback']), st.floats(0,1e5), st.booleans(), st.floats(1,5)|st.none(), st.sampled_from(['x','y',None]), st.integers(10**15,10**15+10*DAY)), max_size=40)
@settings(max_examples=60)
@given(events, st.integers(0,40))
def test_figures_of_parts_are_those_of_the_whole(some, cut):
    whole,parts = figures_of(some),figures_of(some[:cut])
    parts.merge(figures_of(some[cut:]))
    again = unpack(json.loads(json.dumps(pack(parts),allow_nan=False)))
    assert alike({'a': metrics_of('a',whole)},{'a': metrics_of('a',parts)}) and metrics_of('a',again)==metrics_of('a',parts)

# --- alarms

def test_false_alarms_are_as_rare_as_stated():
    "Runs of a rate at its limit: the mean time to a false alarm is at least what was asked for (bounded from below, as runs are cut)."
    rng,every = np.random.default_rng(0),2000
    times = []
    for _ in range(300):
        a = ChangeAlarm(.05,every=every); a.add(rng.random(4*every)<.05)
        times.append(a.raised_at or 4*every)
    assert np.mean(times)>=every

def test_an_alarm_is_the_same_in_pieces_and_after_json():
    x = np.random.default_rng(1).random(3000)<np.where(np.arange(3000)<2000,.03,.15)
    whole = ChangeAlarm(.04); whole.add(x)
    pieces = ChangeAlarm(.04)
    for part in np.array_split(x,37): pieces = ChangeAlarm.from_dict(json.loads(json.dumps(pieces.to_dict(),allow_nan=False))); pieces.add(part)
    assert pieces.raised_at==whole.raised_at>2000 and pieces.evidence==pytest.approx(whole.evidence,rel=1e-6)
    m = np.zeros(4)    # the definition, one event at a time
    odds = np.array([1.3,2.,4.,10.]); worse = odds*.04/(.96+odds*.04)
    for bad in x[:500]: m = (1+m)*np.where(bad,worse/.04,(1-worse)/.96)
    short = ChangeAlarm(.04); short.add(x[:500])
    assert short.evidence==pytest.approx(m.mean(),rel=1e-9)

def degraded(analytics, slower=1., fail=.05, n=1500, seed=0, name='a'):
    rng = np.random.default_rng(seed)
    for _ in range(n): analytics.record_request(name,'task',float(rng.lognormal(5,.4)*slower),bool(rng.random()>fail))

def test_alarms_ring_for_what_became_worse_and_only_then(analytics):
    degraded(analytics,n=6000); degraded(analytics,n=6000,name='b',seed=1)
    assert analytics.alerts()==[]
    degraded(analytics,fail=.15,seed=2); degraded(analytics,slower=1.6,seed=3,name='b')
    for _ in range(120): analytics.record_feedback('b',thumbs='up')
    for _ in range(40): analytics.record_feedback('b',thumbs='down')
    got = {(x['adapter_id'],x['metric']): x for x in analytics.alerts()}
    assert set(got)=={('a','failures'),('b','slow'),('b','bad_votes')} and got['a','failures']['after']>5000
    json.dumps(list(got.values()),allow_nan=False)
    analytics.rebaseline('a',who='me',why='looked into')
    assert {x['adapter_id'] for x in analytics.alerts()}=={'b'}

def test_alarms_survive_days_that_are_let_go(sqlite, tmp_path):
    one = another(sqlite,tmp_path)
    one._tidied = TODAY
    rng = np.random.default_rng(4)
    for i in range(4000): one.journal.record(dict(kind='request',adapter_id='a',latency_ms=5.,success=bool(rng.random()>(.02 if i<3000 else .12)),at=(TODAY-20)*DAY+i))
    before = one.alerts()
    one.tidy(7)
    assert [a['metric'] for a in before]==['failures'] and another(sqlite,tmp_path).alerts()==before==one.alerts() and BASELINE['failures']==1000

def test_importing_the_services_costs_no_torch():
    code = 'import sys, rmn_lora.services as s\ns.get_analytics; s.AdapterMetrics\nprint("torch" in sys.modules, sorted(s.__all__)[0])\ntry: s.Nothing\nexcept AttributeError as e: print(e)'
    out = subprocess.run([sys.executable,'-c',code],capture_output=True,text=True,check=True).stdout
    assert out.startswith('False') and 'get_analytics' in out

# --- what a hostile tester found

def test_what_cannot_be_counted_is_refused_when_it_is_recorded(analytics):
    from decimal import Decimal
    analytics.record_request('good',latency_ms=1.)
    for wrong in (dict(latency_ms=Decimal('5')),dict(latency_ms=10**400),dict(task_type=['m']),dict(task_type=5),dict(error_type=['m']),dict(cost='abc',currency='U'),dict(cost=1.,currency=['USD']),dict(success='no'),dict(latency_ms='5'),dict(at=1),dict(adapter_type=3)):
        with pytest.raises(StorageError): analytics.record_request('good',**(dict(latency_ms=1.)|wrong))
    for bad in (['x'],'',None,'a ','n\0','L'*300):
        with pytest.raises(StorageError): analytics.record_request(bad,latency_ms=1.)
        with pytest.raises(StorageError): analytics.record_feedback(bad,rating=5)
    for wrong in (dict(rating='5'),dict(task_type=['x']),dict(rating=math.nan)):
        with pytest.raises(StorageError): analytics.record_feedback('good',**wrong)
    assert analytics.get_adapter_metrics('good').total_requests==1 and analytics.adapters()==['good']

def test_an_event_that_cannot_be_counted_spoils_no_other(analytics, caplog):
    "Written past the service, by another program say."
    for body in (dict(latency_ms='5'),dict(latency_ms=[1]),dict()): analytics.journal.record(dict(kind='request',adapter_id='a',success=True)|body)
    analytics.journal.record(dict(kind='request',adapter_id=['a'],success=True,latency_ms=1.)); analytics.journal.record(dict(kind='request'))
    for _ in range(9): analytics.record_request('a',latency_ms=1.)
    assert analytics.get_adapter_metrics('a').total_requests==9 and 'left out' in caplog.text
    assert [m.adapter_id for m in analytics.get_top_adapters()]==['a']

def test_one_request_id_serves_for_everything_that_it_led_to(analytics):
    for name in 'xyz': analytics.record_request(name,latency_ms=1.,key='req'); analytics.record_feedback(name,rating=5,key='req')
    for name in 'xyz': analytics.record_request(name,latency_ms=1.,key='req'); analytics.record_feedback(name,rating=5,key='req')
    assert [(m.total_requests,m.ratings) for m in map(analytics.get_adapter_metrics,'xyz')]==[(1,1)]*3

def test_times_that_are_no_microseconds_are_refused(analytics):
    for at in (int(time.time()),time.time_ns(),-5,0):
        with pytest.raises(StorageError, match='microseconds'): analytics.journal.record(dict(kind='request',adapter_id='a',latency_ms=1.,success=True,at=at))

def test_what_is_not_known_is_not_0_and_numpys_numbers_are_numbers(analytics):
    for i in range(50): analytics.record_request('silent','task',success=np.bool_(i%2))
    for i in range(50): analytics.record_request('slow','task',np.float32(100+i),np.bool_(True),cost=np.float64(.1),currency='USD')
    m = analytics.get_adapter_metrics('silent')
    assert m.avg_latency_ms is None and m.p95_latency_ms is None and m.success_rate==.5 and [a.adapter_id for a in analytics.get_top_adapters('avg_latency_ms')]==['slow']
    assert analytics.trend('silent',by='hour')['avg_latency_ms'].to_list()==[None] and analytics.get_adapter_metrics('slow').p50_latency_ms==pytest.approx(124.5,rel=.01)

def test_a_request_of_another_time(analytics):
    analytics.record_request('a','task',10.,at=datetime.fromtimestamp((TODAY-2)*86400,UTC))
    assert analytics.trend('a')['at'][0]==datetime.fromtimestamp((TODAY-2)*86400,UTC)

def test_tables_keep_what_is_by_error_and_say_what_they_cannot_show(analytics):
    analytics.record_request('a','task',10.,False,error_type='timeout')
    assert json.loads(analytics.table()['errors_by_type'][0])=={'timeout':1}
    with pytest.raises(StorageError, match='banana'): analytics.table('banana')
    with pytest.raises(StorageError, match='no requests'): trend_chart(analytics.trend('nobody'))

def test_ties_are_not_slow(analytics):
    for ms in [10.]*1000+[10.0001]*3000: analytics.record_request('a','task',ms)
    assert analytics.alerts()==[]

def test_an_event_that_comes_while_a_day_is_let_go_is_kept(sqlite, tmp_path, monkeypatch):
    "One appears between the reading and the deleting."
    analytics = AdapterAnalytics(sqlite,Journal(sqlite,spool=tmp_path/'a')); traffic(analytics,50,at=(TODAY-9)*DAY+5)
    with sqlite.get_session() as session:
        def deleting(*args):
            monkeypatch.undo()
            session.add(JournalEvent(writer=analytics.journal.writer, seq=10**6, at=(TODAY-9)*DAY+7, kind='request', body='{"adapter_id":"late","latency_ms":1.0,"success":true}')); session.flush()
            return delete(*args)
        session.add(Figure(view='adapters',entity='',day=0,figures='0')); session.flush()
        monkeypatch.setattr('rmn_lora.storage.views.delete',deleting)
        analytics._let_go(session, TODAY-9)
    with sqlite.connect(readonly=True) as c: assert c.scalar(select(func.count()).select_from(JournalEvent).where(JournalEvent.kind=='request'))==1
