"stats.tables, effects and chances against scipy, statsmodels and the definitions."
import math

import mpmath, numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings, strategies as st
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

from rmn_lora.errors import WorkbenchError
from rmn_lora.stats.chances import best_of, chances
from rmn_lora.stats.effects import cuped, difference, interval, lift, percentile, ratio, welch, z_test
from rmn_lora.stats.fixed_horizon import benjamini_hochberg, jeffreys
from rmn_lora.stats.moments import Estimate, Joint, Moments
from rmn_lora.stats.sketch import Sketch
from rmn_lora.stats.tables import chi_square, fisher, log_tail, mann_whitney, sample_ratio, two_groups, two_proportions

group = st.integers(1,300).flatmap(lambda n: st.tuples(st.integers(0,n),st.just(n)))
def varied(groups): return 0<sum(k for k,_ in groups)<sum(n for _,n in groups)

# --- tables

@given(st.lists(group,min_size=2,max_size=5), st.booleans())
def test_chi_square_agrees_with_scipy(groups, yates):
    assume(varied(groups)); yates = yates and len(groups)==2
    want = stats.chi2_contingency(np.array([[k,n-k] for k,n in groups]).T, correction=yates)
    got = chi_square(groups,yates)
    assert (got.statistic,got.p)==pytest.approx((want.statistic,want.pvalue), rel=1e-9, abs=1e-13)

@given(group, group)
def test_fisher_agrees_with_scipy(a, b):
    assume(varied([a,b]))
    want = stats.fisher_exact([[a[0],a[1]-a[0]],[b[0],b[1]-b[0]]])
    assert fisher(*a,*b).p==pytest.approx(want.pvalue, rel=1e-9)

@given(group, group)
def test_two_proportions_agree_with_statsmodels(a, b):
    assume(varied([a,b]))
    z,p = proportions_ztest([a[0],b[0]],[a[1],b[1]])
    got = two_proportions(*a,*b)
    assert (got.statistic,got.p)==pytest.approx((z,p), rel=1e-9, abs=1e-12)

levels = st.lists(st.integers(0,40),min_size=5,max_size=5)
@given(levels, levels)
def test_mann_whitney_agrees_with_scipy(a, b):
    assume(sum(a) and sum(b) and sum(x+y>0 for x,y in zip(a,b))>1)
    x,y = (np.repeat(np.arange(1,6),c) for c in (a,b))
    want,got = stats.mannwhitneyu(x,y,method='asymptotic'),mann_whitney(a,b)
    assert (got.statistic*len(x)*len(y),got.p)==pytest.approx((want.statistic,want.pvalue), rel=1e-9)

@given(st.lists(st.integers(0,500),min_size=2,max_size=5), st.lists(st.floats(.05,1),min_size=5,max_size=5))
def test_sample_ratio_agrees_with_scipy(counts, weights):
    assume(sum(counts)); w = np.array(weights[:len(counts)])
    want = stats.chisquare(counts,w/w.sum()*sum(counts))
    assert sample_ratio(counts,w.tolist()).p==pytest.approx(want.pvalue, rel=1e-8, abs=1e-13)

@given(group, st.sampled_from([.8,.95,.99]))
def test_jeffreys_agrees_with_statsmodels_between_the_ends(kn, level):
    k,n = kn; assume(0<k<n)
    assert (jeffreys(k,n,level).lo,jeffreys(k,n,level).hi)==pytest.approx(proportion_confint(k,n,alpha=1-level,method='jeffreys'), rel=1e-9)

def test_jeffreys_is_closed_at_the_ends(): assert jeffreys(0,9).lo==0 and jeffreys(9,9).hi==1 and jeffreys(0,0).hi==1

@given(st.lists(st.floats(1e-12,1),min_size=1,max_size=20))
def test_benjamini_hochberg_agrees_with_statsmodels(ps): assert benjamini_hochberg(ps)==pytest.approx(multipletests(ps,method='fdr_bh')[1].tolist(), rel=1e-9)

# --- peer's faults: p is never 0, undefined is said, no success is not "no effect"

def log10_of(tail): return float(mpmath.log10(tail))

def test_tiny_p_values_stay_above_zero_and_right():
    mpmath.mp.dps = 60
    big = two_proportions(500_000,1_000_000,600_000,1_000_000)
    assert 0<big.p and big.log10_p==pytest.approx(log10_of(mpmath.erfc(mpmath.mpf(abs(big.statistic))/mpmath.sqrt(2))), rel=1e-9)
    three = chi_square([(100,100_000),(50_000,100_000),(90_000,100_000)])
    assert 0<three.p and three.log10_p==pytest.approx(log10_of(mpmath.exp(-mpmath.mpf(three.statistic)/2)), rel=1e-9)
    four = chi_square([(100,9_000),(4_000,9_000),(8_000,9_000),(10,9_000)])
    assert 0<four.p and four.log10_p==pytest.approx(log10_of(mpmath.gammainc(mpmath.mpf('1.5'),mpmath.mpf(four.statistic)/2,regularized=True)), rel=1e-9)
    exact = fisher(0,2000,2000,2000)
    assert 0<exact.p and exact.log10_p==pytest.approx(log10_of(2/mpmath.binomial(4000,2000)), rel=1e-9)
    t = welch(Moments(5000,0.,4999.,-3,3),Moments(5000,2.,4999.,-1,5))
    x = mpmath.mpf(9998)/(9998+mpmath.mpf(t.statistic)**2)
    assert 0<t.p and t.log10_p==pytest.approx(log10_of(mpmath.betainc(4999,.5,0,x,regularized=True)), rel=1e-6)
    stars = mann_whitney([90_000,0,0,0,0],[0,0,0,0,90_000])
    assert 0<stars.p and stars.log10_p<-1000

@pytest.mark.parametrize('x', [40.,80.,1e3,1e5])
def test_tails_agree_with_mpmath(x):
    mpmath.mp.dps = 60
    assert log_tail(stats.norm.logpdf,x)==pytest.approx(float(mpmath.log(mpmath.erfc(mpmath.mpf(x)/mpmath.sqrt(2))/2)), rel=1e-12)
    assert log_tail(lambda u: stats.chi2.logpdf(u,7),50*x)==pytest.approx(float(mpmath.log(mpmath.gammainc(mpmath.mpf('3.5'),25*mpmath.mpf(x),regularized=True))), rel=1e-11)
    heavy = mpmath.mpf(30)/(30+mpmath.mpf(1e4*x)**2)
    assert log_tail(lambda u: stats.t.logpdf(u,30),1e4*x)==pytest.approx(float(mpmath.log(mpmath.betainc(15,.5,0,heavy,regularized=True)/2)), rel=1e-9)

@pytest.mark.parametrize('found', [chi_square([(0,9),(0,9)]), chi_square([(9,9),(5,5)]), chi_square([(0,0),(3,9)]), fisher(0,9,0,9), fisher(0,0,1,2), two_proportions(4,4,7,7),
    mann_whitney([0,0,0,0,3],[0,0,0,0,9]), mann_whitney([0]*5,[1]*5), sample_ratio([0,0],[1,1]), welch(Moments.of([1]),Moments.of([1,2])), welch(Moments.of([2,2]),Moments.of([3,3])),
    z_test(Estimate(0.,0.,3)), z_test(Estimate(1.,math.inf,1)), z_test(Estimate(math.nan,math.inf,0))], ids=lambda f: f.reason)
def test_what_is_undefined_is_said(found): assert found.p is None and found.log10_p is None and found.reason

def test_no_success_is_no_missing_effect(): assert chi_square([(0,100),(20,100)]).p<1e-5 and fisher(0,100,20,100).p<1e-5 and two_proportions(0,100,20,100).p<1e-5

@pytest.mark.parametrize('wrong', [lambda: chi_square([(1,2)]), lambda: chi_square([(3,2),(1,2)]), lambda: chi_square([(1,2)]*3,yates=True), lambda: mann_whitney([1],[1,2]), lambda: mann_whitney([-1,2],[1,2]),
    lambda: sample_ratio([1,2],[1,0]), lambda: sample_ratio([1,2],[1,1,1]), lambda: sample_ratio([1],[1]), lambda: chances([(1,2)]), lambda: chances([(3,2),(1,2)]), lambda: percentile(Sketch(),1.), lambda: interval(Estimate(1,1,1),1.)])
def test_errors_say_what_to_do(wrong):
    with pytest.raises(WorkbenchError) as e: wrong()
    assert e.value.fix

# --- effects

values = st.lists(st.floats(-1e3,1e3).map(lambda v: round(v,3)),min_size=2,max_size=40)
@given(values, values)
def test_welch_agrees_with_scipy(a, b):
    ma,mb = Moments.of(a),Moments.of(b)
    assume(ma.m2>1e-3 and mb.m2>1e-3)
    want,got = stats.ttest_ind(b,a,equal_var=False),welch(ma,mb)
    assert (got.statistic,got.p)==pytest.approx((want.statistic,want.pvalue), rel=1e-8, abs=1e-12)

def test_cuped_is_the_regression_on_side_and_past():
    rng = np.random.default_rng(0)
    x = rng.normal(50,10,400); arm = rng.random(400)<.3; y = .7*x+rng.normal(0,4,400)+1.5*arm
    a = cuped({'a':Joint.of(x[~arm],y[~arm]),'b':Joint.of(x[arm],y[arm])})
    fit = sm.OLS(y,sm.add_constant(np.column_stack([arm,x]))).fit()
    d = difference(a['a'],a['b'])
    theta = fit.params[2]
    assert d.value==pytest.approx((y[arm]-theta*x[arm]).mean()-(y[~arm]-theta*x[~arm]).mean(), rel=1e-9)
    assert d.value==pytest.approx(fit.params[1], rel=1e-9)
    assert d.se==pytest.approx(fit.get_robustcov_results('HC2').bse[1], rel=.02)

def test_cuped_has_one_theta_and_no_effect_of_its_own():
    "With equal sides and a past that explains much, the adjusted difference is centred on 0 and its interval covers as stated."
    rng,missed = np.random.default_rng(1),0
    for _ in range(1500):
        x = rng.gamma(2,3,(2,120)); y = x+rng.normal(0,1,(2,120))
        missed += 0 not in interval(difference(*cuped({'a':Joint.of(x[0],y[0]),'b':Joint.of(x[1],y[1])}).values()))
    assert abs(missed/1500-.05)<.017

def test_a_past_that_does_not_vary_changes_nothing():
    sides = {'a':Joint.of([1,1,1],[2,3,4]),'b':Joint.of([1,1],[5,7])}
    assert [e.value for e in cuped(sides).values()]==[3,6]

def test_ratio_by_the_delta_method_agrees_with_a_jackknife():
    rng = np.random.default_rng(2)
    x = rng.integers(1,50,800); y = rng.binomial(x,rng.beta(2,8,800))
    got = ratio(Joint.of(x,y))
    left_out = (y.sum()-y)/(x.sum()-x)
    assert got.value==pytest.approx(y.sum()/x.sum(), rel=1e-12) and got.se==pytest.approx(math.sqrt(799/800*((left_out-left_out.mean())**2).sum()), rel=.01)

@pytest.mark.parametrize('n', [400,20_000,1_000_000])
def test_the_spread_of_a_percentile_is_that_of_theory(n):
    x = np.random.default_rng(3).lognormal(5,.8,n)
    e = percentile(Sketch().add(x),.95)
    q = stats.lognorm(.8,scale=math.exp(5)).ppf(.95)
    want = math.sqrt(.95*.05/n)/stats.lognorm(.8,scale=math.exp(5)).pdf(q)
    assert e.se==pytest.approx(want, rel=.25 if n<100_000 else .1)

def test_few_items_have_no_spread_of_their_percentile(): assert percentile(Sketch().add([1,2,3]),.95).se==math.inf and math.isnan(percentile(Sketch(),.5).value)
def test_nothing_is_relative_to_nothing(): assert math.isnan(lift(Estimate(.01,.02,9),Estimate(1,.1,9)).value)

# --- chances

@settings(max_examples=40)
@given(group, group)
def test_two_chances_agree_with_quadrature_of_scipy(a, b):
    da,db = (stats.beta(1+k,1+n-k) for k,n in (a,b))
    at = sorted({*da.ppf([1e-9,.5,1-1e-9]).tolist(),*db.ppf([1e-9,.5,1-1e-9]).tolist()})
    want = integrate.quad(lambda x: db.pdf(x)*da.cdf(x),0,1,points=at,limit=500,epsabs=1e-12)[0]
    loss = integrate.quad(lambda x: db.cdf(x)*da.sf(x),0,1,points=at,limit=500,epsabs=1e-13)[0]
    got = chances([a,b])
    assert got[1].best==pytest.approx(want, abs=1e-9) and got[1].loss==pytest.approx(loss, abs=1e-10) and got[0].best+got[1].best==pytest.approx(1, abs=1e-9)

def test_many_chances_agree_with_draws():
    groups = [(912,1000),(934,1000),(921,1000),(9,10)]
    draws = np.random.default_rng(0).beta([1+k for k,_ in groups],[1+n-k for k,n in groups],size=(400_000,4))
    got = chances(groups)
    assert [c.best for c in got]==pytest.approx((np.bincount(draws.argmax(1),minlength=4)/len(draws)).tolist(), abs=.004)
    assert [c.loss for c in got]==pytest.approx((draws.max(1,keepdims=True)-draws).mean(0).tolist(), abs=2e-4)

def test_chances_far_apart_and_of_millions():
    assert chances([(0,1000),(1000,1000)])[1].best==pytest.approx(1) and chances([(500_000,10**6),(500_800,10**6)])[1].best==pytest.approx(stats.norm.cdf(800/math.sqrt(500_000)), abs=1e-4)
    assert [c.best for c in best_of(np.zeros(3),np.ones(3),lambda x: np.tile(stats.norm.pdf(x),(3,1)),lambda x: np.tile(stats.norm.cdf(x),(3,1)))]==pytest.approx([1/3]*3)

@pytest.mark.parametrize('counts', [(0,60,4,60),(0,10_000,4,10_000),(0,12,5,14),(50,60,40,60),(300,1000,340,1000)])
def test_fisher_where_few_are_expected(counts):
    k1,n1,k2,n2 = counts
    table = [[k1,n1-k1],[k2,n2-k2]]
    few = stats.contingency.expected_freq(table).min()<5
    assert two_groups(*counts).p==pytest.approx(stats.fisher_exact(table).pvalue if few else stats.chi2_contingency(table,correction=False).pvalue)
