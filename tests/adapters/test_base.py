"Any base: loaded the same way, known by its content, answering in batches as alone, and never changed by adapters."
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config, MistralConfig, Qwen3Config

from rmn_lora.adapters import base as module
from rmn_lora.adapters.base import verify_checksums
from rmn_lora.adapters.decode import greedy
from rmn_lora.errors import AdapterError, BaseModelError


def load_base(folder, dtype='fp32'): return module.load_base(folder, dtype, 'cpu')


QUESTIONS = ['spend?', 'clicks and sales of the campaign on that date, by product', 'x', 'sales ' * 30,
             [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'product'}]]
LINEARS = ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj')


# --- loading -----------------------------------------------------------------

def test_one_base_in_every_precision(checkpoint, base, tmp_path, make_checkpoint):
    held = [load_base(checkpoint, d) for d in ('bf16', 'nf4')]
    assert {b.digest for b in held} == {base.digest} and [b.dtype for b in held] == ['bf16', 'nf4']
    sizes = [b.model.get_memory_footprint() for b in (base, *held)]
    assert sizes[2] < .4*sizes[0] and sizes[1] < .55*sizes[0]
    assert load_base(shutil.copytree(checkpoint, tmp_path/'moved')).digest == base.digest
    assert load_base(make_checkpoint(tmp_path/'other', seed=1)).digest != base.digest


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'])
def test_digest_covers_each_file(name, checkpoint, base, tmp_path):
    other = shutil.copytree(checkpoint, tmp_path/'other')
    (other/'README.md').write_text('not part of it')
    assert module.base_digest(other) == base.digest
    (other/name).write_bytes((other/name).read_bytes()+b' ')
    assert module.base_digest(other) != base.digest


def test_cannot_be_loaded(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(module, '_from_hub', lambda name: pytest.fail(f'{name} was looked up on the hub'))
    for name in ('', 'nowhere', './a/b', '/a/b', '../a', f'{tmp_path}/missing', 'a/b/c'):
        with pytest.raises(BaseModelError): load_base(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path/'models').mkdir()
    with pytest.raises(BaseModelError, match='is no folder'): load_base('models/mistyped')
    with pytest.raises(BaseModelError, match='fp17'): load_base(checkpoint, 'fp17')
    for name, spoil, why in [('pickle', lambda f: (f/'model.safetensors').rename(f/'pytorch_model.bin'), 'safetensors'),
                             ('config', lambda f: (f/'config.json').write_text('{}'), 'cannot be loaded'),
                             ('cut', lambda f: (f/'model.safetensors').write_bytes(b'x'), 'cannot be loaded')]:
        spoil(bad := shutil.copytree(checkpoint, tmp_path/name))
        with pytest.raises(BaseModelError, match=why): load_base(bad)


def test_missing_weights_are_not_invented(checkpoint, tmp_path):
    bad = shutil.copytree(checkpoint, tmp_path/'bad')
    said = json.loads((bad/'config.json').read_text())
    (bad/'config.json').write_text(json.dumps(said | dict(num_hidden_layers=said['num_hidden_layers']+1)))
    with pytest.raises(BaseModelError, match='no weights for'): load_base(bad)


def test_hub_is_asked_only_by_name_and_says_so(checkpoint, monkeypatch, capsys):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError
    asked = []
    def snapshot_download(name, local_files_only=False, **kw):
        asked.append((name, local_files_only))
        if local_files_only: raise LocalEntryNotFoundError('not cached')
        return str(checkpoint)
    files = [SimpleNamespace(rfilename='model.safetensors', size=5_000_000), SimpleNamespace(rfilename='pytorch_model.bin', size=9_000_000)]
    monkeypatch.setattr(huggingface_hub, 'snapshot_download', snapshot_download)
    monkeypatch.setattr(huggingface_hub.HfApi, 'model_info', lambda self, name, **kw: SimpleNamespace(siblings=files))
    assert load_base('someone/model').name == 'someone/model'
    assert asked == [('someone/model', True), ('someone/model', False)]
    assert 'someone/model' in (out := capsys.readouterr().out) and '1 files, 5 MB' in out


def test_hub_out_of_reach(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError
    def snapshot_download(name, **kw): raise LocalEntryNotFoundError('not cached')
    def model_info(self, name, **kw): raise ConnectionError('no network')
    monkeypatch.setattr(huggingface_hub, 'snapshot_download', snapshot_download)
    monkeypatch.setattr(huggingface_hub.HfApi, 'model_info', model_info)
    with pytest.raises(BaseModelError, match='no network'): load_base('someone/model')


def test_checksums(tmp_path):
    (tmp_path/'a').write_bytes(b'abc')
    (tmp_path/'SHA256SUMS').write_text('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n')
    verify_checksums(tmp_path)
    (tmp_path/'a').write_bytes(b'abd')
    with pytest.raises(BaseModelError, match='a of the embedded'): verify_checksums(tmp_path)


def test_stop_tokens_and_templates(base, tmp_path, make_checkpoint):
    "The end of a turn stops an answer, though only the template knows it; a tokenizer without template gets the plain one."
    ids = base.tokenizer.convert_tokens_to_ids(['<eos>', '<turn>'])
    assert base.stops == set(ids)
    plain = load_base(make_checkpoint(tmp_path/'plain', template=None))
    assert plain.tokenizer.decode(plain.encode(['hello'])[0]) == '### user\nhello\n### assistant\n'
    assert plain.stops == {ids[0]} and len(plain.generate(['hello'], 5)) == 1


# --- answering ---------------------------------------------------------------

def reference(base, question, n):
    "What transformers' own generate() answers to one question."
    ids = torch.tensor(base.encode([question]))
    out = base.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False, pad_token_id=0, eos_token_id=sorted(base.stops))[0, ids.shape[1]:]
    return base.tokenizer.decode([t for t in out.tolist() if t not in base.stops], skip_special_tokens=True)


CONFIGS = dict(
    llama=None,
    gpt2=GPT2Config(vocab_size=320, n_embd=64, n_layer=2, n_head=4, n_positions=512, bos_token_id=1, eos_token_id=1, initializer_range=.2),
    bloom=BloomConfig(vocab_size=320, hidden_size=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1, pad_token_id=0, initializer_range=.2),
    mistral=MistralConfig(vocab_size=320, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128,
                          sliding_window=16, head_dim=16, bos_token_id=None, eos_token_id=1, pad_token_id=0, initializer_range=.2),
    qwen3=Qwen3Config(vocab_size=320, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128,
                      head_dim=16, bos_token_id=None, eos_token_id=1, pad_token_id=0, initializer_range=.2))


@pytest.mark.parametrize('name', CONFIGS)
def test_batched_is_alone_is_transformers(name, base, tmp_path, make_adapter):
    if config := CONFIGS[name]:
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
        base.tokenizer.save_pretrained(tmp_path)
        base = load_base(tmp_path)
    want = [reference(base, q if isinstance(q, list) else [{'role': 'user', 'content': q}], 30) for q in QUESTIONS]
    assert len(set(want)) > 1
    for batch_size in (1, 2, 3, 32): assert base.generate(QUESTIONS, 30, batch_size) == want
    with base.using(make_adapter(base, tmp_path/'adapter', target_modules='all-linear')) as one:
        assert one.generate(QUESTIONS, 30) == [one.generate([q], 30)[0] for q in QUESTIONS] != want
    assert base.generate(QUESTIONS, 30) == want


def test_finished_rows_leave_alone_the_others(base):
    "Rows that end at different steps: each still gets its own answer."
    ids = base.encode(QUESTIONS)
    want = greedy(base.model, ids, set(), 40)
    ends = {w[5+3*i] for i, w in enumerate(want)}
    got = greedy(base.model, ids, ends, 40)
    assert got == [w[:min(i for i, t in enumerate(w) if t in ends)] for w in want] and len(set(map(len, got))) > 2


def test_edges_of_generate(base):
    assert base.generate([]) == [] and base.generate(['x'], 0) == ['']
    with pytest.raises(BaseModelError, match='at most 511'): base.generate(['x', 'sales ' * 600])
    nearly = 'sales ' * 400
    while len(base.encode([nearly])[0]) < 500: nearly += 'sales '
    assert isinstance(base.generate([nearly, 'x'], 100)[0], str) # an answer that would not fit ends where the model does
    threads = torch.get_num_threads()
    base.generate(['x'], 2)
    assert torch.get_num_threads() == threads


def test_logprobs(base):
    answer = 'sales of product 7'
    got = base.logprobs('spend?', answer)
    said = base.tokenizer(answer, add_special_tokens=False).input_ids
    ids = torch.tensor([base.encode(['spend?'])[0]+said])
    with torch.no_grad(): full = base.model(ids).logits[0].double().log_softmax(-1)
    want = torch.stack([full[ids.shape[1]-len(said)+i-1, t] for i, t in enumerate(said)])
    assert got.dtype == torch.float32 and torch.allclose(got.double(), want, atol=1e-5)
    assert base.logprobs('spend?', '').shape == (0,)


# --- stacking ----------------------------------------------------------------

draws = st.fixed_dictionaries(dict(
    r=st.integers(1, 12), lora_alpha=st.one_of(st.integers(1, 32), st.floats(.5, 32)), use_rslora=st.booleans(), lora_dropout=st.sampled_from([0., .5]),
    target_modules=st.lists(st.sampled_from(LINEARS), min_size=1, max_size=4, unique=True),
    rank_pattern=st.dictionaries(st.sampled_from(LINEARS), st.integers(1, 6), max_size=2),
    alpha_pattern=st.dictionaries(st.sampled_from(LINEARS), st.integers(1, 9), max_size=2)))


@pytest.mark.filterwarnings('ignore:The following (rank|alpha)_pattern keys') # drawn for modules that were not drawn
@settings(max_examples=15)
@given(st.lists(draws, min_size=1, max_size=3))
def test_sum_is_the_dense_sum(base, checkpoint, tmp_path_factory, make_adapter, add_dense, fingerprint, configs):
    "PEFT's stack against our own arithmetic in 64 bits, from the drawn numbers and not through PEFT's configuration."
    root = tmp_path_factory.mktemp('drawn')
    folders = [make_adapter(base, root/str(i), seed=i, std=.05, **c) for i, c in enumerate(configs)]
    dense = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float64)
    for folder, c in zip(folders, configs): add_dense(dense, folder, c)
    ids, before = torch.tensor([[5, 90, 41, 200, 7, 66]]), fingerprint(base.model)
    with torch.no_grad():
        want = dense(ids).logits
        with base.using(*folders) as stack: got = stack.model(ids).logits.double()
    assert ((got-want).abs().max()/want.abs().max()) <= 1e-5
    assert fingerprint(base.model) == before


@pytest.mark.parametrize('dtype', ['fp32', 'bf16', 'nf4'])
def test_base_is_never_touched(dtype, checkpoint, base, tmp_path, make_adapter, fingerprint, monkeypatch):
    b = load_base(checkpoint, dtype)
    before, plain = fingerprint(b.model), b.generate(QUESTIONS, 10)
    folders = [make_adapter(base, tmp_path/str(i), seed=i, r=2+i, target_modules=LINEARS[i:i+3]) for i in range(3)]
    def fail(*a, **kw): raise OSError('disk')
    for step in range(12):
        chosen = folders[step % 3:]
        with b.using(*chosen) as stack: assert stack.generate(QUESTIONS, 10) != plain
        with pytest.raises(ZeroDivisionError), b.using(*chosen) as stack: stack.generate(QUESTIONS[:1], 2); raise ZeroDivisionError
        with pytest.raises(AdapterError), b.using(*chosen, tmp_path/'nowhere'): pass
        assert fingerprint(b.model) == before
    import peft
    with monkeypatch.context() as m: # a load that fails half-way, when the first adapter is in already
        m.setattr(peft.PeftModel, 'add_adapter', fail)
        with pytest.raises(OSError, match='disk'), b.using(*folders): pass
    with monkeypatch.context() as m:
        m.setattr(peft, 'set_peft_model_state_dict', fail)
        with pytest.raises(OSError, match='disk'), b.using(folders[0]): pass
    assert fingerprint(b.model) == before and b.generate(QUESTIONS, 10) == plain


def test_training_flags_survive(base, adapter, fingerprint):
    some = next(base.model.parameters())
    some.requires_grad_(False)
    try:
        before = fingerprint(base.model)
        with base.using(adapter): pass
        assert fingerprint(base.model) == before
    finally: some.requires_grad_(True)


def test_stack_ends_with_its_block(base, adapter):
    with base.using(adapter) as stack:
        with pytest.raises(BaseModelError, match='already stacked'), stack.using(adapter): pass
        assert stack.digest == base.digest
    with pytest.raises(AttributeError): stack.generate(['x'])
    with base.using() as nothing: assert nothing.generate(['x'], 5) == base.generate(['x'], 5)


def test_no_kernels_from_the_hub():
    "Importing bitsandbytes our way never asks for kernels, and hides a `kernels` package only meanwhile."
    code = '''
import sys, types
fake = types.ModuleType('kernels')
fake.get_kernel = lambda *a, **k: print('ASKED')
sys.modules['kernels'] = fake
from rmn_lora.adapters.files import import_bitsandbytes
import_bitsandbytes()
assert sys.modules['kernels'] is fake
'''
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'ASKED' not in done.stdout
