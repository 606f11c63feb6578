"stats.sequential, sequential_counts, power and bandits: valid at every look, exact where they say so, and tuned by the plan."
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from scipy import integrate, optimize, stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from rmn_lora.errors import WorkbenchError
from rmn_lora.stats.bandits import EpsilonGreedy, GaussianThompson, LinearThompson, Thompson
from rmn_lora.stats.effects import difference, z_test
from rmn_lora.stats.moments import Estimate, Moments, of_counts
from rmn_lora.stats import power
from rmn_lora.stats.power import (always_valid_items, cohens_h, days, detectable_mean, detectable_percentile, detectable_share, items, items_for_means,
    items_for_percentile, items_for_shares, many_looks, pairs_for_preference)
from rmn_lora.stats.sequential import adaptive_sequence, adaptive_test, confidence_sequence, sequential_test, strata_sequence, strata_test, tuning
from rmn_lora.stats.sequential_counts import (_against, _log_e, percentile_change, percentile_sequence, sequential_sample_ratio, share_difference,
    share_sequence, share_test)
from rmn_lora.stats.sketch import Sketch

RUNS,LOOKS = 2000,100

def ever(reject, runs=RUNS)->float:
    "Share of seeded runs in which some look rejects."
    return sum(map(reject,range(runs)))/runs

# --- a hundred looks at equal sides

def test_a_test_for_one_look_is_fooled_and_the_always_valid_one_is_not():
    "A/A under 100 looks, 2,000 runs: success with 10 answers a side and look, at 80 %."
    k = np.random.default_rng(0).binomial(10,.8,size=(RUNS,LOOKS,2)).cumsum(1)
    n = 10*np.arange(1,LOOKS+1)
    def look(run, test): return any((s.p is not None and s.p<=.05) for s in (test(difference(*(of_counts(int(x),int(m)).estimate for x in row))) for row,m in zip(k[run],n)))
    assert ever(lambda r: look(r,z_test),300)>.3
    assert ever(lambda r: look(r,lambda e: sequential_test(e,2*n[-1])),1000)<=.05

def _boundary(c, level=.05, unknowns=1): return np.sqrt(2*(1+1/c)*(unknowns*.5*np.log1p(c)-math.log(level)))

@pytest.mark.parametrize('draw', [lambda r,s: r.normal(size=s), lambda r,s: r.exponential(size=s)-1, lambda r,s: r.lognormal(0,1,size=s)-math.exp(.5)], ids=['normal','exponential','lognormal'])
def test_means_under_many_looks(draw):
    "The difference of two equal means, 100 looks of 20 items a side each; the formula's own arithmetic, over all runs at once."
    x = draw(np.random.default_rng(1),(RUNS,LOOKS,2,20))
    n = 20*np.arange(1,LOOKS+1)[:,None]
    mean,square = x.sum(-1).cumsum(1)/n,(x**2).sum(-1).cumsum(1)/n
    z = np.abs(mean[...,1]-mean[...,0])/np.sqrt(((square-mean**2)/(n-1)).sum(-1))
    c = tuning(2*n[-1,0])*2*n[:,0]
    assert (z>1.96).any(1).mean()>.3
    assert (z>=_boundary(c)).any(1).mean()<=.05
    e = Estimate(float(z[0,50]),1.,2*int(n[50,0]))
    assert (sequential_test(e,2*n[-1,0]).p<=.05)==bool(z[0,50]>=_boundary(c)[50])

def test_two_exact_shares_under_many_looks():
    k = np.random.default_rng(2).binomial(4,.05,size=(300,40,2)).cumsum(1)
    def fooled(run): return any(share_test(int(a),4*(i+1),int(b),4*(i+1),320).p<=.05 for i,(a,b) in enumerate(k[run]))
    assert ever(fooled,300)<=.05

def test_one_exact_share_under_many_looks():
    "All of its looks, from the first item on, at a rare and at a common share."
    for p in (.03,.5):
        k = (np.random.default_rng(3).random((RUNS,150))<p).cumsum(1)
        r,n = 1/tuning(150),np.arange(1,151)
        lg = np.vectorize(math.lgamma)
        a,b = r*p+.5,r*(1-p)+.5
        e = lg(k+a)+lg(n-k+b)-lg(n+r+1)-lg(a)-lg(b)+lg(r+1)-k*math.log(p)-(n-k)*math.log1p(-p)
        assert e[0,70]==pytest.approx(_log_e(int(k[0,70]),71,p,r))
        assert (e>=math.log(20)).any(1).mean()<=.05

def test_rates_of_users_under_many_looks():
    "Values between 0 and 1, few of them below 1: the exact test of their sums is fooled no more often than it says."
    rng,runs = np.random.default_rng(3),400
    def fooled():
        a,b = (rng.binomial(3,rng.choice([.5,1.],size=300,p=[.06,.94]))/3 for _ in 'ab')
        return any((p := share_test(float(a[:n].sum()),n,float(b[:n].sum()),n,600).p) is not None and p<.05 for n in range(10,301,20))
    assert sum(fooled() for _ in range(runs))/runs<=.05

@given(st.lists(st.floats(0,1),min_size=1,max_size=8), st.floats(.02,.98), st.integers(10,500))
def test_a_value_between_is_worth_no_more_than_its_odds(values, theta, planned):
    "The expected e-value of values from 0 to 1 is at most that of coins with the same means (Howard et al. 2021, sub-Bernoulli): checked at one step by splitting each value into a coin."
    r = 1/tuning(planned)
    coins = sum(math.prod(v if c else 1-v for v,c in zip(values,flips))*math.exp(_log_e(sum(flips),len(values),theta,r)) for flips in product([0,1],repeat=len(values)))
    assert math.exp(_log_e(math.fsum(values),len(values),theta,r))<=coins*(1+1e-9)

@pytest.mark.parametrize('draw', [lambda r,n: r.lognormal(5,1,n), lambda r,n: r.choice([5.,50.,500.],n,p=[.6,.36,.04])], ids=['lognormal','atoms'])
def test_percentiles_under_many_looks(draw):
    rng = np.random.default_rng(4)
    def fooled(_):
        a,b = Sketch(),Sketch()
        for _ in range(25):
            if percentile_change(a.add(draw(rng,30)),b.add(draw(rng,30)),.95,1500)[1].p<=.05: return True
        return False
    assert ever(fooled,300)<=.05

def test_the_split_of_traffic_under_many_looks():
    seen = np.random.default_rng(5).multinomial(50,[.5,.3,.2],size=(400,60)).cumsum(1)
    assert ever(lambda run: any(sequential_sample_ratio([(row,[.5,.3,.2])],3000).p<=.05 for row in seen[run]),400)<=.05
    off = np.random.default_rng(6).multinomial(50,[.45,.35,.2],size=(60,60)).cumsum(1)
    assert ever(lambda run: sequential_sample_ratio([(off[run,-1],[.5,.3,.2])],3000).p<=.05,60)>.9

def test_a_bandit_does_not_fool_the_sequence_of_its_difference():
    rng = np.random.default_rng(7)
    def fooled(seed):
        bandit = EpsilonGreedy('ab',epsilon=.2,seed=seed)
        for _ in range(30):
            p = bandit.probabilities()['b']
            for arm,size in zip('ab',rng.multinomial(20,[1-p,p])): bandit.moments[arm] += Moments.of(rng.normal(size=size))
            if 0 not in bandit.difference('a','b',600): return True
        return False
    assert ever(fooled,600)<=.05

# --- tests and intervals tell one story

estimates = st.builds(Estimate, st.floats(-3,3), st.floats(.01,1), st.integers(2,100_000))
@given(estimates, st.integers(10,100_000), st.sampled_from([.9,.95,.99]))
def test_the_normal_mixture_rejects_where_its_interval_leaves_out_0(e, planned, level):
    i,t = confidence_sequence(e,planned,level),sequential_test(e,planned,level)
    assume(abs(t.p-(1-level))>1e-9)
    assert (0 in i)==(t.p>1-level)

@given(st.lists(estimates,min_size=1,max_size=4), st.integers(10,100_000))
def test_by_stratum_rejects_where_its_interval_leaves_out_0(effects, planned):
    i,t = strata_sequence(effects,planned),strata_test(effects,planned)
    assert i.estimate==pytest.approx(sum(e.value*e.n for e in effects)/sum(e.n for e in effects))
    assume(abs(t.p-.05)>1e-9)
    assert (t.p<.05)==(i.lo>0 or i.hi<0)
    if len(effects)==1: assert i.lo==pytest.approx(confidence_sequence(effects[0],planned).lo) and t.p==pytest.approx(sequential_test(effects[0],planned).p)

def test_strata_under_many_looks():
    "Two periods with other rates and splits: the mean difference, true 0, is left out at some look in fewer than one run of twenty."
    rng,runs = np.random.default_rng(6),400
    def fooled():
        first = [rng.binomial(25,.6,size=(40,2)).cumsum(0),np.arange(1,41)[:,None]*np.array([25,25])]
        second = [np.column_stack([rng.binomial(n,.8,size=40) for n in (10,40)]).cumsum(0),np.arange(1,41)[:,None]*np.array([10,40])]
        def at(part, i): return difference(*(of_counts(int(k),int(n)).estimate for k,n in zip(part[0][i],part[1][i])))
        return any(strata_test([at(first,i)],4000).p<.05 for i in range(4,40)) or any(strata_test([at(first,39),at(second,i)],4000).p<.05 for i in range(4,40))
    assert sum(fooled() for _ in range(runs))/runs<=.05

@given(estimates, estimates, st.integers(10,100_000))
def test_by_side_rejects_where_its_interval_leaves_out_0(a, b, planned):
    t = adaptive_test(a,b,planned)
    assume(abs(t.p-.05)>1e-9)
    assert (0 in adaptive_sequence(a,b,planned))==(t.p>.05)

counts = st.integers(0,400).flatmap(lambda n: st.tuples(st.integers(0,n),st.just(n)))
@settings(max_examples=60)
@given(counts, counts, st.integers(20,3000))
def test_exact_shares_reject_where_their_interval_leaves_out_0(a, b, planned):
    assume(a[1] and b[1])
    t,i = share_test(*a,*b,planned),share_difference(*a,*b,planned)
    assume(abs(t.p-.05)>1e-4)
    assert (0 in i)==(t.p>.05) and -1<=i.lo<=i.estimate<=i.hi<=1

@settings(max_examples=60)
@given(counts, st.integers(5,3000), st.sampled_from([.8,.95]))
def test_an_exact_share_is_all_that_is_not_rejected(kn, planned, level):
    k,n = kn; i = share_sequence(k,n,planned,level)
    grid = np.linspace(.001,.999,401)
    accepted = [t for t in grid if _log_e(k,n,t,1/tuning(planned,level))<-math.log(1-level)]
    assert all(t in i for t in accepted) and all(i.lo<=t<=i.hi or t not in accepted for t in grid)
    inside = [t for t in grid if i.lo+1e-9<t<i.hi-1e-9]
    assert inside==[t for t in inside if t in accepted]

@settings(max_examples=30)
@given(counts, counts, st.integers(20,2000))
def test_no_pair_of_shares_further_apart_is_accepted(a, b, planned):
    assume(a[1] and b[1])
    r,i = 1/tuning(planned/2,unknowns=2),share_difference(*a,*b,planned)
    grid = np.linspace(1e-4,1-1e-4,300)
    ea,eb = (np.array([_log_e(k,n,t,r) for t in grid]) for k,n in (a,b))
    gaps = (grid[None]-grid[:,None])[(ea[:,None]+eb[None])<math.log(20)]
    if len(gaps): assert i.lo<=gaps.min()+1e-9 and gaps.max()<=i.hi+1e-9 and gaps.min()-i.lo<.02 and i.hi-gaps.max()<.02

def test_an_exact_share_and_the_normal_mixture_agree_on_many_items():
    exact,normal = share_sequence(4000,10_000,10_000),confidence_sequence(of_counts(4000,10_000).estimate,10_000)
    assert (exact.lo,exact.hi)==pytest.approx((normal.lo,normal.hi), abs=2e-4)
    exact,normal = share_difference(4000,10_000,4300,10_000,20_000),adaptive_sequence(of_counts(4000,10_000).estimate,of_counts(4300,10_000).estimate,20_000)
    assert (exact.lo,exact.hi)==pytest.approx((normal.lo,normal.hi), abs=5e-4)

# --- the equations themselves

def test_the_e_value_is_the_mixture_that_it_says():
    "The likelihood ratio of a normal mean, averaged over N(0, ρ²) by quadrature."
    n,mean,rho2 = 40,.3,tuning(100)
    ratio = lambda theta: math.exp(n*(mean*theta-theta*theta/2))*stats.norm.pdf(theta,scale=math.sqrt(rho2))
    e = integrate.quad(ratio,-8*math.sqrt(rho2),8*math.sqrt(rho2),epsabs=1e-12)[0]
    assert sequential_test(Estimate(mean,1/math.sqrt(n),n),100).statistic==pytest.approx(math.log(e), rel=1e-9)

@given(st.integers(0,400), st.integers(0,400), st.floats(.01,.99), st.floats(.1,500))
def test_power_is_simulated_with_the_test_that_decides(k, more, theta, r):
    "The formula for arrays is the one for a single share."
    assert float(power._log_e(np.array(k),np.array(k+more),np.array(theta),r))==pytest.approx(_log_e(k,k+more,theta,r),rel=1e-9,abs=1e-7)

def test_the_exact_e_value_is_the_mixture_that_it_says():
    k,n,theta,r = 7,20,.4,30.
    prior = stats.beta(r*theta+.5,r*(1-theta)+.5)
    e = integrate.quad(lambda t: (t/theta)**k*((1-t)/(1-theta))**(n-k)*prior.pdf(t),0,1,epsabs=1e-12)[0]
    assert _log_e(k,n,theta,r)==pytest.approx(math.log(e), rel=1e-9)

@pytest.mark.parametrize('planned', [50,1000,10**6])
@pytest.mark.parametrize('level', [.9,.95,.99])
@pytest.mark.parametrize('unknowns', [1,2])
def test_the_interval_is_tightest_at_the_plan(planned, level, unknowns):
    best = optimize.minimize_scalar(lambda c: _boundary(math.exp(c),1-level,unknowns), bounds=(-5,10), method='bounded', options=dict(xatol=1e-10))
    assert tuning(planned,level,unknowns)*planned==pytest.approx(math.exp(best.x), rel=1e-4)

def test_the_published_boundary():
    "Waudby-Smith et al. (arXiv 2103.06476), equation (5): σ·sqrt(2(tρ²+1)/(t²ρ²)·log(sqrt(tρ²+1)/α)), with their ρ of equation (9) near ours."
    t,sd,alpha = 300,2.,.05
    rho2 = tuning(500)
    want = sd*math.sqrt(2*(t*rho2+1)/(t*t*rho2)*math.log(math.sqrt(t*rho2+1)/alpha))
    i = confidence_sequence(Estimate(1.,sd/math.sqrt(t),t),500)
    assert i.hi-1==pytest.approx(want, rel=1e-12)
    assert rho2==pytest.approx((-2*math.log(alpha)+math.log(1-2*math.log(alpha)))/500, rel=.05)

def test_the_split_is_the_published_mixture():
    "Lindon & Malek (arXiv 2011.03567): the Dirichlet-multinomial against the multinomial, from their density functions."
    counts,w = np.array([55,30,25]),np.array([.5,.3,.2])
    r = 1/tuning(110,unknowns=2)
    want = stats.dirichlet_multinomial(r*w,110).logpmf(counts)-stats.multinomial(110,w).logpmf(counts)
    assert sequential_sample_ratio([(counts,w)],110).statistic==pytest.approx(want, rel=1e-9)

def test_periods_with_other_weights_are_no_mismatch():
    rng = np.random.default_rng(8)
    first,second = rng.multinomial(2000,[.9,.1]),rng.multinomial(2000,[.5,.5])
    assert sequential_sample_ratio([(first,[.9,.1]),(second,[.5,.5])],4000).p>.05 and sequential_sample_ratio([(first+second,[.5,.5])],4000).p<1e-10

def test_a_tiny_p_is_above_0():
    t = sequential_test(Estimate(1.,1e-3,10**6),10**6)
    assert t.p>0 and t.log10_p<-1000

# --- percentiles

def test_the_percentile_bet_is_the_mixture_over_each_side():
    p,n,k,r = .9,50,40,20.
    s = Sketch().add([1.]*k+[9.]*(n-k))
    below = stats.beta(r*p,r*(1-p))
    low = integrate.quad(lambda t: (t/p)**k*((1-t)/(1-p))**(n-k)*below.pdf(t)/below.cdf(p),0,p,epsabs=1e-13)[0]
    high = integrate.quad(lambda t: ((1-t)/(1-p))**n*below.pdf(t)/below.sf(p),p,1,epsabs=1e-13)[0]
    assert _against(s,p,r)[1]==pytest.approx(math.log((low+high)/2), rel=1e-6)

def test_a_percentile_holds_the_truth_and_shrinks():
    rng,truth,width,missed = np.random.default_rng(9),stats.lognorm(1,scale=math.exp(5)).ppf(.95),[],0
    for _ in range(300):
        s,out = Sketch(),False
        for _ in range(20):
            i = percentile_sequence(s.add(rng.lognormal(5,1,100)),.95,2000)
            out |= truth not in i
        missed += out; width.append((i.hi-i.lo)/truth)
    assert missed/300<=.05 and np.median(width)<.45

def test_a_slower_side_is_found_and_its_lift_bounded():
    rng = np.random.default_rng(10)
    found = held = 0
    for _ in range(100):
        a,b = (Sketch().add(rng.lognormal(5+s,.5,3000)) for s in (0,.2))
        i = percentile_change(a,b,.95,6000)[0]
        held += math.expm1(.2) in i; found += i.lo>0
        assert (i.lo>.0101)<=(percentile_change(a,b,.95,6000)[1].p<=.05)
    assert held>=95 and found>60

@settings(max_examples=40)
@given(st.lists(st.floats(.1,1e4),min_size=1,max_size=300), st.lists(st.floats(.1,1e4),min_size=1,max_size=300), st.integers(10,1000))
def test_the_lift_is_that_of_all_pairs_of_bins(x, y, planned):
    a,b = Sketch().add(x),Sketch().add(y)
    got,r,limit = percentile_change(a,b,.9,planned)[0],1/tuning(planned/2,unknowns=2),math.log(20)
    ea,eb = _against(a,.9,r),_against(b,.9,r)
    ka,kb = (np.arange(s.first-1,s.first+len(s.counts)+1) for s in (a,b))
    ok = ea[:,None]+eb[None]<limit
    shift = (kb[None]-ka[:,None])[ok]
    lo = -1. if ok[-1].any() or ok[:,0].any() else math.expm1((shift.min()-1)*a.log_gamma)
    hi = math.inf if ok[:,-1].any() or ok[0].any() else math.expm1((shift.max()+1)*a.log_gamma)
    assert (got.lo,got.hi)==pytest.approx((lo,hi), rel=1e-9, abs=1e-12)

# --- what cannot be

@pytest.mark.parametrize('i', [confidence_sequence(Estimate(math.nan,math.inf,0),10), confidence_sequence(Moments.of([1]).estimate,10), confidence_sequence(Moments.of([1,1]).estimate,10),
    adaptive_sequence(Moments().estimate,Moments.of([1,2]).estimate,10), percentile_sequence(Sketch(),.5,10), percentile_change(Sketch(),Sketch().add(1),.5,10)[0]], ids=range(6))
def test_too_little_is_unbounded(i): assert i.hi==math.inf and i.lo in (-math.inf,-1)

@pytest.mark.parametrize('t', [sequential_test(Moments.of([1,1]).estimate,10), adaptive_test(Moments().estimate,Moments.of([1,2]).estimate,10), share_test(0,0,1,2,10),
    percentile_change(Sketch(),Sketch().add(1),.5,10)[1], sequential_sample_ratio([([0,0],[1,1])],10)], ids=lambda t: t.method)
def test_what_is_undefined_is_said(t): assert t.p is None and t.reason

@pytest.mark.parametrize('wrong', [lambda: tuning(0), lambda: tuning(10,1), lambda: share_sequence(3,2,10), lambda: percentile_sequence(Sketch().add(1),1,10), lambda: percentile_change(Sketch().add(1),Sketch(.02).add(1),.5,10)[1],
    lambda: sequential_sample_ratio([([1,2,3],[1,1])],10), lambda: items(0), lambda: items(1,power=1), lambda: items_for_shares(.2,1.2), lambda: items_for_means(1,0), lambda: items_for_percentile(.1,Sketch()),
    lambda: pairs_for_preference(.5), lambda: days(10,0), lambda: Thompson(['a']), lambda: Thompson(['a','a']), lambda: Thompson('ab',floor=.6), lambda: EpsilonGreedy('ab',epsilon=2),
    lambda: Thompson('ab').update('a',.5), lambda: Thompson('ab').update('c',1), lambda: Thompson('ab').difference('a','c',9), lambda: GaussianThompson('ab').update('a',math.nan),
    lambda: LinearThompson('ab',0), lambda: LinearThompson('ab',2).choose(), lambda: LinearThompson('ab',2).update('a',1.,[1.])])
def test_errors_say_what_to_do(wrong):
    with pytest.raises(WorkbenchError) as e: wrong()
    assert e.value.fix

# --- power

@given(st.floats(.1,.9), st.floats(.01,.09), st.sampled_from([-1,1]), st.sampled_from([.7,.8,.9]), st.sampled_from([.9,.95]))
def test_sizes_agree_with_statsmodels(p1, change, sign, power, level):
    p2 = p1+sign*change
    h = cohens_h(p1,p2)
    assert h==pytest.approx(proportion_effectsize(p2,p1), rel=1e-9)
    want = NormalIndPower().solve_power(effect_size=abs(h),alpha=1-level,power=power)
    assert items_for_shares(p1,p2,power,level)==pytest.approx(want, abs=1+1e-3*want)

def test_the_sizes_that_are_quoted(): assert (items_for_shares(.02,.022),pairs_for_preference(.6),days(2*903,100))==(80_638,194,19)

@given(st.floats(.05,.9), st.integers(50,10**6))
def test_what_is_detectable_needs_that_many(p, n):
    q = detectable_share(p,n)
    if q is not None and q<.999: assert items_for_shares(p,q)==pytest.approx(n, abs=2+1e-6*n)

def test_detectable_means_and_percentiles_need_that_many():
    earlier = Sketch().add(np.random.default_rng(0).lognormal(5,.8,5000))
    assert items_for_means(detectable_mean(2.,700),2.)==pytest.approx(700, abs=1) and items_for_percentile(detectable_percentile(earlier,700),earlier)==pytest.approx(700, abs=1)
    assert detectable_share(.9,0) is None and detectable_mean(1,0)==math.inf

def test_the_planned_size_has_the_power_that_was_asked_for():
    "Bernoulli data through the test itself, 40 looks, at the size that always_valid_items gives."
    n = always_valid_items(items_for_shares(.7,.78))
    at = np.linspace(n/40,n,40).astype(int)
    rng,found = np.random.default_rng(11),0
    for _ in range(400):
        a,b = ((rng.random(n)<p).cumsum()[at-1] for p in (.7,.78))
        found += any(sequential_test(difference(of_counts(int(x),int(m)).estimate,of_counts(int(y),int(m)).estimate),2*n).p<=.05 for x,y,m in zip(a,b,at))
    assert .74<=found/400<=.88

def test_many_looks_cost_what_brownian_motion_says():
    got = many_looks(.8,.95)
    assert 1.5<got.inflation<1.8 and .5<got.mean_stop<.75 and many_looks(.8,.95)==got

# --- bandits

def test_probabilities_are_shares_above_the_floor():
    for bandit in (Thompson('abc',floor=.1),EpsilonGreedy('abc',floor=.1),GaussianThompson('abc',floor=.1),LinearThompson('abc',2,floor=.1)):
        rng = np.random.default_rng(0)
        for _ in range(60):
            x = [1.,rng.normal()]; p = bandit.probabilities(x)
            assert sum(p.values())==pytest.approx(1) and min(p.values())>=.1-1e-12
            c = bandit.choose(x); assert c.probability==p[c.arm]
            bandit.update(c.arm,int(rng.random()<(.9 if c.arm=='b' else .1)),x)
        assert max(bandit.probabilities([1.,0.]),key=bandit.probabilities([1.,0.]).get)=='b'

def test_thompson_chooses_as_often_as_it_says():
    bandit = Thompson('ab',floor=0.)
    for arm,rewards in (('a',[1]*7+[0]*3),('b',[1]*5+[0]*5)):
        for r in rewards: bandit.update(arm,r)
    draws = np.random.default_rng(0).beta([8,6],[4,6],size=(200_000,2))
    assert bandit.probabilities()['a']==pytest.approx((draws[:,0]>draws[:,1]).mean(), abs=.005)
    assert np.mean([bandit.choose().arm=='a' for _ in range(3000)])==pytest.approx(bandit.probabilities()['a'], abs=.04)

def test_the_same_seed_makes_the_same_choices(): assert [b.choose().arm for b in [Thompson('ab',seed=4)] for _ in range(30)]==[b.choose().arm for b in [Thompson('ab',seed=4)] for _ in range(30)]

def test_arms_chosen_by_context_are_not_compared():
    with pytest.raises(WorkbenchError, match='experiment'): LinearThompson('ab',2).difference('a','b',100)

def test_the_linear_bandit_is_ridge_regression():
    rng,bandit = np.random.default_rng(0),LinearThompson('ab',3,ridge=2.)
    x = rng.normal(size=(80,3)); y = x@[1.,-2.,.5]+rng.normal(size=80)
    for row,reward in zip(x,y): bandit.update('a',reward,row)
    assert bandit._inverse[0]==pytest.approx(np.linalg.inv(x.T@x+2*np.eye(3)), rel=1e-9)
    assert bandit._inverse[0]@bandit._b[0]==pytest.approx(np.linalg.solve(x.T@x+2*np.eye(3),x.T@y), rel=1e-9)
