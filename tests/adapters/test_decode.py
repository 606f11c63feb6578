"Small models taken apart say what they say as a whole, to the logit; whatever is more than that goes on as a whole."
import os
import subprocess
import sys

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rmn_lora.adapters.decode import Small, Whole, _pad_left, greedy

PROMPTS = [[5, 6, 7, 8, 9], [10], [11, 12, 13]]

def tiny(**changes):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**dict(vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8, initializer_range=.3) | changes)).eval()

def begun(model, prompts=PROMPTS, extra=8):
    "What a model knows after the prompts: cache, mask, positions; and the width."
    tokens, mask, positions = _pad_left(prompts, extra, model.device)
    width = tokens.shape[1]
    return (model(input_ids=tokens, attention_mask=mask[:, :width], position_ids=positions[:, :width], use_cache=True).past_key_values, mask, positions), width

@torch.inference_mode()
def assert_alike(model, prompts=PROMPTS):
    "Both kinds of steps, teacher-forced, with a row that leaves on the way."
    small, whole = Small.of(model, *begun(model, prompts)[0]), Whole(model, *begun(model, prompts)[0])
    assert small is not None
    rows = list(range(len(prompts)))
    for k, at in enumerate(range(begun(model, prompts)[1], begun(model, prompts)[1] + 6)):
        said = torch.tensor([(7*r + 3*k) % 60 for r in rows])
        torch.testing.assert_close(small.step(said, at), whole.step(said, at), atol=2e-4, rtol=1e-4)
        if k == 2 and len(rows) > 1:
            rows = rows[1:]
            for steps in (small, whole): steps.keep(torch.arange(1, len(rows) + 1))

@pytest.mark.parametrize('changes', [{}, dict(num_key_value_heads=4), dict(num_key_value_heads=1), dict(tie_word_embeddings=True), dict(head_dim=16), dict(rms_norm_eps=1e-3), dict(rope_parameters=dict(rope_type='default', rope_theta=100.))])
@pytest.mark.parametrize('prompts', [PROMPTS, PROMPTS[:1], [[1, 2], [3, 4]]])
def test_steps_are_alike(changes, prompts): assert_alike(tiny(**changes), prompts)

@pytest.mark.parametrize('adapters', [[{}], [{}, dict(r=2, lora_alpha=16)], [dict(use_rslora=True), dict(target_modules='all-linear'), dict(rank_pattern={'q_proj': 8}, alpha_pattern={'v_proj': 3})]])
def test_steps_with_adapters_are_alike_and_the_base_is_not_touched(adapters, base, tmp_path, make_adapter):
    before = {k: v.clone() for k, v in base.model.state_dict().items()}
    folders = [make_adapter(base, tmp_path/str(k), seed=k, **config) for k, config in enumerate(adapters)]
    prompts = base.encode(['spend?', 'clicks and sales of the campaign'])
    bare = greedy(base.model, prompts, set(), 12)
    with base.using(*folders) as stack:
        assert_alike(stack.model, [[t % 60 for t in p] for p in prompts])
        assert greedy(stack.model, prompts, set(), 12) != bare
    assert greedy(base.model, prompts, set(), 12) == bare and all(torch.equal(v, before[k]) for k, v in base.model.state_dict().items())

@pytest.mark.parametrize('changes', [dict(attention_bias=True), dict(mlp_bias=True), dict(hidden_act='gelu'), dict(rope_parameters=dict(rope_type='linear', rope_theta=10000., factor=2.))])
def test_another_architecture_goes_on_as_a_whole(changes):
    model = tiny(**changes)
    with torch.inference_mode(): assert Small.of(model, *begun(model)[0]) is None
    want = [model.generate(torch.tensor([p]), max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)[0, len(p):].tolist() for p in PROMPTS]
    assert greedy(model, PROMPTS, set(), 6) == want

def test_another_precision_a_hook_and_a_large_model_go_on_as_a_whole(monkeypatch):
    for change in (lambda m: m.to(torch.bfloat16), lambda m: m.model.layers[0].register_forward_hook(lambda *_: None), lambda m: monkeypatch.setattr('rmn_lora.adapters.decode.SMALL', 10)):
        model = tiny()
        change(model)
        with torch.inference_mode(): assert Small.of(model, *begun(model)[0]) is None

def test_an_answer_may_be_longer_than_the_positions_that_were_trained():
    model = tiny(max_position_embeddings=8)
    want = [model.generate(torch.tensor([p]), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)[0, len(p):].tolist() for p in PROMPTS]
    assert greedy(model, PROMPTS, set(), 12) == want

@pytest.mark.skipif(not sys.platform.startswith('linux') or os.cpu_count() < 2, reason='needs Linux and two processors')
def test_helpers_go_and_come_back():
    "Threads that computed for one that computes no more; what they helped with stays the same."
    code = '''
import os, time, torch
from rmn_lora.adapters.decode import let_helpers_go
many = lambda: len(os.listdir('/proc/self/task'))
x, before = torch.randn(2000, 500), many()
def after():
    until = time.monotonic() + 10
    while many() > before and time.monotonic() < until: time.sleep(.001)
    return many()
first = x.exp() @ x.T
helped = many()
let_helpers_go()
gone = after()
again = torch.equal(first, x.exp() @ x.T), many()
let_helpers_go(); let_helpers_go()
print(helped - before, gone - before, again[0], again[1] - before, after() - before)'''
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=os.environ | dict(OMP_NUM_THREADS='2'), check=True).stdout
    assert out.split() == ['1', '0', 'True', '1', '0']
