"stats.fixed_horizon against scipy, statsmodels, published figures, and the definitions themselves."
import gc, json, math, subprocess, sys

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar as peer_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from rmn_lora.errors import WorkbenchError
from rmn_lora.stats.fixed_horizon import (Interval, bootstrap, clopper_pearson, holm, jeffreys, mcnemar, mean_interval, newcombe,
    paired_difference, wilson)

counts = st.integers(1,400).flatmap(lambda n: st.tuples(st.integers(0,n), st.just(n)))
levels = st.sampled_from([.8,.9,.95,.99])

# --- one proportion

@given(counts, levels)
def test_wilson_and_exact_agree_with_scipy(kn, level):
    k,n = kn
    for ours,method in ((wilson,'wilson'),(clopper_pearson,'exact')):
        theirs = stats.binomtest(k,n).proportion_ci(level,method)
        got = ours(k,n,level)
        assert (got.lo,got.hi)==pytest.approx((theirs.low,theirs.high), rel=1e-9, abs=1e-12)

@given(counts)
def test_wilson_and_exact_agree_with_statsmodels(kn):
    k,n = kn
    for ours,method in ((wilson,'wilson'),(clopper_pearson,'beta')):
        assert (ours(k,n).lo,ours(k,n).hi)==pytest.approx(proportion_confint(k,n,method=method), rel=1e-9, abs=1e-12)

def test_newcombes_published_single_proportions():
    "Newcombe 1998 (Stat. Med. 17:857), table I, score and exact methods."
    for k,n,score,exact in ((81,263,(.2553,.3662),(.2527,.3676)),(15,148,(.0624,.1605),(.0578,.1617)),
                            (0,20,(0,.1611),(0,.1684)),(1,29,(.0061,.1718),(.0009,.1776))):
        assert (wilson(k,n).lo,wilson(k,n).hi)==pytest.approx(score, abs=5e-5)
        assert (clopper_pearson(k,n).lo,clopper_pearson(k,n).hi)==pytest.approx(exact, abs=5e-5)

@given(counts, levels)
def test_proportion_bounds_and_symmetry(kn, level):
    k,n = kn
    for f in (wilson,clopper_pearson):
        a,b = f(k,n,level),f(n-k,n,level)
        assert 0<=a.lo<=a.estimate<=a.hi<=1 and a.lo<a.hi
        assert (a.lo,a.hi)==pytest.approx((1-b.hi,1-b.lo), abs=1e-12)

@given(counts, st.integers(2,20))
def test_more_items_and_less_confidence_narrow(kn, times):
    k,n = kn
    width = lambda i: i.hi-i.lo
    for f in (wilson,clopper_pearson):
        assert width(f(k*times,n*times))<width(f(k,n))
        assert width(f(k,n,.9))<width(f(k,n,.99))

def _coverage(method, p, n):
    holds = [p in method(k,n) for k in range(n+1)]
    return stats.binom.pmf(np.arange(n+1),n,p)@np.array(holds)

def test_coverage_exact_never_below_wilson_right_on_average():
    grid,sizes = np.linspace(.02,.98,49),(10,30,100)
    assert min(_coverage(clopper_pearson,p,n) for p in grid for n in sizes)>=.95
    assert np.mean([_coverage(wilson,p,n) for p in grid for n in sizes])==pytest.approx(.95, abs=.01)

def test_coverage_of_jeffreys_and_of_differences_is_right_on_average():
    grid = np.linspace(.04,.96,24)
    assert np.mean([_coverage(jeffreys,p,n) for p in grid for n in (10,30,100)])==pytest.approx(.95, abs=.01)
    def both(n1, n2):
        found = [[newcombe(a,n1,b,n2) for b in range(n2+1)] for a in range(n1+1)]
        lo,hi = (np.array([[getattr(i,end) for i in row] for row in found]) for end in ('lo','hi'))
        return [stats.binom.pmf(np.arange(n1+1),n1,p)@((lo<=p-q)&(p-q<=hi))@stats.binom.pmf(np.arange(n2+1),n2,q) for p in grid[::3] for q in grid[::3]]
    assert np.mean([c for sizes in ((15,15),(30,20),(60,60)) for c in both(*sizes)])==pytest.approx(.95, abs=.01)

# --- differences

two = st.tuples(counts,counts)

@given(two)
def test_newcombe_agrees_with_statsmodels(groups):
    (k1,n1),(k2,n2) = groups
    theirs = confint_proportions_2indep(k1,n1,k2,n2,method='newcomb',compare='diff')
    got = newcombe(k1,n1,k2,n2)
    assert (got.lo,got.hi)==pytest.approx(theirs, rel=1e-9, abs=1e-9)

def test_newcombe_published_examples():
    "Newcombe 1998 (Stat. Med. 17:873), table II, method 10."
    for args,want in (((56,70,48,80),(.0524,.3339)),((9,10,3,10),(.1705,.8090)),((10,10,0,20),(.6791,1.)),((10,10,0,10),(.6075,1.))):
        assert (newcombe(*args).lo,newcombe(*args).hi)==pytest.approx(want, abs=5e-5)

def test_newcombe_on_the_table_that_breaks_others():
    "3/20 against 9/22: a score interval of a peer raises here."
    i = newcombe(3,20,9,22)
    assert -1<i.lo<i.estimate<i.hi<1

@given(two, levels)
def test_newcombe_bounds_and_antisymmetry(groups, level):
    (k1,n1),(k2,n2) = groups
    a,b = newcombe(k1,n1,k2,n2,level),newcombe(k2,n2,k1,n1,level)
    assert -1<=a.lo<=a.estimate<=a.hi<=1
    assert (a.lo,a.hi)==pytest.approx((-b.hi,-b.lo), abs=1e-12)

pairs = st.tuples(st.integers(0,60),st.integers(0,60),st.integers(0,200)).filter(lambda t: sum(t)>0).map(lambda t: (t[0],t[1],sum(t)))

def _score_by_likelihood(b, c, n, delta):
    "Tango's statistic with the nuisance parameter found by maximising the likelihood itself."
    def nll(q):
        cells = np.array([q+delta,q,1-2*q-delta])
        return -sum(k*math.log(max(v,1e-300)) for k,v in zip((b,c,n-b-c),cells) if k)
    q = optimize.minimize_scalar(nll, bounds=(max(0,-delta),(1-delta)/2), method='bounded', options=dict(xatol=1e-12)).x
    return (b-c-n*delta)/math.sqrt(n*(2*q+delta*(1-delta)))

@pytest.mark.parametrize('b,c,n', [(8,3,256),(12,2,30),(1,7,21),(40,20,160),(3,3,9)])
def test_paired_bounds_are_where_the_score_reaches_z(b, c, n):
    i = paired_difference(b,c,n)
    assert _score_by_likelihood(b,c,n,i.lo)==pytest.approx(1.959964, abs=1e-4)
    assert _score_by_likelihood(b,c,n,i.hi)==pytest.approx(-1.959964, abs=1e-4)

def test_paired_difference_published_figures():
    "Airway hyper-responsiveness (Bentur 2009; Fagerland, Lydersen & Laake, Stat. Med. 33:2850) and R's PropCIs::scoreci.mp(25, 28, 618) at 90 %."
    i = paired_difference(1,7,21)
    assert (round(i.lo,3),round(i.hi,3))==(-.517,-.026)
    i = paired_difference(28,25,618,.9)
    assert (round(i.lo,4),round(i.hi,4))==(-.0148,.0247)

@given(pairs, levels)
def test_paired_bounds_and_antisymmetry(t, level):
    b,c,n = t
    i,j = paired_difference(b,c,n,level),paired_difference(c,b,n,level)
    assert -1<=i.lo<=i.estimate<=i.hi<=1 and i.lo<i.hi
    assert (i.lo,i.hi)==pytest.approx((-j.hi,-j.lo), abs=1e-12)

@given(pairs, st.integers(2,10))
def test_paired_narrows_with_n(t, times):
    b,c,n = t
    i,j = paired_difference(b,c,n),paired_difference(b*times,c*times,n*times)
    assert j.hi-j.lo<i.hi-i.lo

@given(pairs)
def test_paired_interval_and_score_test_tell_one_story(t):
    b,c,n = t
    assume(b+c>0)
    z = abs(b-c)/math.sqrt(b+c)
    assume(abs(z-1.959964)>1e-6)
    assert (0 in paired_difference(b,c,n))==(z<1.959964)

def test_paired_without_a_discordant_item_has_a_width():
    z2 = stats.norm.ppf(.975)**2
    i = paired_difference(0,0,44)
    assert i.estimate==0 and i.hi==pytest.approx(z2/(44+z2)) and i.lo==pytest.approx(-z2/(44+z2))

def test_paired_extremes():
    assert (paired_difference(5,0,5).hi,paired_difference(0,5,5).lo)==(1.,-1.)

def test_paired_coverage_is_near_nominal():
    "Exact enumeration over the trinomial at n = 40."
    n,covers = 40,[]
    table = {(b,c):paired_difference(b,c,n) for b in range(n+1) for c in range(n+1-b)}
    for p12,p21 in ((.05,.05),(.2,.1),(.3,.05),(.1,.4)):
        pmf = stats.multinomial(n,[p12,p21,1-p12-p21])
        covers.append(sum(pmf.pmf([b,c,n-b-c]) for (b,c),i in table.items() if p12-p21 in i))
    assert np.mean(covers)==pytest.approx(.95, abs=.015) and min(covers)>.92

# --- McNemar

@given(st.integers(0,300),st.integers(0,300))
def test_mcnemar_agrees_with_scipy_and_statsmodels(b, c):
    assume(b+c>0)
    ours = mcnemar(b,c)
    assert ours.p==pytest.approx(stats.binomtest(b,b+c).pvalue, rel=1e-9)
    assert ours.p==pytest.approx(peer_mcnemar([[0,b],[c,0]],exact=True).pvalue, rel=1e-9)
    assert ours.log10_p==pytest.approx(math.log10(ours.p)) and ours==mcnemar(c,b)

def test_mcnemar_tiny_p_stays_above_zero():
    for b,c in ((1000,0),(1200,0),(5000,3)):
        got = mcnemar(b,c)
        exact = math.log10(2*sum(math.comb(b+c,i) for i in range(c+1)))-(b+c)*math.log10(2)
        assert 0<got.p<1e-290 and got.log10_p==pytest.approx(exact, rel=1e-9)
    assert mcnemar(90_000,70_000).log10_p<-500

def test_mcnemar_undefined_is_said():
    s = mcnemar(0,0)
    assert s.p is None and s.log10_p is None and s.reason and 'undefined' in repr(s)
    json.dumps(s.to_dict(), allow_nan=False)

# --- means and bootstrap

@given(st.lists(st.floats(-1e3,1e3), min_size=2, max_size=30))
def test_mean_interval_agrees_with_scipy(xs):
    i,x = mean_interval(xs),np.asarray(xs)
    assume(x.std()>1e-6)
    lo,hi = stats.ttest_1samp(x,0).confidence_interval(.95)
    assert (i.lo,i.hi)==pytest.approx((lo,hi), rel=1e-9, abs=1e-9)

def test_mean_interval_of_almost_nothing():
    assert math.isnan(mean_interval([]).estimate)
    one = mean_interval([.9])
    assert one.estimate==.9 and (one.lo,one.hi)==(-math.inf,math.inf)
    assert one.to_dict()['lo'] is None

def test_bootstrap_is_scipys_and_seeded():
    x = np.random.default_rng(1).exponential(size=40)
    ours = bootstrap(x, resamples=500)
    theirs = stats.bootstrap((x,), np.mean, n_resamples=500, method='BCa', rng=np.random.default_rng(0)).confidence_interval
    assert (ours.lo,ours.hi)==pytest.approx((theirs.low,theirs.high), rel=1e-9)
    assert ours==bootstrap(x, resamples=500) and ours!=bootstrap(x, resamples=500, seed=1)

def test_bootstrap_resamples_whole_rows():
    "A ratio over rows: independent columns would give a far wider interval."
    rng = np.random.default_rng(0)
    size = rng.integers(1,100,80)
    rows = np.c_[size*.5+rng.normal(0,.1,80),size]
    i = bootstrap(rows, lambda r: r[:,0].sum()/r[:,1].sum())
    assert .499<i.lo<i.estimate<i.hi<.501

def test_bootstrap_of_almost_nothing():
    assert bootstrap([1.]).hi==math.inf and math.isnan(bootstrap([]).estimate)
    same = bootstrap([2.,2.,2.])
    assert (same.lo,same.estimate,same.hi)==(2.,2.,2.)

def test_bootstrap_one_unequal_item_has_bounds():
    "BCa's acceleration is extreme here; bounds must still be numbers."
    i = bootstrap([1.]*255+[0.])
    assert i.lo<=i.estimate<=i.hi<=1

# --- several comparisons

@pytest.fixture
def no_collection(monkeypatch): monkeypatch.setattr(gc,'collect',lambda: 0) # which the peer asks for at every call

@given(st.lists(st.floats(1e-12,1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(no_collection, ps):
    assert holm(ps)==pytest.approx(multipletests(ps,method='holm')[1], rel=1e-9)

def test_holm_leaves_undefined_out():
    assert holm([None,.02,None,.01])==[None,.02,None,.02]
    assert holm([])==[]

# --- edges

@pytest.mark.parametrize('call', [lambda: wilson(3,2), lambda: wilson(-1,2), lambda: clopper_pearson(math.nan,2), lambda: newcombe(1,2,3,2),
    lambda: paired_difference(3,3,5), lambda: paired_difference(-1,1,5), lambda: mcnemar(-1,3), lambda: wilson(1,2,95), lambda: mean_interval([1,2],0)])
def test_impossible_counts_are_refused_with_a_fix(call):
    with pytest.raises(WorkbenchError) as e: call()
    assert e.value.fix

def test_nothing_seen_is_undefined_not_zero():
    for i,bounds in ((wilson(0,0),(0,1)),(clopper_pearson(0,0),(0,1)),(newcombe(0,0,1,2),(-1,1)),(paired_difference(0,0,0),(-1,1))):
        assert math.isnan(i.estimate) and (i.lo,i.hi)==bounds
        assert json.loads(json.dumps(i.to_dict(), allow_nan=False))['estimate'] is None

def test_repr():
    assert repr(Interval(.94140625,.9055,.9642,256,'Wilson'))=='.941 [.905, .964] n=256'
    assert repr(Interval(-.05,-.1,1.,8,'x',.9))=='-.050 [-.100, 1.000] n=8 90%'
    assert repr(Interval(.9999,0.,1.,8,'x')).startswith('1.000')
    assert repr(mean_interval([1234.])) == '1234 [-∞, ∞] n=1'

def test_imports_no_torch_and_no_statsmodels():
    code = "import sys, rmn_lora.stats.fixed_horizon; sys.exit(any(m in sys.modules for m in ('torch','statsmodels','altair')))"
    assert subprocess.run([sys.executable,'-c',code]).returncode==0

def test_small_integers_do_not_overflow():
    assert wilson(np.int8(100), np.int8(120)) == wilson(100, 120) and paired_difference(np.int32(50000), np.int32(3), np.int32(60000)) == paired_difference(50000, 3, 60000)

def test_where_bca_is_undefined_there_are_bounds_all_the_same():
    i = bootstrap([0] * 9 + [1], np.median)
    assert i.lo == 0 <= i.hi < float('inf') and 'percentile' in i.method
