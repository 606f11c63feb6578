"Compositions: what they are called by, and what becomes of adapters that are merged."
import hashlib
import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel

from rmn_lora.adapters.compose import EXACT, PRUNED, STRATEGIES, compose, export, materialised, truncated
from rmn_lora.adapters.factors import Factors, added, distance, read_factors
from rmn_lora.adapters.store import KINDS, AdapterVersion
from rmn_lora.errors import AdapterError

LINEARS = ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj')


def version(id, kind='task', content=None):
    return AdapterVersion(id, 'sha256:' + hashlib.sha256((content or id).encode()).hexdigest(), kind, Path(), None, {}, {})


@pytest.fixture(scope='module')
def peft_of(base, tmp_path_factory, make_adapter):
    "Adapters of a base, published and in one PEFT model."
    root = tmp_path_factory.mktemp('peft')
    folders = [make_adapter(base, root/str(i), seed=i, r=6, lora_alpha=3 + 5*i, target_modules=list(LINEARS[i:])) for i in range(3)]
    model = PeftModel.from_pretrained(type(base.model)(base.model.config), folders[0], '0')
    for i in (1, 2): model.load_adapter(folders[i], str(i))
    return model, [read_factors(f, base) for f in folders]


def deltas(peft, name): return {n.removeprefix('base_model.model.'): m.get_delta_weight(name) for n, m in peft.named_modules() if name in getattr(m, 'lora_A', {})}


# --- identity ---------------------------------------------------------------

@given(st.lists(st.tuples(st.sampled_from('abcdef'), st.sampled_from(KINDS), st.floats(.1, 3)), min_size=1, max_size=4, unique_by=lambda t: t[0]), st.randoms())
def test_identity_is_content_and_not_order_or_name(parts, rng):
    versions, weights = [version(i, k) for i, k, _ in parts], [w for *_, w in parts]
    c = compose('base', versions, 'weighted', weights)
    order = rng.sample(range(len(parts)), len(parts))
    same = compose('base', [version('renamed-' + versions[i].id, versions[i].kind, versions[i].id) for i in order], 'weighted', [weights[i] for i in order])
    assert same.identity == c.identity and [p.kind for p in c.parts] == sorted((p.kind for p in c.parts), key=KINDS.index)
    others = [compose('other', versions, 'weighted', weights), compose('base', versions, 'weighted', [*weights[:-1], weights[-1] + .01]),
              compose('base', [*versions[:-1], version('z')], 'weighted', weights), compose('base', versions, 'svd', weights), compose('base', versions, 'svd', weights, rank=3),
              *(compose('base', versions, s, weights, density=d) for s in PRUNED for d in (.3, .7)), compose('base', versions, 'dare_ties', weights, seed=1, density=.3)]
    assert len({c.identity, *(o.identity for o in others)}) == 1 + len(others)


def test_a_sum_with_weights_of_one_is_the_sum():
    a, b = version('a'), version('b')
    assert len({compose('base', [a, b], s, w).identity for s, w in (('sequential', None), ('weighted', None), ('weighted', [1, 1]))}) == 1


@pytest.mark.parametrize(('ask', 'why'), [
    (dict(strategy='linear'), 'linear'), (dict(versions=[]), 'no adapters'), (dict(weights=[1., 1.]), 'sequential'), (dict(strategy='weighted', weights=[1.]), '2 adapters have 1'),
    (dict(strategy='weighted', weights=[1., float('nan')]), 'nan'), (dict(strategy='weighted', weights=[1., 0.]), '0'), (dict(strategy='weighted', weights=[1., 1e6]), '1000000'),
    (dict(strategy='ties', rank=4), 'no rank'), (dict(strategy='svd', density=.5), 'no density'), (dict(strategy='ties', seed=1), 'no seed'), (dict(strategy='svd', rank=0), 'rank is 0'),
    (dict(strategy='svd', rank=2.5), 'rank is 2.5'), (dict(strategy='ties', density=0.), 'density is 0'), (dict(strategy='ties', density=1.5), 'density is 1.5'),
    (dict(versions=[version('a'), version('b', content='a')]), 'one and the same')])
def test_what_makes_no_sense_is_refused(ask, why):
    with pytest.raises(AdapterError, match=why): compose('base', **{'versions': [version('a'), version('b')], **ask})


# --- what is merged ---------------------------------------------------------

def test_svd_is_pefts_svd(peft_of):
    peft, factors = peft_of
    peft.add_weighted_adapter(['0', '1', '2'], [1., .5, -.7], 'svd', combination_type='svd', svd_rank=5)
    c = compose('base', [version(i) for i in 'abc'], 'svd', [1., .5, -.7], rank=5)
    got, want = materialised(c, factors), deltas(peft, 'svd')
    assert want.keys() == got.A.keys() and got.rank == 5
    for n, w in want.items(): torch.testing.assert_close(got.delta(n), w, rtol=1e-4, atol=1e-5)
    peft.delete_adapter('svd')


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 99))
def test_truncation_is_the_best_of_its_rank(rank, k, seed):
    g = torch.Generator().manual_seed(seed)
    f = Factors({'a': torch.randn(rank, 20, generator=g), 'b': torch.randn(rank, 9, generator=g)}, {'a': torch.randn(11, rank, generator=g), 'b': torch.randn(30, rank, generator=g)}, {})
    cut = truncated(f, k)
    for n in f.A:
        s = torch.linalg.svdvals(f.delta(n).double())
        left = (f.delta(n).double() - cut.delta(n).double()).norm()
        assert abs(left - s[k:].norm()) <= 1e-4*s.norm() and cut.A[n].shape[0] == cut.B[n].shape[1] <= k
    if k >= rank: assert distance(cut, f) < 1e-4


@pytest.mark.parametrize('weights', [[1., 1., 1.], [.5, 2., -1.]])
def test_ties_is_pefts_ties(weights, peft_of):
    peft, factors = peft_of
    peft.add_weighted_adapter(['0', '1', '2'], weights, 'ties', combination_type='ties', density=.4)
    got, want = materialised(compose('base', [version(i) for i in 'abc'], 'ties', weights, density=.4), factors), deltas(peft, 'ties')
    assert want.keys() == got.A.keys()
    for n, w in want.items(): torch.testing.assert_close(got.delta(n), w, rtol=1e-4, atol=1e-5)
    peft.delete_adapter('ties')




@pytest.mark.parametrize('strategy', ['dare_linear', 'dare_ties'])
def test_dare_keeps_all_at_full_density_and_drops_the_same_for_a_seed(strategy, peft_of):
    peft, factors = peft_of
    peft.add_weighted_adapter(['0', '1', '2'], [1., 1., 1.], 'dare', combination_type=strategy, density=1.)
    make = lambda **o: materialised(compose('base', [version(i) for i in 'abc'], strategy, **o), factors)
    whole, want = make(density=1.), deltas(peft, 'dare')
    for n, w in want.items(): torch.testing.assert_close(whole.delta(n), w, rtol=1e-4, atol=1e-5)
    peft.delete_adapter('dare')
    torch.manual_seed(1); a = make(density=.5, seed=7)
    torch.manual_seed(2); b = make(density=.5, seed=7)
    assert all(torch.equal(a.A[n], b.A[n]) and torch.equal(a.B[n], b.B[n]) for n in a.A)
    assert distance(make(density=.5, seed=8), a) > .1
    state = torch.random.get_rng_state()
    make(density=.5)
    assert torch.equal(state, torch.random.get_rng_state())


def test_what_is_dropped_does_not_hang_on_names_or_order(peft_of):
    "Equal identities, equal weights: promise 2."
    _, factors = peft_of
    by = dict(zip('abc', factors))
    made = {}
    for order in itertools.permutations('abc'):
        for name in ('x-{}', '{}'):
            c = compose('base', [version(name.format(i) if i == 'a' else i, content=i) for i in order], 'dare_ties', density=.5)
            contents = {version(i).version: by[i] for i in 'abc'}
            made.setdefault(c.identity, []).append(materialised(c, [contents[p.version] for p in c.parts]))
    (same,) = made.values()
    for other in same[1:]: assert all(torch.equal(same[0].A[n], other.A[n]) and torch.equal(same[0].B[n], other.B[n]) for n in other.A)


def test_different_ranks_cannot_be_pruned(base, tmp_path, make_adapter):
    factors = [read_factors(make_adapter(base, tmp_path/str(r), r=r), base) for r in (2, 4)]
    for s in PRUNED:
        with pytest.raises(AdapterError, match='one rank.*(2, 4|4, 2)'): materialised(compose('base', [version('a'), version('b')], s), factors)


# --- out into files ---------------------------------------------------------

@pytest.mark.parametrize('strategy', STRATEGIES)
def test_an_export_is_one_peft_adapter_that_answers_the_same(strategy, base, peft_of, tmp_path):
    _, factors = peft_of
    c = compose(base, [version(i) for i in 'abc'], strategy, *([[1., .5, 2.]] if strategy == 'weighted' else []))
    folder = export(c, tmp_path/'out', factors, base)
    ids, want = torch.tensor([[5, 90, 41, 200, 7, 66]]), materialised(c, factors)
    assert distance(read_factors(folder, base), want) < 1e-6
    if c.exact: assert distance(want, added([(f, p.weight) for f, p in zip(factors, c.parts)])) < 1e-6
    dense = type(base.model)(base.model.config).double().eval()
    dense.load_state_dict(base.model.state_dict())
    for n in want.A: dense.get_submodule(n).weight.data += want.delta(n).double()
    with torch.inference_mode(), base.using(folder) as one: got = one.model(ids).logits
    with torch.inference_mode(): ref = dense(ids).logits
    assert (got.double() - ref).abs().max() <= 1e-5*ref.abs().max()


def test_an_export_for_another_base_is_refused(base, peft_of, tmp_path):
    with pytest.raises(AdapterError, match='for base'): export(compose('sha256:other', [version('a')]), tmp_path/'out', peft_of[1][:1], base)
    assert not (tmp_path/'out').exists()


def test_the_names_of_the_strategies(): assert EXACT == ('sequential', 'weighted') and STRATEGIES == ('sequential', 'weighted', 'svd', 'ties', 'dare_linear', 'dare_ties')
