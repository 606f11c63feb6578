"Who said it: shares that sum to the whole, and angles that are those of the dense matrices."
import itertools
import math

import pytest
import torch

from rmn_lora.adapters.attribution import contributions, interference, interference_chart, overlap, strengths
from rmn_lora.adapters.compositor import get_compositor
from rmn_lora.adapters.factors import Factors, read_factors
from rmn_lora.adapters.manager import AdapterManager
from rmn_lora.errors import AdapterError

LINEARS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']


@pytest.fixture(scope='module')
def compositor(base, checkpoint, tmp_path_factory, make_adapter):
    root = tmp_path_factory.mktemp('attribution')
    m = AdapterManager(checkpoint, root/'store', device='cpu')
    for i, (id, kind) in enumerate(dict(retail='industry', amazon='retailer', planning='task').items()):
        m.store.publish(make_adapter(base, root/id, seed=i, std=.15, target_modules=LINEARS[i:]), id, kind, base=base)
    yield get_compositor(m)
    m.compositor.close()


def test_shares_are_the_mean_over_all_orders(compositor):
    "Against Shapley's definition, one order after the other, each set asked alone through PEFT."
    model, prompt = compositor.compose_sync(['retail', 'amazon', 'planning']), 'spend?'
    out = model.generate(prompt, 8)
    got = contributions(model, prompt, out.tokens)
    base, ids = compositor.base, [p.id for p in model.composition.parts]
    said = torch.tensor(out.tokens)
    def worth(names):
        tokens = torch.tensor([base.encode([prompt])[0] + out.tokens])
        with torch.inference_mode():
            if not names: logits = base.model(tokens).logits
            else:
                with base.using(*(compositor.manager.resolve(n) for n in names)) as one: logits = one.model(tokens).logits
        return logits[0, -len(said) - 1:-1].double().log_softmax(-1).gather(1, said[:, None])[:, 0]
    want = {i: torch.zeros(len(said), dtype=torch.float64) for i in ids}
    for order in itertools.permutations(ids):
        for k, i in enumerate(order): want[i] += (worth(order[:k + 1]) - worth(order[:k]))/6
    for i in ids: torch.testing.assert_close(got[i].double(), want[i], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(sum(got.values()), out.logprobs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got[''].double(), worth(()), rtol=1e-4, atol=1e-4)


def test_an_answer_of_nothing_has_shares_of_nothing(compositor):
    assert all(v.shape == (0,) for v in contributions(compositor.compose_sync(['retail', 'amazon']), 'x', []).values())


def test_weights_count(compositor):
    model = compositor.compose_sync(['retail', 'amazon'], 'weighted', weights=[2., -.5])
    out = model.generate('x', 6)
    got = contributions(model, 'x', out.tokens)
    torch.testing.assert_close(sum(got.values()), out.logprobs, rtol=1e-4, atol=1e-4)
    manager = compositor.manager
    dense = {n: math.sqrt(sum((f.delta(k)**2).sum().item() for k in f.A)) for n in ('retail', 'amazon') for f in [read_factors(manager.resolve(n), manager.base)]}
    assert strengths(model) == pytest.approx({'retail': 2*dense['retail'], 'amazon': .5*dense['amazon']}, rel=1e-4)


def test_what_has_no_parts_is_refused(compositor):
    with pytest.raises(AdapterError, match='no parts'): contributions(compositor.compose_sync(['retail', 'amazon'], 'svd'), 'x', [5])


def test_pairs(compositor):
    pairs = interference(compositor, ['retail', 'amazon', 'planning'])
    assert [(p['one'], p['other']) for p in pairs] == list(itertools.combinations(['retail', 'amazon', 'planning'], 2))
    manager = compositor.manager
    f, g = (read_factors(manager.resolve(n), manager.base) for n in ('retail', 'amazon'))
    both = [n for n in f.A if n in g.A]
    dot = sum((f.delta(n)*g.delta(n)).sum().item() for n in both)
    assert pairs[0]['cosine'] == pytest.approx(dot/strengths(compositor.compose_sync(['retail']))['retail']/strengths(compositor.compose_sync(['amazon']))['amazon'], abs=1e-4)
    for measure in ('cosine', 'reading', 'writing'): assert interference_chart(pairs, measure).to_dict()['layer']


def test_overlap_of_what_is_the_same_and_of_what_is_not():
    eye = torch.eye(8)
    def made(rows): return Factors({'a': eye[rows]}, {'a': eye[:, rows]}, {})
    assert overlap(made([0, 1]), made([0, 1])) == pytest.approx((1., 1.)) and overlap(made([0, 1]), made([2, 3])) == pytest.approx((0., 0.))
    assert overlap(made([0, 1]), made([1, 2])) == pytest.approx((.5, .5)) and overlap(made([0]), made([0, 1, 2])) == pytest.approx((1., 1.))
    assert all(math.isnan(x) for x in overlap(made([0]), Factors({'b': eye[:1]}, {'b': eye[:, :1]}, {})))
