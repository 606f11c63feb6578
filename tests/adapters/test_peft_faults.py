"What users met in PEFT 0.21, shown there, and absent here."
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from rmn_lora.adapters.compositor import get_compositor
from rmn_lora.adapters.factors import read_factors
from rmn_lora.adapters.manager import AdapterManager
from rmn_lora.errors import AdapterError, EngineError

IDS = torch.tensor([[5, 90, 41, 200, 7, 66]])
ALL = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']


@pytest.fixture
def manager(checkpoint, tmp_path):
    m = AdapterManager(checkpoint, tmp_path/'store', device='cpu')
    yield m
    if m.compositor: m.compositor.close()


def two(base, tmp_path, make_adapter, **config):
    return [make_adapter(base, tmp_path/f'two{i}', seed=i, r=4, lora_alpha=8, std=.15, target_modules=ALL, **config) for i in range(2)]


def peft_of(base, folders):
    model = type(base.model)(base.model.config)
    model.load_state_dict(base.model.state_dict())
    peft = PeftModel.from_pretrained(model.eval(), folders[0], 'a0')
    for i, f in enumerate(folders[1:], 1): peft.load_adapter(f, f'a{i}')
    return peft


def dense(base, folders, weights):
    "Logits of the base with the dense sum of the updates, in 64 bits."
    model = type(base.model)(base.model.config).double().eval()
    model.load_state_dict(base.model.state_dict())
    for f, w in zip(folders, weights):
        for n in (factors := read_factors(f, base)).A: model.get_submodule(n).weight.data += w*factors.delta(n).double()
    with torch.inference_mode(): return model(IDS).logits


def ours(manager, folders, **how):
    for i, f in enumerate(folders): manager.store.publish(f, f'a{i}', 'brand', base=manager.base)
    c = get_compositor(manager)
    with torch.inference_mode(), c.using([c.compose_sync([f'a{i}' for i in range(len(folders))], **how)]): return c.base.model(IDS).logits.double()


def off(got, want): return ((got - want).abs().max()/want.abs().max()).item()


def test_linear_mixes_a_and_b_apart(base, manager, tmp_path, make_adapter):
    "PEFT's `linear` is off by more than the adapters' own effect; a sum here is the sum."
    folders = two(base, tmp_path, make_adapter)
    want, effect = dense(base, folders, [1., 1.]), dense(base, [], [])
    peft = peft_of(base, folders)
    peft.add_weighted_adapter(['a0', 'a1'], [1., 1.], 'mixed', combination_type='linear')
    peft.set_adapter('mixed')
    with torch.inference_mode(): theirs = peft(IDS).logits.double()
    assert off(theirs, want) > .5*off(effect, want) and off(ours(manager, folders), want) < 1e-5


def test_rslora_is_added_as_strong_as_it_was_trained(base, manager, tmp_path, make_adapter):
    folders = two(base, tmp_path, make_adapter, use_rslora=True)
    want, peft = dense(base, folders, [1., 1.]), peft_of(base, folders)
    peft.add_weighted_adapter(['a0', 'a1'], [1., 1.], 'both', combination_type='cat')
    peft.set_adapter('both')
    with torch.inference_mode(): theirs = peft(IDS).logits.double()
    assert off(theirs, want) > 1e-2 and off(ours(manager, folders), want) < 1e-5


@pytest.mark.parametrize('config', [dict(use_dora=True), dict(lora_bias=True)])
def test_what_cannot_be_added_is_refused(config, base, manager, tmp_path):
    get_peft_model(type(base.model)(base.model.config), LoraConfig(r=2, target_modules=['q_proj'], **config)).save_pretrained(tmp_path/'odd')
    with pytest.raises(AdapterError, match='only plain LoRA'): manager.store.publish(tmp_path/'odd', 'odd', 'brand', base=manager.base)
    assert manager.store.list() == []


def test_a_name_that_is_given_again_means_the_new_weights(base, manager, tmp_path, make_adapter):
    first, second = two(base, tmp_path, make_adapter)
    manager.store.publish(first, 'a', 'brand', base=manager.base)
    c = get_compositor(manager)
    before = c.compose_sync(['a']).logits('spend?')
    manager.store.publish(second, 'a', 'brand', base=manager.base)
    after = c.compose_sync(['a']).logits('spend?')
    with base.using(second) as one: want = one.logprobs('spend?', 'sales')
    assert not torch.allclose(before, after)
    said = base.tokenizer('sales', add_special_tokens=False).input_ids
    got = c.compose_sync(['a']).logits('spend?', said)[:-1].log_softmax(-1).gather(1, torch.tensor(said)[:, None])[:, 0]
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_an_exception_in_a_mixed_batch_leaves_no_adapter_behind(base, manager, tmp_path, make_adapter):
    folders = two(base, tmp_path, make_adapter)
    ours(manager, folders)
    c = get_compositor(manager)
    models = [c.compose_sync(['a0']), c.compose_sync(['a1'])]
    with torch.inference_mode(): plain = c.base.model(IDS).logits
    def broken(*a, **kw): raise RuntimeError('in the middle of it')
    hook = c.base.model.model.layers[1].mlp.register_forward_pre_hook(broken)
    with pytest.raises(EngineError, match='middle') as failed: c.generate(models, ['x', 'y'], 4)
    assert isinstance(failed.value.__cause__, RuntimeError)
    hook.remove()
    with torch.inference_mode(): assert torch.equal(c.base.model(IDS).logits, plain)
    assert c.residency.slots.stats()['entries'] == 2 and c.generate(models, ['x', 'y'], 4) # given back, and as good as before
    c.residency.slots.forget()
    assert c.residency.slots.stats()['entries'] == 0
