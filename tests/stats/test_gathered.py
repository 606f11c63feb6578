"stats.moments and stats.sketch: what is gathered apart and added is what one stream gives, exactly where it says so."
import json, math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rmn_lora.errors import WorkbenchError
from rmn_lora.stats.moments import Joint, Moments, of_counts
from rmn_lora.stats.sketch import Sketch

numbers = st.lists(st.floats(-1e9,1e9), max_size=60)
latencies = st.lists(st.floats(1e-3,1e7), min_size=1, max_size=200)

def parts(values, cuts): return np.split(np.asarray(values,float), sorted(c%(len(values)+1) for c in cuts))

# --- moments

@given(numbers, st.lists(st.integers(0,60),max_size=4))
def test_moments_of_parts_are_those_of_the_whole(values, cuts):
    got = sum((Moments.of(p) for p in parts(values,cuts)), Moments())
    assert (got.n,got.min,got.max)==(len(values),min(values,default=math.inf),max(values,default=-math.inf))
    if values: assert got.mean==pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    if len(values)>1: assert got.variance==pytest.approx(np.var(values,ddof=1), rel=1e-9, abs=1e-3)

@given(st.lists(st.tuples(st.floats(-1e6,1e6),st.floats(-1e6,1e6)), min_size=2, max_size=40), st.integers(0,40))
def test_joint_moments_of_parts_are_those_of_the_whole(pairs, cut):
    x,y = np.array(pairs).T
    got = Joint.of(x[:cut],y[:cut])+Joint.of(x[cut:],y[cut:])
    assert got.covariance==pytest.approx(np.cov(x,y)[0,1], rel=1e-7, abs=1e-2)

def test_a_large_offset_costs_no_digits():
    x = np.random.default_rng(0).normal(size=10_000)
    got = sum((Moments.of(p) for p in np.array_split(x+1e9,7)), Moments())
    assert got.variance==pytest.approx(x.var(ddof=1), rel=1e-6)

@given(st.integers(0,50), st.integers(0,50))
def test_counts_are_moments_of_ones_and_zeros(k, more):
    got,want = of_counts(k,k+more),Moments.of([1.]*k+[0.]*more)
    assert (got.n,got.min,got.max)==(want.n,want.min,want.max) and (got.mean,got.m2)==pytest.approx((want.mean,want.m2))

@pytest.mark.parametrize('bad', [[1,math.nan],[math.inf],['x'],[None]])
def test_what_is_no_number_is_refused(bad):
    for gather in (Moments.of,Sketch().add):
        with pytest.raises(WorkbenchError): gather(bad)

def test_moments_are_json_and_back():
    for m in (Moments(),Moments.of([1,2,3.5])): assert Moments.from_dict(json.loads(json.dumps(m.to_dict(),allow_nan=False)))==m

# --- sketches

@given(latencies, st.lists(st.floats(0,1),min_size=1,max_size=5), st.sampled_from([.002,.01,.05]))
def test_quantiles_are_within_the_stated_error(values, qs, error):
    got = Sketch(error).add(values).quantile(qs)
    want = np.quantile(values,qs,method='inverted_cdf')
    assert (np.abs(got-want)<=error*want*(1+1e-9)).all()

@pytest.mark.parametrize('draw', [lambda r: r.lognormal(5,1.5,100_000), lambda r: r.exponential(80,100_000), lambda r: r.pareto(1.2,100_000)+1,
    lambda r: r.choice([3.,300.],100_000,p=[.94,.06]), lambda r: r.integers(1,5,100_000).astype(float)], ids=['lognormal','exponential','pareto','two values','few values'])
def test_percentiles_of_a_hundred_thousand(draw):
    x = draw(np.random.default_rng(0))
    qs = [.5,.95,.99]
    assert np.abs(Sketch().add(x).quantile(qs)/np.quantile(x,qs,method='inverted_cdf')-1).max()<=.01

@given(st.lists(st.floats(-1e6,1e6),max_size=80), st.lists(st.integers(0,80),max_size=4), st.randoms())
def test_merged_in_any_order_is_equal_to_one_stream(values, cuts, random):
    pieces = [Sketch().add(p) for p in parts(values,cuts)]
    random.shuffle(pieces)
    merged = Sketch()
    for p in pieces: merged.merge(p)
    one = Sketch().add(values)
    held = lambda s: {k: c for k,c in zip(range(s.first,s.first+len(s.counts)),s.counts.tolist()) if c}
    assert held(merged)==held(one) and merged.n==one.n
    if values: assert merged.quantile([0,.3,.95,1]).tolist()==one.quantile([0,.3,.95,1]).tolist()

@given(st.lists(st.floats(-1e6,1e6),min_size=1,max_size=80))
def test_bins_keep_the_order_of_values(values):
    x = np.sort(values)
    assert (np.diff(Sketch().bins(x))>=0).all()
    q = Sketch().add(values).quantile(np.linspace(0,1,21))
    assert (np.diff(q)>=0).all() and q[0]==x[0] and q[-1]==x[-1]

@given(st.lists(st.floats(-1e6,1e6),max_size=40))
def test_a_sketch_is_json_and_back(values):
    s = Sketch().add(values)
    again = Sketch.from_dict(json.loads(json.dumps(s.to_dict(),allow_nan=False)))
    assert again.to_dict()==s.to_dict() and (not values or again.quantile(.5)==s.quantile(.5))

def test_no_values_have_no_quantile(): assert math.isnan(Sketch().quantile(.5)) and math.isnan(Moments().variance)

@pytest.mark.parametrize('wrong', [lambda: Sketch(0), lambda: Sketch().add(1).quantile(1.1), lambda: Sketch().merge(Sketch(.02)), lambda: of_counts(3,2),
    lambda: Joint.of([1],[1,2]), lambda: Sketch.from_dict(Sketch().add([1,2]).to_dict()|dict(counts=[1,2]))])
def test_errors_say_what_to_do(wrong):
    with pytest.raises(WorkbenchError) as e: wrong()
    assert e.value.fix
