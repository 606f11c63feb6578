"training.sft: what a run is, that it can be stopped and killed, and that the base is not touched."
import hashlib, json, os, shutil, signal, subprocess, sys, threading
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.store import AdapterStore
from rmn_lora.errors import AdapterError, DatasetError, TrainingError
from rmn_lora.training import sft
from rmn_lora.training.batches import reading_order, tokenized
from rmn_lora.training.corpus import HELD_OUT_BRANDS, HELD_OUT_NETWORKS
from rmn_lora.training.dataset import brand_rows, retailer_rows
from rmn_lora.training.rows import export_jsonl, row, row_digest, split
from rmn_lora.training.sft import PRESETS, LoraRecipe, lent, recipe_of, rows_hash, train_adapter

RECIPE = LoraRecipe(rank=2, alpha=4, batch=4, steps=6, check_every=2, rate=1e-2)

@pytest.fixture(scope='module')
def rows(): return brand_rows(HELD_OUT_BRANDS['juniper'], 24)

@pytest.fixture(scope='module')
def base(base_folder): return load_base(base_folder)

@pytest.fixture(scope='module')
def pristine(base): return fingerprint(base)

@pytest.fixture(scope='module')
def trained(base, pristine, rows, tmp_path_factory):
    "An uninterrupted run with held-out rows."
    train, held = split(rows)
    return train_adapter(base, train, tmp_path_factory.mktemp('run'), RECIPE, held_out=held)

def fingerprint(base):
    "Every byte of the weights, every layer's class, hooks, mode and attributes, the configurations and the tokenizer."
    h = hashlib.sha256()
    for n, m in base.model.named_modules():
        own = sorted(k for k in vars(m) if not k.startswith('_') and k != 'config')
        h.update(f'{n} {type(m)} {m.training} {own} {len(m._forward_hooks)} {len(m._forward_pre_hooks)} {len(m._backward_hooks)}'.encode())
    h.update(repr(sorted(vars(base.model))).encode())
    for n, p in base.model.named_parameters(): h.update(f'{n} {p.requires_grad} {p.grad is None} {p.dtype}'.encode())
    for n, t in base.model.state_dict().items(): h.update(n.encode() + t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    for c in (base.model.config, base.model.generation_config): h.update(repr(c).encode())
    h.update(repr((base.tokenizer.padding_side, base.tokenizer.chat_template, base.tokenizer.pad_token, len(base.tokenizer))).encode())
    return h.hexdigest()

@pytest.fixture(autouse=True)
def untouched(base, pristine):
    "After each test here the base is what it was when it was loaded."
    yield
    assert fingerprint(base) == pristine

def factors(run): return load_file(f'{run.folder}/adapter_model.safetensors')

def assert_same(a, b, **near):
    assert a.keys() == b.keys()
    for k in a: torch.testing.assert_close(a[k], b[k], **(near or dict(rtol=0, atol=0)))

# --- what comes out

def test_the_loss_on_a_cpu_is_trls(base, trained, rows, tmp_path, monkeypatch):
    from transformers import Trainer
    from trl import SFTTrainer
    monkeypatch.setattr(Trainer, 'compute_loss', SFTTrainer.compute_loss)
    monkeypatch.setattr(sft, 'answers_only', lambda batch: batch)
    train, held = split(rows)
    assert_same(factors(train_adapter(base, train, tmp_path, RECIPE, held_out=held)), factors(trained), rtol=1e-3, atol=1e-4)

def test_what_is_unknown_is_not_learned(base):
    text = '{"tool":"buy","args":{"product":"tea","spend":12.50}}'
    told = row('Call a tool', text, 'task', 'x')
    spans = [(text.index(v), text.index(v) + len(v)) for v in ('12.50', '"tea"')]
    whole, part = (tokenized(base.tokenizer, [r])[0] for r in (told, row('Call a tool', text, 'task', 'x', unknown=spans)))
    assert part['input_ids'] == whole['input_ids']
    left_out = base.tokenizer.decode([i for i, was, now in zip(whole['input_ids'], whole['labels'], part['labels']) if was != now])
    assert '12.50' in left_out and 'tea' in left_out and not any(w in left_out for w in ('buy', 'spend', 'product'))
    assert rows_hash([told]) != rows_hash([row('Call a tool', text, 'task', 'x', unknown=spans)])

def test_decay_shrinks_what_the_rows_do_not_ask_for(base, trained, rows, tmp_path):
    train, held = split(rows)
    kept = factors(train_adapter(base, train, tmp_path, replace(RECIPE, decay=0.), held_out=held))
    shrunk = factors(trained)
    assert all(shrunk[k].norm() < kept[k].norm() for k in kept if 'lora_A' in k)

def test_a_run_learns_and_says_how(trained):
    assert [e['step'] for e in trained.history if 'loss' in e] == [e['step'] for e in trained.history if 'held_out_loss' in e] == [2, 4, 6]
    assert all(set(e) in ({'step', 'loss'}, {'step', 'held_out_loss'}) for e in trained.history)
    seen = [e['loss'] for e in trained.history if 'loss' in e]
    assert seen[-1] < seen[0]
    assert any(t.abs().max() > 0 for k, t in factors(trained).items() if 'lora_B' in k) and all(t.dtype == torch.float32 for t in factors(trained).values())

def test_peft_alone_gives_the_same_logits(base, base_folder, trained):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    ids = torch.tensor([base.encode(['Write copy\nproduct=tea\nbenefit=warm\nprice=1.00'])[0]])
    with torch.inference_mode():
        alone = base.model(ids).logits
        theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder), trained.folder).eval()(ids).logits
        with base.using(trained) as stacked: ours = stacked.model(ids).logits
    torch.testing.assert_close(ours, theirs)
    assert (ours - alone).abs().max() > 1e-3

def test_the_same_seed_gives_the_same_adapter(base, rows, trained, tmp_path):
    train, held = split(rows)
    same, other = (train_adapter(base, train, tmp_path/str(s), replace(RECIPE, seed=s), held_out=held) for s in (0, 1))
    assert_same(factors(same), factors(trained))
    assert same.history == trained.history != other.history
    assert not all(torch.equal(factors(other)[k], v) for k, v in factors(same).items())

def test_the_loss_is_that_of_the_answers(base, rows, tmp_path):
    "The first loss of a run, in which the adapter is still nothing, against cross-entropy by hand."
    seen = []
    train_adapter(base, rows[:4], tmp_path, replace(RECIPE, steps=1), report=seen.append)
    total, n = 0., 0
    for r in rows[:4]:
        asked = base.tokenizer.apply_chat_template(r['prompt'], tokenize=False, add_generation_prompt=True)
        said = base.tokenizer(base.tokenizer.apply_chat_template(r['prompt'] + r['completion'], tokenize=False).removeprefix(asked)).input_ids
        prompt = base.tokenizer(asked).input_ids
        with torch.inference_mode(): logits = base.model(torch.tensor([prompt + said])).logits[0, len(prompt) - 1:-1]
        total, n = total + F.cross_entropy(logits, torch.tensor(said), reduction='sum').item(), n + len(said)
    assert said[-1] == base.tokenizer.eos_token_id
    assert seen == [dict(step=1, steps=1, left=0, loss=pytest.approx(total/n, rel=1e-4))]

def test_an_adapter_is_published_with_its_lineage(base, rows, trained, tmp_path):
    store, (train, held) = AdapterStore(tmp_path/'store'), split(rows)
    again = train_adapter(base, train, trained.folder.parent, RECIPE, held, store, 'juniper', 'brand', lineage=dict(parents=['sha256:0'], run='r1'))
    v = store.resolve('juniper')
    assert v == again.version and os.fspath(again) == str(v.path) and v.kind == 'brand' and v.base_digest == base.digest
    assert v.lineage == dict(parents=['sha256:0'], run='r1', rows=rows_hash(train), n_rows=len(train), held_out=rows_hash(held), recipe=json.loads(json.dumps(vars(RECIPE))), base=base.digest, dtype='fp32', seen=sorted({row_digest(r) for r in rows}))
    assert v.scores == dict(loss=[e['loss'] for e in again.history if 'loss' in e][-1], held_out_loss=min(e['held_out_loss'] for e in again.history if 'held_out_loss' in e))
    assert_same(load_file(v.path/'adapter_model.safetensors'), factors(trained)) # it was finished, and not trained again
    with base.using(v) as stacked: assert stacked.generate(['x'], max_new_tokens=2)

@pytest.mark.parametrize('name,kind', [('My adapter', 'brand'), ('juniper', 'stack')])
def test_what_cannot_be_published_is_not_trained(base, rows, tmp_path, name, kind):
    with pytest.raises(AdapterError): train_adapter(base, rows, tmp_path/'run', RECIPE, store=AdapterStore(tmp_path/'store'), name=name, kind=kind)
    assert not (tmp_path/'run').exists()

def test_nothing_is_printed(base, rows, tmp_path, capfd):
    train, held = split(rows)
    train_adapter(base, train, tmp_path, replace(RECIPE, steps=2), held_out=held)
    assert capfd.readouterr() == ('', '')

def test_the_hub_is_not_asked(base, rows, tmp_path, monkeypatch):
    import peft.utils.save_and_load as saving
    monkeypatch.setattr(saving, 'check_file_exists_on_hf_hub', lambda *args, **kw: pytest.fail(f'asked the hub for {args}'))
    run = train_adapter(replace(base, name='owner/model'), rows, tmp_path, replace(RECIPE, steps=2))
    assert set(factors(run)) and all('lora_' in k for k in factors(run))

def test_a_bar_where_one_is_asked_for(base, rows, tmp_path, capfd):
    import time
    train_adapter(base, rows, tmp_path, RECIPE, progress=True, report=lambda e: time.sleep(.5))
    err = capfd.readouterr().err
    assert 'train' in err and '/6' in err and 'loss=' in err

# --- early stopping

class Stop(Exception): pass

def stopper(at, error=Stop):
    def report(entry):
        if entry['step'] >= at and 'loss' in entry: raise error
    return report

def unlearnable(n=8):
    "Held-out rows whose loss rises as soon as anything else is learned."
    return [{**r, 'completion': [dict(role='assistant', content=r['completion'][0]['content'][::-1])]} for r in brand_rows(HELD_OUT_BRANDS['granite'], n, seed=9)]

def test_a_run_that_no_longer_learns_stops_and_keeps_its_best(base, rows, tmp_path):
    train, held = split(rows)[0], unlearnable()
    run = train_adapter(base, train, tmp_path, replace(RECIPE, steps=60, rate=.5, patience=2), held_out=held, store=AdapterStore(tmp_path/'store'), name='x')
    looks = {e['step']: e['held_out_loss'] for e in run.history if 'held_out_loss' in e}
    best = min(looks, key=looks.get)
    assert max(looks) == best + 2*RECIPE.check_every < 60
    assert run.version.scores['held_out_loss'] == looks[best] < looks[max(looks)]
    assert_same(factors(run), load_file(tmp_path/f'checkpoints/checkpoint-{best}/adapter_model.safetensors'))

def test_patience_survives_an_interruption(base, rows, tmp_path):
    train, held, recipe = split(rows)[0], unlearnable(), replace(RECIPE, steps=60, rate=.5, patience=3)
    whole = train_adapter(base, train, tmp_path/'whole', recipe, held_out=held)
    last = whole.history[-1]['step']
    with pytest.raises(Stop): train_adapter(base, train, tmp_path/'cut', recipe, held_out=held, report=stopper(last - 1)) # two of three looks were in vain
    cut = train_adapter(base, train, tmp_path/'cut', recipe, held_out=held)
    assert last < 60 and cut.history[-1]['step'] == last
    assert_same(factors(cut), factors(whole), rtol=1e-5, atol=1e-7)

# --- interruptions

@pytest.mark.parametrize('error', [Stop, KeyboardInterrupt])
def test_after_an_exception_the_run_goes_on(base, pristine, rows, trained, tmp_path, error):
    train, held = split(rows)
    with pytest.raises(error): train_adapter(base, train, tmp_path, RECIPE, held_out=held, report=stopper(4, error))
    assert fingerprint(base) == pristine and not (tmp_path/'adapter').exists()
    seen = []
    assert_same(factors(train_adapter(base, train, tmp_path, RECIPE, held_out=held, report=seen.append)), factors(trained), rtol=1e-5, atol=1e-7)
    assert seen[0]['step'] == 4 # the first two steps were not done again

def test_ctrl_c_ends_the_step_and_keeps_it(base, pristine, rows, trained, tmp_path):
    (train, held), handler = split(rows), signal.getsignal(signal.SIGINT)
    def press(entry):
        if entry['step'] == 2 and 'held_out_loss' in entry:
            timer = threading.Timer(0, os.kill, (os.getpid(), signal.SIGINT))
            timer.start(); timer.join()
    with pytest.raises(KeyboardInterrupt, match='after step [23] of 6'): train_adapter(base, train, tmp_path, RECIPE, held_out=held, report=press)
    assert fingerprint(base) == pristine and signal.getsignal(signal.SIGINT) is handler and not (tmp_path/'adapter').exists()
    run = train_adapter(base, train, tmp_path, RECIPE, held_out=held)
    assert_same(factors(run), factors(trained), rtol=1e-5, atol=1e-7)
    assert [e for e in run.history if 'held_out_loss' in e] == [dict(step=e['step'], held_out_loss=pytest.approx(e['held_out_loss'], rel=1e-5)) for e in trained.history if 'held_out_loss' in e]

def test_ctrl_c_at_the_end_loses_nothing(base, rows, trained, tmp_path):
    train, held = split(rows)
    with pytest.raises(KeyboardInterrupt, match='after step 6 of 6'):
        train_adapter(base, train, tmp_path, RECIPE, held_out=held, report=lambda e: os.kill(os.getpid(), signal.SIGINT) if e['step'] == 6 and 'loss' in e else None)
    with pytest.MonkeyPatch.context() as m:
        m.setattr(sft, '_run', None) # nothing is left to run
        assert_same(factors(train_adapter(base, train, tmp_path, RECIPE, held_out=held)), factors(trained))

def test_a_second_ctrl_c_is_as_usual():
    watch = sft.Watch(3, None, False)
    with pytest.raises(KeyboardInterrupt), sft.stopping_politely(watch):
        os.kill(os.getpid(), signal.SIGINT)
        assert watch.stop
        os.kill(os.getpid(), signal.SIGINT)
    watch.bar.close()

def test_in_a_thread_ctrl_c_is_left_alone(base, rows, tmp_path):
    handler, made = signal.getsignal(signal.SIGINT), []
    thread = threading.Thread(target=lambda: made.append(train_adapter(base, rows, tmp_path, replace(RECIPE, steps=2))))
    thread.start(); thread.join()
    assert made and signal.getsignal(signal.SIGINT) is handler

KILLED = '''
import os, signal, sys
import torch
from rmn_lora.adapters.base import load_base
from rmn_lora.training.rows import import_jsonl
from rmn_lora.training.sft import LoraRecipe, train_adapter
torch.set_num_threads(int(sys.argv[4]))
def report(entry):
    if entry['step'] == 4 and 'loss' in entry: os.kill(os.getpid(), signal.SIGKILL)
train_adapter(load_base(sys.argv[1]), import_jsonl(sys.argv[2]), sys.argv[3], LoraRecipe(rank=2, alpha=4, dropout=.1, batch=4, steps=7, check_every=2, rate=1e-2), report=report)
'''

def test_a_run_that_is_killed_ends_as_if_it_had_not_been(base, base_folder, rows, tmp_path):
    "Killed by force in its second pass over the rows, with a checkpoint torn on top; with dropout, so that the random numbers matter."
    rows = rows[:10]
    export_jsonl(rows, tmp_path/'rows.jsonl')
    killed = subprocess.run([sys.executable, '-c', KILLED, base_folder, tmp_path/'rows.jsonl', tmp_path/'killed', str(torch.get_num_threads())], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert b'kernels' not in killed.stderr # nothing was looked for on the hub
    points = sorted(p.name for p in (tmp_path/'killed/checkpoints').glob('checkpoint-*'))
    assert points == ['checkpoint-2']
    shutil.copytree(tmp_path/'killed/checkpoints/checkpoint-2', torn := tmp_path/'killed/checkpoints/checkpoint-4')
    (torn/'trainer_state.json').write_text('{"global_step": 4, "log_hist')
    (torn/'optimizer.pt').unlink()
    recipe, seen = replace(RECIPE, dropout=.1, steps=7), []
    run = train_adapter(base, rows, tmp_path/'killed', recipe, report=seen.append)
    assert [e['step'] for e in seen] == [4, 6]
    assert_same(factors(run), factors(train_adapter(base, rows, tmp_path/'whole', recipe)), rtol=1e-5, atol=1e-7)

# --- what is refused

def test_another_runs_folder_is_refused(base, rows, trained, tmp_path):
    train, held = split(rows)
    folder, before = trained.folder.parent, factors(trained)
    for args in ((train[1:], RECIPE, held), (train[::-1], RECIPE, held), (train, replace(RECIPE, seed=1), held), (train, RECIPE, ()), (train, replace(RECIPE, targets=('q_proj',)), held)):
        with pytest.raises(TrainingError, match='other rows, another recipe or another base'): train_adapter(base, args[0], folder, args[1], held_out=args[2])
    with pytest.raises(TrainingError): train_adapter(replace(base, digest='sha256:other'), train, folder, RECIPE, held_out=held)
    assert_same(factors(trained), before)

def test_bad_rows_are_refused_before_anything_is_made(base, rows, tmp_path):
    train, _ = split(rows)
    for bad, held, why in (([], (), 'no rows'), ([{**train[0], 'completion': [dict(role='assistant', content='{')]}], (), 'row 1: .*JSON'), (train, train[:1], 'in training, too'),
        ([{**train[0], 'prompt': [dict(role='user', content='x1 '*800)]}], (), 'row 1: .*tokens, more than 1024')):
        with pytest.raises(DatasetError, match=why): train_adapter(base, bad, tmp_path/'run', RECIPE, held_out=held)
    with pytest.raises(TrainingError, match="'quik'.*quick, standard, large"): train_adapter(base, train, tmp_path/'run', 'quik')
    assert not (tmp_path/'run').exists()

def test_a_base_with_adapters_on_it_is_refused(base, rows, trained, tmp_path):
    with base.using(trained), pytest.raises(TrainingError, match='using'): train_adapter(base, rows, tmp_path/'run', RECIPE)
    assert not (tmp_path/'run').exists()

def test_a_template_that_rewrites_the_prompt_is_refused(base, rows):
    from copy import deepcopy
    odd = deepcopy(base.tokenizer)
    odd.chat_template = "{{ messages|length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(TrainingError, match='row 1'): tokenized(odd, rows)

# --- parts

def test_presets():
    assert recipe_of('standard') is PRESETS['standard'] and recipe_of(RECIPE) is RECIPE
    assert all(r.steps%r.check_every == 0 for r in PRESETS.values())

def test_labels_are_the_answer(base):
    rows = retailer_rows(HELD_OUT_NETWORKS['opaque'], 5)
    for r, ids, labels in zip(rows, *(tokenized(base.tokenizer, rows)[k] for k in ('input_ids', 'labels'))):
        assert [i for i, y in zip(ids, labels) if y != -100] == [y for y in labels if y != -100] == base.tokenizer(r['completion'][0]['content'] + '<|end|>').input_ids
        assert base.encode([r['prompt']])[0] == ids[:labels.count(-100)]

@pytest.mark.parametrize('n,batch,steps', [(10, 4, 7), (3, 8, 5), (1000, 16, 120), (1, 1, 1), (40, 4, 60)])
def test_rows_are_read_in_turn_and_by_length(n, batch, steps):
    lengths = [(i*37)%91 for i in range(n)]
    order = reading_order(lengths, batch, steps, seed=5)
    assert order == reading_order(lengths, batch, steps, seed=5) and len(order) == batch*steps
    counts = [order.count(i) for i in range(n)]
    assert max(counts) - min(counts) <= 1
    if n == 1000:
        assert order != reading_order(lengths, batch, steps, seed=6)
        spread = [max(lengths[i] for i in order[at:at + batch]) - min(lengths[i] for i in order[at:at + batch]) for at in range(0, len(order), batch)]
        assert sum(spread)/len(spread) < 10 # of 91

def test_a_lent_model_comes_back(base):
    with pytest.raises(Stop), lent(base):
        base.model.forward = None
        base.model.config.use_cache = False
        base.model.config.new = 1
        base.model.train()
        for p in base.model.parameters(): p.requires_grad_(False)
        raise Stop

# --- four bits

def test_qlora_leaves_the_four_bits_alone(base_folder, rows, tmp_path):
    nf4, (train, held) = load_base(base_folder, dtype='nf4'), split(rows)
    before = fingerprint(nf4)
    run = train_adapter(nf4, train, tmp_path/'run', RECIPE, held_out=held, store=AdapterStore(tmp_path/'store'), name='q', kind='brand')
    assert fingerprint(nf4) == before
    assert run.history[-1]['held_out_loss'] < run.history[1]['held_out_loss'] and run.lineage['dtype'] == 'nf4'
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in factors(run).values())
    assert max((t - t.bfloat16().float()).abs().max().item() for t in factors(run).values()) > 0 # not rounded on the way
    for base in (nf4, load_base(base_folder)): # also over the base in full precision
        plain = base.logprobs('q', 'Wake up bright')
        with base.using(run) as stacked: assert not torch.allclose(stacked.logprobs('q', 'Wake up bright'), plain)

@pytest.mark.parametrize('wrong', [dict(rank=0), dict(rate=-1.), dict(rate=1e9), dict(steps=0), dict(batch=-2), dict(check_every=0), dict(dropout=2.), dict(seed=-1), dict(seed=2**32), dict(alpha=0), dict(decay=float('nan')), dict(steps=1.5)])
def test_a_recipe_that_cannot_be_is_refused(wrong):
    with pytest.raises(TrainingError, match=f'{next(iter(wrong))} of the recipe is'): replace(RECIPE, **wrong)

def test_a_folder_is_trained_in_by_one_process(base, rows, tmp_path):
    from rmn_lora.parallel import alone
    with alone(tmp_path, ValueError()), pytest.raises(TrainingError, match='is being trained in'): train_adapter(base, rows[:4], tmp_path, replace(RECIPE, steps=1))
