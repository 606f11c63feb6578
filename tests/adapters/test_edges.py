"Where composition was once seen to break: each of these gave a wrong answer, or left something behind."
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from rmn_lora.adapters import gate
from rmn_lora.adapters.attribution import contributions, interference, strengths
from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.compose import compose, materialised
from rmn_lora.adapters.compositor import RealtimeCompositor, get_compositor
from rmn_lora.adapters.factors import read_factors
from rmn_lora.adapters.store import AdapterStore
from rmn_lora.errors import AdapterError, BaseModelError, EngineError
from rmn_lora.settings import CompositionSettings, load_settings
from rmn_lora.training.sft import lent

PROMPT = 'spend and clicks of the campaign on that date?'


# --- whose layers these are -------------------------------------------------

def test_a_closed_compositor_answers_nothing(manager, compositor):
    model = compositor.compose_sync(['retail', 'amazon'])
    said = model.generate(PROMPT, 8).tokens
    compositor.close()
    for ask in (lambda: model.generate(PROMPT, 8), lambda: model.logits(PROMPT), lambda: compositor.compose_sync(['retail'])):
        with pytest.raises(AdapterError, match='closed'): ask()
    again = get_compositor(manager)
    assert again is not compositor and again.compose_sync(['retail', 'amazon']).generate(PROMPT, 8).tokens == said
    compositor.close()
    assert manager.compositor is again, 'closing twice closes nobody else'


def test_closing_cuts_off_and_says_so(compositor):
    model = compositor.compose_sync(['retail', 'amazon'])
    whole, request = model.generate(PROMPT, 100), model.submit(PROMPT, max_new_tokens=100)
    next(iter(request)) if whole.text else request.result()
    compositor.close()
    said = request.result()
    assert said.finish == 'cancelled' or said.tokens == whole.tokens
    assert said.tokens == whole.tokens[:len(said.tokens)] and len(said.logprobs) == len(said.tokens)


def test_nobody_answers_while_the_layers_are_changed(manager, compositor):
    model = compositor.compose_sync(['retail'])
    said = model.generate(PROMPT, 8).tokens
    with manager.base.using(manager.versions['brand1']) as stack:
        for ask in (lambda: model.generate(PROMPT, 8), lambda: model.logits(PROMPT), lambda: manager.base.generate([PROMPT], 8), lambda: manager.base.logprobs(PROMPT, 'spend')):
            with pytest.raises(BaseModelError, match='at the moment'): ask()
        assert stack.generate([PROMPT], 8)
    assert model.generate(PROMPT, 8).tokens == said
    with compositor.using([model]), pytest.MonkeyPatch.context() as m:
        m.setattr(gate, 'PATIENCE', .05)
        with pytest.raises(BaseModelError, match='has been answering'), manager.base.using(manager.versions['brand1']): pass
    assert model.generate(PROMPT, 8).tokens == said


def test_a_bank_is_not_made_on_changed_layers(manager):
    with manager.base.using(manager.versions['brand1']), pytest.raises(BaseModelError, match='at the moment'): get_compositor(manager).compose_sync(['retail'])
    model = get_compositor(manager).compose_sync(['retail'])
    with manager.base.using(manager.versions['retail1']) as stack: want = stack.generate([PROMPT], 8)
    assert list(model.answers([PROMPT], 8)) == want


def test_made_in_inference_mode(manager, agrees):
    with torch.inference_mode(): get_compositor(manager).compose_sync(['retail'])
    model = get_compositor(manager).compose_sync(['amazon'])
    assert agrees(model.compositor, PROMPT, model.generate(PROMPT, 8)) < 1e-4
    with torch.inference_mode(): base = load_base(manager.base_model_path, device='cpu')
    assert not any(p.is_inference() for p in base.model.parameters())


def test_another_precision_than_the_base(compositor):
    model, plain = compositor.compose_sync(['retail', 'amazon']), compositor.base.model
    ids = torch.tensor([compositor.base.encode([PROMPT])[0]])
    with torch.inference_mode(), compositor.using([model]):
        want = plain(ids).logits
        with torch.autocast('cpu', torch.bfloat16): got = plain(ids).logits
        scale = (want - model.compositor.base.model(ids).logits).abs().max()
    assert (got.float() - want).abs().max() < .1*want.abs().max() and scale == 0


def test_rows_keep_their_place(compositor):
    models = [compositor.compose_sync([n]) for n in ('retail', 'amazon')]
    prompts = [PROMPT*3, 'x']
    want = [next(m.answers([p], 6)) for m, p in zip(models, prompts)]
    with compositor.using(models): assert compositor.base.generate(prompts, 6) == want
    with torch.inference_mode(), compositor.using([*models, None]), pytest.raises(AdapterError, match='for a batch of 3 rows'): compositor.base.model(torch.tensor([[5, 6, 7]]))


def test_experts_are_unwrapped_once(checkpoint, tmp_path, make_adapter, fingerprint):
    from transformers import MixtralConfig, MixtralForCausalLM
    torch.manual_seed(0)
    MixtralForCausalLM(MixtralConfig(vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, num_local_experts=4)).save_pretrained(tmp_path/'moe')
    for p in checkpoint.glob('*token*'): shutil.copy(p, tmp_path/'moe')
    base = load_base(tmp_path/'moe', device='cpu')
    before = fingerprint(base.model)
    with lent(base): # PEFT wraps the experts in wrappers of wrappers
        get_peft_model(base.model, LoraConfig(r=2, target_modules='all-linear', target_parameters=['mlp.experts.gate_up_proj', 'mlp.experts.down_proj']))
    assert fingerprint(base.model) == before and base.generate(['x'], 3)
    with base.using(make_adapter(base, tmp_path/'adapter')) as one: assert one.generate(['x'], 3)
    assert fingerprint(base.model) == before


# --- identity ---------------------------------------------------------------

def test_what_is_drawn_hangs_on_the_seed_alone(manager):
    versions = [manager.versions['retail1'], manager.versions['retail2']]
    factors = [read_factors(v) for v in versions]
    made = lambda seed: materialised(compose('sha256:x', versions, 'dare_ties', seed=seed), factors)
    want = [made(s) for s in range(4)]
    with ThreadPoolExecutor(4) as pool: got = list(pool.map(made, [0, 1, 2, 3]*6))
    for i, f in enumerate(got):
        for n in f.A: assert torch.equal(f.A[n], want[i % 4].A[n]) and torch.equal(f.B[n], want[i % 4].B[n])


def test_one_content_under_two_names(manager, compositor, tmp_path):
    v = manager.versions['amazon1']
    manager.store.publish(v.path, 'aaa', 'task') # of which nobody says for what base it is
    assert compositor.compose_sync(['amazon']).generate(PROMPT, 4).tokens
    (manager.store.resolve('aaa').path/'adapter_model.safetensors').write_bytes(b'')
    compositor.residency.slots.forget(); compositor.residency.memory.forget()
    assert compositor.compose_sync(['amazon']).generate(PROMPT, 4).tokens, 'the damaged copy is not ours'
    assert manager.store.publish(v.path, 'zzz', 'brand', base=manager.base) == manager.store.resolve('zzz')
    compositor.swap_adapter('amazon', manager.versions['amazon2'].version)
    assert compositor.swap_adapter('amazon', v.version)['after'] == v.version, 'not the task of the same content'


def test_two_versions_of_one_adapter_have_parts_of_their_own(manager, compositor):
    model = compositor.compose_sync([manager.versions[f'amazon{i}'].version for i in (1, 2)])
    out = model.generate(PROMPT, 6)
    each = contributions(model, PROMPT, out.tokens)
    assert len(each) == 3 and len(strengths(model)) == 2
    torch.testing.assert_close(sum(each.values()), out.logprobs, rtol=1e-4, atol=1e-4)


def test_the_same_adapters_in_another_order_are_one(compositor):
    compositor.compose_sync(['retail', 'amazon'])
    compositor.compose_sync(['amazon', 'retail'])
    assert compositor.get_cache_stats()['cached_compositions'] == 1


def test_an_adapter_that_changes_nothing(manager, compositor, tmp_path, make_adapter):
    manager.store.publish(make_adapter(manager.base, tmp_path/'zero', std=0), 'zero', 'task', base=manager.base)
    model = compositor.compose_sync(['zero'], 'svd')
    assert model.generate(PROMPT, 4).identity['distance'] == 0
    assert interference(compositor, ['zero', 'retail'])[0]['cosine'] != 0 # NaN: nothing has no direction
    with pytest.raises(AdapterError, match='no two'): interference(compositor, ['zero'])


def test_a_rank_that_nobody_wrote_down_is_pefts(manager, compositor, tmp_path, make_adapter):
    folder = make_adapter(manager.base, tmp_path/'eight', r=8)
    said = json.loads((folder/'adapter_config.json').read_text())
    (folder/'adapter_config.json').write_text(json.dumps({k: v for k, v in said.items() if k != 'r'}))
    manager.store.publish(folder, 'eight', 'task', base=manager.base)
    assert compositor.compose_sync(['eight']).generate(PROMPT, 4).tokens


# --- names ------------------------------------------------------------------

def test_a_rollback_that_cannot_answer_moves_nothing(manager, compositor, tmp_path, make_adapter):
    before, now = (make_adapter(manager.base, tmp_path/f'n{i}', seed=i) for i in (1, 2))
    manager.store.publish(before, 'n', 'brand', base_digest='sha256:' + 'f'*64)
    v = manager.store.publish(now, 'n', 'brand', base=manager.base)
    with pytest.raises(BaseModelError, match='was made for base'): compositor.rollback('n')
    assert manager.store.resolve('n') == v == compositor.manager.resolve('n')


def test_rolled_back_although_the_present_version_is_gone(manager, compositor):
    first, second = manager.versions['amazon1'], manager.versions['amazon2']
    compositor.swap_adapter('amazon', second.version)
    shutil.rmtree(second.path)
    assert compositor.rollback('amazon')['after'] == first.version


def test_a_cold_swap_to_what_is_gone_moves_nothing(manager, compositor, tmp_path, make_adapter):
    manager.store.publish(make_adapter(manager.base, tmp_path/'new', seed=77), 'new', 'retailer', base=manager.base)
    v = manager.resolve('new')
    shutil.rmtree(v.path)
    with pytest.raises(AdapterError, match='no longer in the store'): compositor.swap_adapter('amazon', 'new', warm_swap=False)
    assert manager.store.resolve('amazon').version == manager.versions['amazon1'].version


def test_a_merge_that_cannot_be_made_anew_stops_no_swap(manager, compositor, tmp_path, make_adapter):
    compositor.compose_sync(['retail', manager.versions['retail2'].version], 'ties')
    manager.store.publish(make_adapter(manager.base, tmp_path/'r8', r=8, target_modules=['q_proj']), 'other', 'industry', base=manager.base)
    assert compositor.swap_adapter('retail', 'other')['after'] == manager.store.resolve('other').version


def test_a_name_that_appears_meanwhile_is_not_kept_for_ever(manager, monkeypatch):
    store, v = manager.store, manager.versions['amazon1']
    look_up = store.look_up
    def late(name):
        if name == 'young': store.alias('young', v)
        return look_up(name)
    monkeypatch.setattr(store, 'look_up', late)
    assert manager.resolve('young') == v
    monkeypatch.undo()
    AdapterStore(store.root).alias('young', manager.versions['amazon2'])
    assert manager.resolve('young') == manager.versions['amazon2']


def test_a_version_of_another_store_gets_no_name(manager, tmp_path, make_adapter):
    v = AdapterStore(tmp_path/'other').publish(make_adapter(manager.base, tmp_path/'new', seed=78), 'new', 'retailer', base=manager.base)
    with pytest.raises(AdapterError, match='no longer in the store'): manager.store.alias('live', v)
    assert 'live' not in manager.store.aliases()


def test_one_id_is_of_one_kind(manager):
    with pytest.raises(AdapterError, match='of the kind retailer, and not task'): manager.store.publish(manager.versions['brand1'].path, 'amazon', 'task')


# --- debris -----------------------------------------------------------------

@pytest.mark.parametrize('lineage', [['a'], {'seen': 5}, {'trained_with': 'x'}, 'text'], ids=str)
def test_an_odd_lineage_leaves_nothing(lineage, manager, tmp_path, make_adapter):
    folder, tree = make_adapter(manager.base, tmp_path/'new', seed=79), lambda: sorted(map(str, manager.store.root.rglob('*')))
    before = tree()
    with pytest.raises(AdapterError, match='lineage of'): manager.store.publish(folder, 'new', 'task', lineage=lineage)
    with pytest.raises(AdapterError, match='no JSON'): manager.store.evaluate({'identity': 'sha256:x'}, {'x': object()})
    assert tree() == before


def test_what_a_killed_publisher_left_is_swept(manager, tmp_path, make_adapter):
    import os
    old, new = manager.store.root/'.incoming-old', manager.store.root/'.incoming-new'
    old.mkdir(); new.mkdir()
    os.utime(old, (0, 0))
    manager.store.publish(make_adapter(manager.base, tmp_path/'new', seed=80), 'new', 'task')
    assert not old.exists() and new.exists()


def test_a_warm_up_that_fails_leaves_no_hooks(manager):
    settings = load_settings()
    hooks = lambda: sum(len(m._forward_hooks) for m in manager.base.model.modules())
    before = hooks()
    with pytest.raises(AdapterError, match='nobody'): RealtimeCompositor(manager, settings.model_copy(update=dict(composition=CompositionSettings(warmup='retail, nobody'))))
    assert hooks() == before


# --- errors in words --------------------------------------------------------

@pytest.mark.parametrize('how,options,message', [('weighted', dict(weights=5), 'weights is 5'), ('weighted', dict(weights=['a', 'b']), 'weights is'), ('weighted', dict(weigths=[1, 1]), 'takes no weigths'),
    ('ties', dict(density='x'), "density is 'x'"), ('ties', dict(density=[.5]), 'density is'), ('svd', dict(rank=[3]), 'rank is'), ('dare_ties', dict(seed='q'), "seed is 'q'"), ('dare_ties', dict(seed=2**70), 'seed is')])
def test_odd_options_are_refused_in_words(how, options, message, compositor):
    with pytest.raises(AdapterError, match=message): compositor.compose_sync(['retail', 'amazon'], how, **options)


def test_odd_requests_are_refused_in_words(manager, compositor):
    model = compositor.compose_sync([manager.versions['retail1']]) # a version, as it is
    for options in (dict(max_new_tokens=0), dict(temperature=1e-40), dict(temperature=float('nan'))):
        with pytest.raises(EngineError, match=next(iter(options))): model.generate(PROMPT, **options)
    with pytest.raises(EngineError, match='batch_size'): next(model.answers([PROMPT], batch_size=0))
    base, own = compositor.generate([None, model], [PROMPT]*2, 6)
    assert base.identity['adapters'] == [] and base.text == compositor.base.generate([PROMPT], 6)[0]
    with pytest.raises(AdapterError, match='another compositor'): compositor.generate([replace(model, compositor=None)], [PROMPT])
    found = []
    done = threading.Event()
    compositor.compose_async('retail', callback=lambda id, x: (found.append(x), done.set()))
    assert done.wait(30) and 'Give a list' in str(found[0])


def test_a_callback_that_ends_its_thread_does_not(compositor):
    done = threading.Event()
    compositor.compose_async(['retail'], callback=lambda id, x: exec('raise SystemExit'))
    compositor.compose_async(['amazon'], callback=lambda id, x: done.set())
    assert done.wait(30)
    closed = threading.Event()
    compositor.compose_async(['amazon'], callback=lambda id, x: (compositor.close(), closed.set()))
    assert closed.wait(30)
