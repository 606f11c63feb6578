"The bank: the exact sum for each row, over any base, and a base that nobody has touched."
import random
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from transformers import AutoModelForCausalLM

from rmn_lora.adapters.bank import PAGE, Bank, shared_inputs
from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.factors import Factors, added, distance, inner, norm, read_factors, write_factors
from rmn_lora.errors import AdapterError

LINEARS = ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj')
IDS = torch.tensor([[5, 90, 41, 200, 7, 66], [9, 8, 7, 6, 5, 4], [100, 101, 102, 103, 104, 105]])
pytestmark = pytest.mark.filterwarnings('ignore:The following (rank|alpha)_pattern keys') # drawn for modules that were not drawn

draws = st.fixed_dictionaries(dict(
    r=st.integers(1, 20), lora_alpha=st.one_of(st.integers(1, 32), st.floats(.5, 32)), use_rslora=st.booleans(), lora_dropout=st.sampled_from([0., .5]),
    target_modules=st.lists(st.sampled_from(LINEARS), min_size=1, max_size=4, unique=True),
    rank_pattern=st.dictionaries(st.sampled_from(LINEARS), st.integers(1, 40), max_size=2),
    alpha_pattern=st.dictionaries(st.sampled_from(LINEARS), st.integers(1, 9), max_size=2)))


def logits(model, ids=IDS):
    with torch.inference_mode(): return model(ids).logits


def near(got, want, share=1e-5): assert (got.double() - want.double()).abs().max() <= share*want.abs().max()


@pytest.fixture
def bank(base):
    made = Bank(base, 12)
    yield made
    made.close()


def random_factors(base, rank, seed, ends=LINEARS):
    g = torch.Generator().manual_seed(seed)
    layers = {n: s for n, s in base.linears.items() if n.endswith(tuple(ends))}
    return Factors({n: torch.randn(rank, i, generator=g)*.1 for n, (o, i) in layers.items()}, {n: torch.randn(o, rank, generator=g)*.1 for n, (o, i) in layers.items()}, dict.fromkeys(layers, 1.))


# --- against PEFT, and against arithmetic in 64 bits -------------------------

@settings(max_examples=15)
@given(st.lists(st.tuples(draws, st.floats(.1, 3)), min_size=1, max_size=3), st.integers(0, 2))
def test_each_row_is_the_dense_sum(base, checkpoint, tmp_path_factory, make_adapter, add_dense, fingerprint, drawn, apart):
    root = tmp_path_factory.mktemp('drawn')
    folders = [make_adapter(base, root/str(i), seed=i, std=.05, **c) for i, (c, _) in enumerate(drawn)]
    dense = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float64)
    for folder, (c, weight) in zip(folders, drawn): add_dense(dense, folder, c, weight)
    before, plain, bank = fingerprint(base.model), logits(base.model), Bank(base, 12)
    others = [bank.load(bank.lay_out(random_factors(base, 3, 9))) for _ in range(apart)] # what lies between is not read, or multiplied by zero
    slots = [bank.load(bank.lay_out(read_factors(f, base))) for f in folders]
    row, other = {s: w for s, (_, w) in zip(slots, drawn)}, {s: 1. for s in others}
    for steps in (1, 10**6): # as they lie, and gathered
        with bank.using([row, {}, other], steps): got = logits(base.model)
        near(got[0], dense(IDS).logits[0])
        assert torch.equal(got[1], plain[1]) or (got[1] - plain[1]).abs().max() <= 1e-5*plain.abs().max()
        with bank.using([row]*3, steps): near(logits(base.model), dense(IDS).logits)
    bank.close()
    assert torch.equal(logits(base.model), plain) and fingerprint(base.model) == before


@settings(max_examples=25)
@given(st.integers(8, 40), st.integers(2, 7), st.integers(0, 3), st.integers(1, 3), st.integers(0, 10**6))
def test_in_a_crowd_as_alone(base, rows, adapters, most, tokens, seed):
    "Many rows, each page wanted by few of them: what a row says does not hang on the others."
    rng, bank = random.Random(seed), Bank(base, 2*adapters + 1)
    slots = [bank.load(bank.lay_out(random_factors(base, rng.choice((3, 16, 20)), i))) for i in range(adapters)]
    if adapters > 2: bank.drop(slots.pop(1)) # a page between the others that nobody has
    mixes = [{s: rng.choice((1., .5, -2.)) for s in rng.sample(slots, rng.randint(0, min(most, len(slots))))} for _ in range(rows)]
    ids = torch.randint(5, 300, (rows, tokens), generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        with bank.using(mixes): got = base.model(ids).logits
        for i in rng.sample(range(rows), 4):
            with bank.using([mixes[i]]): near(got[i:i + 1], base.model(ids[i:i + 1]).logits.double())
    bank.close()


@settings(max_examples=10)
@given(st.lists(draws, min_size=1, max_size=3))
def test_as_peft_with_several_active(base, tmp_path_factory, make_adapter, configs):
    root, bank = tmp_path_factory.mktemp('drawn'), Bank(base, 12)
    folders = [make_adapter(base, root/str(i), seed=i, std=.05, **c) for i, c in enumerate(configs)]
    with bank.using([{bank.load(bank.lay_out(read_factors(f, base))): 1. for f in folders}]): got = logits(base.model)
    bank.close()
    with base.using(*folders) as stack: near(got, logits(stack.model))


@pytest.mark.parametrize('dtype', ['bf16', 'nf4'])
def test_other_precisions(dtype, checkpoint, tmp_path, make_adapter, fingerprint):
    b = load_base(checkpoint, dtype, 'cpu')
    folders = [make_adapter(load_base(checkpoint, device='cpu'), tmp_path/str(i), seed=i, std=.05, r=4+i, target_modules=list(LINEARS)) for i in range(2)]
    before, plain = fingerprint(b.model), logits(b.model)
    with b.using(*folders) as stack: want = logits(stack.model).float()
    bank = Bank(b, 4)
    slots = [bank.load(bank.lay_out(read_factors(f, b))) for f in folders]
    with bank.using([dict.fromkeys(slots, 1.), {}, {slots[0]: 1.}]): got = logits(b.model).float()
    near(got[0], want[0], 1e-5 if dtype == 'nf4' else .02)
    assert torch.equal(got[1], plain[1].float()) and not torch.equal(got[2], got[0])
    bank.close()
    assert fingerprint(b.model) == before and torch.equal(logits(b.model), plain)


def test_layers_that_share_an_input_are_found_in_other_families(base, tmp_path):
    from transformers import BloomConfig, GPT2Config, Qwen3Config
    for config, want in ((GPT2Config(vocab_size=320, n_embd=64, n_layer=2, n_head=4), {1}), (BloomConfig(vocab_size=320, hidden_size=64, n_layer=2, n_head=4), {1}),
                         (Qwen3Config(vocab_size=320, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128, head_dim=16), {1, 2, 3})):
        folder = tmp_path/config.model_type
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        base.tokenizer.save_pretrained(folder)
        other = load_base(folder, device='cpu')
        groups = shared_inputs(other)
        assert sorted(n for g in groups for n in g) == sorted(other.linears) and {len(g) for g in groups} == want
        bank, f = Bank(other, 2), random_factors(other, 5, 1, [''])
        plain = logits(other.model)
        with bank.using([{bank.load(bank.lay_out(f)): 1.}]): got = logits(other.model)
        for n in f.A:
            m = other.model.get_submodule(n)
            m.weight.data += f.delta(n) if isinstance(m, torch.nn.Linear) else f.delta(n).T
        near(got, logits(other.model))
        assert not torch.allclose(got, plain)


@pytest.mark.parametrize('tokens', [1, 8, 100]) # of three rows: few, and many
def test_wide_layers(tokens, base, tmp_path, make_checkpoint):
    "Outputs in parts of 256, and not."
    wide = load_base(make_checkpoint(tmp_path/'wide', hidden_size=256, intermediate_size=512, num_attention_heads=4, num_key_value_heads=1, initializer_range=.06), device='cpu')
    bank, fs = Bank(wide, 4), [random_factors(wide, r, r) for r in (3, 20)]
    ids = torch.randint(320, (3, tokens), generator=torch.Generator().manual_seed(0))
    slots, before = [bank.load(bank.lay_out(f)) for f in fs], {n: wide.model.get_submodule(n).weight.clone() for n in wide.linears}
    with bank.using([{slots[0]: 1., slots[1]: .5}, {}, {slots[1]: 1.}]): got = logits(wide.model, ids)
    for i, parts in enumerate(([(fs[0], 1.), (fs[1], .5)], [], [(fs[1], 1.)])):
        f = added(parts)
        for n in f.A: wide.model.get_submodule(n).weight.data += f.delta(n)
        near(got[i], logits(wide.model, ids[i:i+1])[0], 3e-5) # both are rounded
        for n, w in before.items(): wide.model.get_submodule(n).weight.data = w.clone()
    bank.close()


def test_gradients_reach_what_is_below_and_not_the_bank(base, bank):
    "A new adapter can be trained on top of resident ones."
    slot = bank.load(bank.lay_out(random_factors(base, 4, 1)))
    x = base.model.get_input_embeddings()(IDS[:1]).detach().requires_grad_()
    with bank.using([{slot: 1.}]): base.model(inputs_embeds=x).logits.sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0 and not any(t.requires_grad for g in bank.groups for t in (g.A, g.B))
    base.model.zero_grad()


# --- pages ------------------------------------------------------------------

def test_pages_are_taken_and_given_back(base, bank):
    sizes = [1, 16, 17, 33, 48]
    slots = [bank.load(bank.lay_out(random_factors(base, r, r))) for r in sizes]
    assert [len(s.pages) for s in slots] == [1, 1, 2, 3, 3] and bank.free == 2
    assert sorted(p for s in slots for p in s.pages) == list(range(10))
    with pytest.raises(AdapterError, match='2 free pages, and 3 are needed'): bank.load(bank.lay_out(random_factors(base, 40, 0)))
    assert bank.free == 2
    bank.drop(slots[1])
    bank.drop(slots[3])
    spread = bank.load(bank.lay_out(random_factors(base, 60, 7))) # into pages that do not lie together
    assert spread.pages == (1, 4, 5, 6)
    with bank.using([{spread: 1.}]): got = logits(base.model)
    bank.drop(spread)
    again = bank.load(bank.lay_out(random_factors(base, 60, 7)))
    with bank.using([{again: 1.}], 10**6): near(logits(base.model), got)


def test_a_shorter_adapter_leaves_nothing_of_the_one_before(base, bank):
    "An adapter of lower rank and fewer layers in a page that another one had."
    bank.drop(bank.load(bank.lay_out(random_factors(base, 16, 1))))
    f = random_factors(base, 2, 2, ['q_proj'])
    with bank.using([{bank.load(bank.lay_out(f)): 1.}]): got = logits(base.model)
    fresh = Bank(base, 2)
    with fresh.using([{fresh.load(fresh.lay_out(f)): 1.}]): want = logits(base.model)
    fresh.close()
    assert torch.equal(got, want)


def test_a_copy_that_fails_leaves_no_page_taken(base, bank, monkeypatch):
    paged, free = bank.lay_out(random_factors(base, 20, 1)), bank.free
    def fail(*a): raise RuntimeError('out of memory')
    with monkeypatch.context() as m:
        m.setattr(torch, '_foreach_copy_', fail)
        with pytest.raises(RuntimeError): bank.load(paged)
    assert bank.free == free


def test_layers_that_are_not_there(base, bank):
    odd = Factors({'model.layers.9.q_proj': torch.zeros(2, 64)}, {'model.layers.9.q_proj': torch.zeros(64, 2)}, {})
    with pytest.raises(AdapterError, match='layers.9.q_proj'): bank.lay_out(odd)


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_what_is_not_finite_never_gets_beside_others(bad, base, bank):
    f, free = random_factors(base, 4, 1), bank.free
    f.B['model.layers.1.mlp.down_proj'][3, 2] = bad
    with pytest.raises(AdapterError, match='NaN or infinity'): bank.lay_out(f)
    assert bank.free == free


# --- whose plan is in force -------------------------------------------------

def test_an_exception_leaves_the_next_request_alone(base, bank):
    "PEFT's hooks stay after an exception inside an adapter_names call, and the next plain request is answered with other adapters."
    plain, slot = logits(base.model), bank.load(bank.lay_out(random_factors(base, 4, 1)))
    with pytest.raises(ZeroDivisionError), bank.using([{slot: 1.}]): raise ZeroDivisionError
    with pytest.raises(IndexError), bank.using([{slot: 1.}]): base.model(torch.tensor([[10**6]]))
    assert torch.equal(logits(base.model), plain)


def test_a_batch_of_another_size_is_refused(base, bank):
    slot = bank.load(bank.lay_out(random_factors(base, 4, 1)))
    with bank.using([{slot: 1.}, {}]), pytest.raises(AdapterError, match='batch of 2 rows'): logits(base.model)
    with bank.using([{slot: 1.}]): logits(base.model) # one for all is for any number


def test_plans_nest_and_threads_have_their_own(base, bank):
    a, b = (bank.load(bank.lay_out(random_factors(base, 4, i))) for i in (1, 2))
    want = {}
    for k, row in dict(a={a: 1.}, b={b: 1.}, none={}).items():
        with bank.using([row]): want[k] = logits(base.model)
    def meanwhile(): found.append(logits(base.model))
    found = []
    with bank.using([{a: 1.}]):
        with bank.using([{b: 1.}]): assert torch.equal(logits(base.model), want['b'])
        (t := threading.Thread(target=meanwhile)).start()
        t.join()
        assert torch.equal(logits(base.model), want['a'])
    assert torch.equal(found[0], want['none']) and torch.equal(logits(base.model), want['none'])


def test_a_plan_is_filled_again_without_moving(base, bank):
    "What a captured graph needs: the same tensors, other numbers in them, adapters that come and go."
    plan = bank.whole(3)
    a = bank.load(bank.lay_out(random_factors(base, 4, 1)))
    def places(): return [t.data_ptr() for t in (plan.scale, *(t for ts in plan._factors for t in ts))]
    before = places()
    for rows in ([{a: 1.}, {}, {a: .5}], [{}, {a: 2.}, {}]):
        plan.fill(rows)
        with bank.using(plan): got = logits(base.model)
        with bank.using(rows): near(got, logits(base.model))
    bank.drop(a)
    b = bank.load(bank.lay_out(random_factors(base, 20, 2)))
    plan.fill([{b: 1.}, {}, {}])
    with bank.using(plan): got = logits(base.model)
    with bank.using([{b: 1.}, {}, {}]): near(got, logits(base.model))
    assert places() == before


def test_two_banks_on_one_base(base, bank):
    other = Bank(base, 2)
    f = random_factors(base, 4, 1)
    with bank.using([{bank.load(bank.lay_out(f)): 1.}]): want = logits(base.model)
    with other.using([{other.load(other.lay_out(f)): 1.}]): assert torch.equal(logits(base.model), want)
    other.close()


def test_generate_with_a_cache(base, bank):
    "Prompt and steps, rows of their own: as each alone."
    slots = [bank.load(bank.lay_out(random_factors(base, 4+i, i))) for i in range(3)]
    rows = [{slots[0]: 1.}, {slots[1]: .7, slots[2]: 1.}, {}]
    def say(ids): return base.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, min_new_tokens=12, do_sample=False)
    with bank.using(rows): together = say(IDS)
    for i, row in enumerate(rows):
        with bank.using([row]): assert torch.equal(say(IDS[i:i+1])[0], together[i])


def test_compiled(base, bank):
    "A compiled model gives what the plain one does, under any plan."
    a, b = (bank.load(bank.lay_out(random_factors(base, 4, i))) for i in (1, 2))
    compiled = torch.compile(base.model, backend='eager')
    for row in ({a: 1.}, {b: 1.}, {}, {a: .5, b: 2.}):
        with bank.using([row, {}, {b: 1.}]): near(logits(compiled), logits(base.model))


# --- the mathematics of factors ---------------------------------------------

@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(-2, 2).filter(lambda w: abs(w) > .01))
def test_lengths_angles_and_sums_are_those_of_the_dense_matrices(base, r1, r2, weight):
    f, g = random_factors(base, r1, 1, LINEARS[:3]), random_factors(base, r2, 2, LINEARS[2:5])
    dense = lambda f: {n: f.delta(n).double() for n in f.A}
    df, dg = dense(f), dense(g)
    every = lambda d: torch.cat([d.get(n, torch.zeros(s, dtype=torch.float64)).flatten() for n, s in base.linears.items()])
    vf, vg = every(df), every(dg)
    assert abs(inner(f, g) - vf.dot(vg).item()) <= 1e-5*vf.norm()*vg.norm() and abs(norm(f) - vf.norm().item()) <= 1e-5*vf.norm()
    assert abs(distance(f, g) - ((vf - vg).norm()/vg.norm()).item()) <= 1e-4
    assert (every(dense(added([(f, 1.), (g, weight)]))) - vf - weight*vg).norm() <= 1e-5*(vf.norm() + vg.norm())


@pytest.mark.parametrize('ends', [LINEARS, ['q_proj'], ['layers.0.self_attn.q_proj', 'down_proj']])
def test_written_factors_are_a_peft_adapter_of_one_rank(ends, base, tmp_path):
    f = added([(random_factors(base, 3, 1, ends), 1.), (random_factors(base, 2, 2, ends[:1]), -.5)])
    folder = write_factors(f, tmp_path/'new'/'both', base.linears)
    again = read_factors(folder, base)
    assert again.rank == f.rank and all(len(a) == f.rank for a in again.A.values()) and distance(again, f) < 1e-6
    assert sorted(p.name for p in (tmp_path/'new').iterdir()) == ['both']
    peft = PeftModel.from_pretrained(type(base.model)(base.model.config), folder)
    for n in f.A: torch.testing.assert_close(peft.base_model.model.get_submodule(n).get_delta_weight('default'), f.delta(n))
    with pytest.raises(AdapterError, match='is there already'): write_factors(f, folder, base.linears)


def test_a_page_is_sixteen_ranks(): assert PAGE == 16
