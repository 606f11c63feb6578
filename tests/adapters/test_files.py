"Every malformed adapter is refused with its reason, by the check, the stack and the store, and leaves nothing behind."
import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from rmn_lora.adapters.files import check_adapter
from rmn_lora.adapters.store import AdapterStore
from rmn_lora.errors import AdapterError, BaseModelError


def config(**change):
    def f(folder):
        path = folder/'adapter_config.json'
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return f


def tensors(change):
    def f(folder):
        path = folder/'adapter_model.safetensors'
        found = load_file(path)
        save_file({k: t.clone() for k, t in (change(found) or found).items()}, path)
    return f


def put(name, content):
    def f(folder): (folder/name).write_bytes(content)
    return f


def drop(name):
    def f(folder): (folder/name).unlink()
    return f


def pickled(folder):
    torch.save(load_file(folder/'adapter_model.safetensors'), folder/'adapter_model.bin')
    (folder/'adapter_model.safetensors').unlink()


def set_at(value):
    def f(found): found[min(found)][0, 0] = value
    return f


A = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'
B = A.replace('lora_A', 'lora_B')
MALFORMED = {
    'pickle only': (pickled, 'pickle'),
    'pickle beside': (put('weights.pt', b'x'), 'pickle'),
    'no config': (drop('adapter_config.json'), 'adapter_config.json'),
    'config no json': (put('adapter_config.json', b'{'), 'cannot be read'),
    'config not utf-8': (put('adapter_config.json', b'\xff\xfe\x00'), 'cannot be read'),
    'config a list': (put('adapter_config.json', b'[]'), 'no JSON object'),
    'config empty': (put('adapter_config.json', b'{}'), 'peft_type'),
    'config of a type': (config(target_modules=5), 'not a LoRA configuration'),
    'config aims nowhere': (config(target_modules=None), 'not a LoRA configuration'),
    'bad pattern': (config(rank_pattern={'(': 3}), 'not a LoRA configuration'),
    'another method': (config(peft_type='LOHA'), 'LOHA'),
    'dora': (config(use_dora=True), 'use_dora'),
    'lora bias': (config(lora_bias=True), 'lora_bias'),
    'bias': (config(bias='all'), 'bias'),
    'modules to save': (config(modules_to_save=['lm_head']), 'modules_to_save'),
    'token indices, empty': (config(trainable_token_indices=[]), 'trainable_token_indices'),
    'token indices, false': (config(trainable_token_indices=False), 'trainable_token_indices'),
    'layer replication, a text': (config(layer_replication=''), 'layer_replication'),
    'arrow, empty': (config(arrow_config={}), 'arrow_config'),
    'bias null': (config(bias=None), 'bias'),
    'dropout beyond numbers': (config(lora_dropout=-10**400), 'not a LoRA configuration'),
    'pissa': (config(init_lora_weights='pissa'), 'pissa'),
    'loftq': (config(init_lora_weights='loftq'), 'loftq'),
    'rank 0': (config(r=0), 'rank|r'),
    'rank a text': (config(r='4'), 'r'),
    'rank differs': (config(r=8), 'was expected'),
    'rank pattern differs': (config(rank_pattern={'q_proj': 2}), 'was expected'),
    'alpha nan': (config(lora_alpha=float('nan')), 'lora_alpha'),
    'alpha absurd': (config(lora_alpha=1e9), 'lora_alpha'),
    'alpha zero': (config(alpha_pattern={'q_proj': 0}), 'q_proj'),
    'no weights': (drop('adapter_model.safetensors'), 'adapter_model.safetensors'),
    'weights truncated': (lambda f: os.truncate(f/'adapter_model.safetensors', 100), 'cannot be read'),
    'weights empty': (tensors(lambda t: {'x': torch.zeros(0)}), 'unknown tensor'),
    'no tensors': (lambda f: save_file({}, f/'adapter_model.safetensors'), 'no tensors'),
    'nan': (tensors(set_at(float('nan'))), 'NaN'),
    'infinity': (tensors(set_at(float('-inf'))), 'infinity'),
    'integers': (tensors(lambda t: {k: v.int() for k, v in t.items()}), 'floats'),
    'empty': (tensors(lambda t: t | {A: t[A][:, :0].contiguous()}), 'is empty'),
    'card of another type': (put('adapter.json', b'{"base_digest": 5}'), 'base_digest is 5'),
    'one dimension': (tensors(lambda t: t | {A: t[A][0]}), 'matrix'),
    'B missing': (tensors(lambda t: {k: v for k, v in t.items() if k != B}), 'missing tensor lora_B'),
    'unknown key': (tensors(lambda t: t | {'base_model.model.lm_head.weight': t[A]}), 'unknown tensor'),
    'dora magnitude': (tensors(lambda t: t | {A.replace('lora_A.weight', 'lora_magnitude_vector'): t[A]}), 'unknown tensor'),
    'embedding factor': (tensors(lambda t: t | {'base_model.model.model.embed_tokens.lora_embedding_A': t[A]}), 'unknown tensor'),
    'card no json': (put('adapter.json', b'x'), 'adapter.json'),
    # what only the base can tell
    'layer missing': (tensors(lambda t: {k: v for k, v in t.items() if '.0.self_attn.q_proj' not in k}), 'missing', True),
    'layer not aimed at': (config(target_modules=['v_proj']), 'not aimed at', True),
    'layer the base lacks': (tensors(lambda t: t | {k.replace('q_proj', 'x_proj'): v for k, v in t.items()}), 'x_proj', True),
    'output head': (tensors(lambda t: t | {'base_model.model.lm_head.lora_A.weight': t[A],
                                           'base_model.model.lm_head.lora_B.weight': t[B]}), 'lm_head', True),
    'another width': (tensors(lambda t: t | {A: t[A][:, :32].contiguous()}), 'was expected', True),
    'another base': (put('adapter.json', b'{"base_digest": "sha256:00"}'), 'made for base', True),
}


@pytest.mark.parametrize('case', MALFORMED)
def test_malformed(case, base, tmp_path, adapter, fingerprint):
    spoil, why, *needs_base = MALFORMED[case]
    good, bad = adapter, shutil.copytree(adapter, tmp_path/'bad')
    spoil(bad)
    store, before = AdapterStore(tmp_path/'store'), fingerprint(base.model)
    for known in [base] if needs_base else [None, base]:
        with pytest.raises((AdapterError, BaseModelError), match=why): check_adapter(bad, known)
        with pytest.raises((AdapterError, BaseModelError), match=why): store.publish(bad, 'bad', 'task', base=known)
    with pytest.raises((AdapterError, BaseModelError), match=why), base.using(good, bad): pass
    assert not (tmp_path/'store').exists() and fingerprint(base.model) == before


def test_aimed_at_what_is_no_linear_layer(base, tmp_path, adapter, fingerprint):
    "PEFT would fill the missing embedding factors with random numbers."
    bad = shutil.copytree(adapter, tmp_path/'bad')
    config(target_modules=['q_proj', 'v_proj', 'embed_tokens'])(bad)
    before = fingerprint(base.model)
    with pytest.raises(AdapterError, match='no weights for'), base.using(adapter, bad): pass
    assert fingerprint(base.model) == before


def test_check_says_nothing_about_good_ones(base, tmp_path, make_adapter):
    for i, change in enumerate((dict(target_modules='all-linear'), dict(target_modules=r'.*\.[qk]_proj'), dict(layers_to_transform=[1]),
                                dict(rank_pattern={'q_proj': 2}, alpha_pattern={'v_proj': 3}), dict(init_lora_weights='gaussian'),
                                dict(exclude_modules=['model.layers.0.self_attn.q_proj']))):
        assert check_adapter(make_adapter(base, tmp_path/str(i), **change), base)[1]


@pytest.mark.parametrize(('change','why'), [(lambda t: t.double() * 1e300, 'infinity'), (lambda t: torch.full_like(t, 3e38), 'holds 3e\\+38'), (lambda t: t * 0 + float('nan'), 'NaN')])
def test_what_is_not_finite_where_it_is_used_is_refused(change, why, base, tmp_path, adapter):
    bad = shutil.copytree(adapter, tmp_path/'bad')
    tensors(lambda found: {k: change(t) for k, t in found.items()})(bad)
    with pytest.raises(AdapterError, match=why): check_adapter(bad, base)
    with pytest.raises(AdapterError, match=why): AdapterStore(tmp_path/'store').publish(bad, 'bad', 'task')


@pytest.mark.parametrize('change', [dict(exclude_modules=5), dict(exclude_modules='('), dict(layers_pattern='('), dict(layers_to_transform='a'), dict(rank_pattern=['a']), dict(lora_dropout=5), dict(lora_dropout='x')])
def test_an_odd_configuration_is_refused_in_words(change, base, tmp_path, adapter):
    bad = shutil.copytree(adapter, tmp_path/'bad')
    config(**change)(bad)
    with pytest.raises(AdapterError, match='not a LoRA configuration'): check_adapter(bad, base)
    (bad/'adapter_config.json').write_text('[' * 200_000)
    with pytest.raises(AdapterError, match='cannot be read'): check_adapter(bad, base)
    (bad/'adapter_config.json').unlink()
    os.mkfifo(bad/'adapter_config.json')
    with pytest.raises(AdapterError, match='cannot be read'): check_adapter(bad, base)
