"training.pretrain: the same model after any interruption, the same tokenizer from a seed, and figures that count right."
import functools, hashlib, os, subprocess, sys
from itertools import groupby

import pytest
import torch
import torch.nn.functional as F

from rmn_lora.adapters.base import load_base, verify_checksums
from rmn_lora.errors import BaseModelError
from rmn_lora.training import pretrain
from rmn_lora.training.cards import chat
from rmn_lora.training.corpus import example, held_out_strings
from rmn_lora.training.invented import seeded
from rmn_lora.training.pretrain import END, KINDS, ROLES, Pretraining, Recipe, batches, card_loss, new_model, probe, save_base, train_tokenizer

TINY = Recipe(tokens=55_000, batch=1024, width=32, layers=1, heads=2, head_dim=16, ff=64, vocab=400)

def small(m):
    "A tokenizer from 300 examples and pools of 128 are enough here."
    m.setattr(pretrain, 'train_tokenizer', functools.partial(train_tokenizer, examples=300))
    m.setattr(pretrain, 'batches', functools.partial(batches, size=128))

@pytest.fixture(autouse=True)
def few_examples(monkeypatch): small(monkeypatch)

@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    "An uninterrupted training."
    with pytest.MonkeyPatch.context() as m:
        small(m)
        return Pretraining(TINY, tmp_path_factory.mktemp('whole')).run()

def same_state(a, b):
    assert (a.seen, a.pool, a.steps, a.history) == (b.seen, b.pool, b.steps, b.history)
    assert all(torch.equal(x, y) for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True))

class Stop(Exception): pass

def stop_after(pool, save=True):
    def each(training):
        if save: training.save()
        if training.pool == pool: raise Stop
    return each

# --- interruptions

def test_the_training_has_several_pools(whole): assert whole.pool >= 3 and whole.done == 1 and whole.steps > 20

def test_an_interrupted_training_ends_with_the_same_weights(whole, tmp_path):
    with pytest.raises(Stop): Pretraining(TINY, tmp_path).run(stop_after(1))
    with pytest.raises(Stop): Pretraining(TINY, tmp_path).run(stop_after(2))
    last = Pretraining(TINY, tmp_path)
    assert (last.pool, last.seen) == (2, whole.history[1][0])
    same_state(last.run(), whole)

def test_what_was_not_saved_is_done_again(whole, tmp_path):
    training = Pretraining(TINY, tmp_path)
    with pytest.raises(Stop): training.run(lambda t: t.save() if t.pool == 1 else stop_after(2, save=False)(t))
    again = Pretraining(TINY, tmp_path)
    assert again.pool == 1
    same_state(again.run(), whole)

def test_a_save_that_was_cut_off_leaves_the_last_state(whole, tmp_path, monkeypatch):
    with pytest.raises(Stop): Pretraining(TINY, tmp_path).run(stop_after(1))
    training = Pretraining(TINY, tmp_path)
    def torn(state, path):
        path.write_bytes(b'half of it')
        raise OSError('no space left')
    with monkeypatch.context() as m:
        m.setattr(torch, 'save', torn)
        with pytest.raises(OSError): training.run(lambda t: t.save())
    again = Pretraining(TINY, tmp_path)
    assert again.pool == 1
    same_state(again.run(), whole)

def test_a_finished_training_is_not_trained_again(whole, tmp_path):
    training = Pretraining(TINY, tmp_path).run()
    training.save()
    again, called = Pretraining(TINY, tmp_path), []
    same_state(again.run(called.append), whole)
    assert called == [] and not again.model.training

def test_another_recipe_begins_anew(whole, tmp_path):
    with pytest.raises(Stop): Pretraining(TINY, tmp_path).run(stop_after(1))
    for changed in (dict(seed=1), dict(width=64), dict(prompt_weight=.4), dict(tokens=60_000)):
        other = Pretraining(Recipe(**{**vars(TINY), **changed}), tmp_path)
        assert (other.seen, other.pool, other.steps, other.history) == (0, 0, 0, [])
    assert Pretraining(TINY, tmp_path).pool == 1 # as long as it has saved nothing

def test_seeds_decide(whole, tmp_path):
    other = Pretraining(Recipe(**{**vars(TINY), 'seed': 1}), tmp_path)
    assert not torch.equal(other.model.state_dict()['model.layers.0.mlp.up_proj.weight'], new_model(TINY, other.tokenizer).state_dict()['model.layers.0.mlp.up_proj.weight'])
    assert other.tokenizer.get_vocab() != whole.tokenizer.get_vocab()

# --- the tokenizer

TOKENIZER = 'import hashlib; from rmn_lora.training.pretrain import train_tokenizer as t; print(hashlib.sha256(t(3, 400, 200).backend_tokenizer.to_str().encode()).hexdigest())'

def test_a_seed_gives_the_same_tokenizer_in_another_process():
    other = subprocess.run([sys.executable, '-c', TOKENIZER], env={**os.environ, 'PYTHONHASHSEED': '99'}, capture_output=True, text=True, check=True).stdout.strip()
    assert other == hashlib.sha256(train_tokenizer(3, 400, 200).backend_tokenizer.to_str().encode()).hexdigest()

@pytest.mark.parametrize('text', ['', '{"spend":12.30,"a":null}', 'q1=04/03/2026\nq2=00381', 'Ünïcode 日本 🛒 \t\u2028 x', '  two  spaces ', 'amt_C-9 [B0X] é'])
def test_text_comes_back(tokenizer, text): assert tokenizer.decode(tokenizer(text).input_ids, clean_up_tokenization_spaces=False) == text

def test_a_value_has_the_same_tokens_wherever_it_stands(tokenizer):
    def inside(text, value):
        ids, alone = tokenizer(text).input_ids, tokenizer(value).input_ids
        return any(ids[i:i + len(alone)] == alone for i in range(len(ids)))
    for value in ('12.30', '00381', 'B0C4X1', 'cmp_12-x', 'oat bars', '2026-03-04'):
        assert all(inside(t.format(value), value) for t in ('n={}\nm=1', '{{"n":"{}"}}', '{{"n":{},"m":1}}'))

def test_no_token_is_a_held_out_string(tokenizer):
    held = set(held_out_strings())
    assert not held & {tokenizer.decode([i]) for i in range(len(tokenizer))} and any(len(s) < 5 for s in held)

def test_the_template_only_appends(tokenizer):
    messages = [*chat('q', ['card']), dict(role='assistant', content='a')]
    asked = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    assert tokenizer.apply_chat_template(messages, tokenize=False) == asked + 'a' + END == '<|system|>card<|user|>q<|assistant|>a<|end|>'
    ids = tokenizer(asked + 'a' + END).input_ids
    assert ids[-1] == tokenizer.eos_token_id and sum(i in tokenizer.convert_tokens_to_ids([END, *ROLES]) for i in ids) == 4

# --- batches and loss

def test_batches_hold_questions_and_answers(tokenizer):
    got = batches(TINY, tokenizer, pool=0, done=.9, size=200)
    again, other = batches(TINY, tokenizer, 0, .9, 200), batches(TINY, tokenizer, 1, .9, 200)
    assert all(torch.equal(a, b) and torch.equal(p, q) for (a, p), (b, q) in zip(got, again, strict=True))
    assert [a.shape for a, _ in got] != [a.shape for a, _ in other]
    assert sum(len(ids) for ids, _ in got) == 200
    for ids, part in got:
        assert ids.numel() <= TINY.batch or len(ids) == 1
        for row, kinds in zip(ids, part):
            end = int((kinds > 0).sum())
            assert (row[end:] == 0).all() and (kinds[end:] == 0).all() and (kinds[:end] > 0).all()
            said = [(kind, tokenizer.decode([row[i] for i, _ in piece])) for kind, piece in groupby(enumerate(kinds[:end].tolist()), lambda pair: pair[1])]
            assert [kind for kind, _ in said] == [1, 2]*(len(said)//2)
            for kind, text in said:
                if kind == 1: assert text.startswith(('<|system|>', '<|user|>')) and text.endswith('<|assistant|>')
                else: assert text.endswith(END) and text.count(END) == 1
            assert sum(text.startswith('<|system|>') for _, text in said[1:]) == 0
    assert any(kinds.diff().clamp(min=0).sum() > 1 for _, part in got for kinds in part), 'no example has several turns'

def test_turns_are_those_of_the_template(tokenizer):
    "Prompts and answers, encoded one by one, are the conversation that the template writes."
    for pool in range(20):
        (ids, _), = batches(TINY, tokenizer, pool, .9, 1)
        rng = seeded(TINY.seed, 'pool', pool)
        cards, turns = example(rng, rng.random() < 0) # the curriculum draws first
        system = [dict(role='system', content='\n'.join(map(str, cards)))] if cards else []
        said = [dict(role=role, content=text) for turn in turns for role, text in zip(('user', 'assistant'), turn)]
        assert ids[0].tolist() == tokenizer.apply_chat_template(system + said, return_dict=False)

def test_the_loss_is_that_of_the_answer_and_some_of_the_prompt(tokenizer):
    model, (ids, part) = new_model(TINY, tokenizer), batches(TINY, tokenizer, 0, .9, 30)[0]
    quiet = Recipe(**{**vars(TINY), 'prompt_share': 0.})
    logits = model(ids).logits[:, :-1]
    each = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction='none')
    answer = part[:, 1:] == 2
    loss, mean = card_loss(model, ids, part, quiet, torch.Generator())
    torch.testing.assert_close(loss, each[answer].mean())
    torch.testing.assert_close(loss, mean)
    every = Recipe(**{**vars(TINY), 'prompt_share': 1., 'prompt_weight': .5})
    loss, mean = card_loss(model, ids, part, every, torch.Generator())
    want = (each[answer].sum() + .5*each[part[:, 1:] == 1].sum())/answer.sum()
    torch.testing.assert_close(loss, want)
    torch.testing.assert_close(mean, each[answer].mean())

# --- the probe

class Oracle:
    "A model that knows what comes next, except for the tokens that `spoil(question number, position from the end)` names."
    device, training = 'cpu', True
    def __init__(self, vocab, spoil): self.vocab, self.spoil, self.asked = vocab, spoil, 0
    def eval(self): self.training = False
    def train(self, on): self.training = on
    def __call__(self, ids, logits_to_keep):
        assert not self.training
        nexts = torch.cat([ids[0, 1:], ids[0, :1]])
        for back in range(len(nexts)):
            if self.spoil(self.asked, back): nexts[-2 - back] = (nexts[-2 - back] + 1)%self.vocab
        self.asked += 1
        return type('Out', (), dict(logits=F.one_hot(nexts, self.vocab)[None, -logits_to_keep:]))

@pytest.mark.parametrize('spoil,share', [(lambda q, back: False, 1.), (lambda q, back: back == 0, 0.), (lambda q, back: back == 1, 0.), (lambda q, back: q%4 == 0 and back == 0, .75)],
    ids=['all right', 'the end is missing', 'one token wrong', 'one in four wrong'])
def test_the_probe_counts_what_is_right_in_every_token(tokenizer, spoil, share):
    oracle = Oracle(len(tokenizer), spoil)
    assert probe(oracle, tokenizer, n=8) == dict.fromkeys(KINDS, share) and oracle.training

def test_the_probe_agrees_with_generating(base_folder, tokenizer):
    base = load_base(base_folder)
    def right(kind):
        rng = seeded('probe', 1, kind)
        drawn = [KINDS[kind](rng) for _ in range(3)]
        return sum(a == b for a, b in zip(base.generate([chat(turns[0][0], c) for c, turns in drawn], 8), [turns[0][1] for _, turns in drawn]))/3
    assert probe(base.model, tokenizer, n=3) == {k: right(k) for k in KINDS}

# --- shipping

def test_a_base_is_shipped_whole(whole, tmp_path):
    folder = save_base(whole, tmp_path/'base', dict(note=1))
    listed = dict(reversed(line.split('  ')) for line in (folder/'SHA256SUMS').read_text().splitlines())
    assert listed == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.name != 'SHA256SUMS'}
    verify_checksums(folder)
    base = load_base(folder)
    ids = torch.tensor([base.tokenizer('<|user|>Copy\na=1<|assistant|>').input_ids])
    with torch.inference_mode(): torch.testing.assert_close(base.model(ids).logits, whole.model(ids).logits, rtol=2e-2, atol=2e-2)
    assert base.tokenizer.backend_tokenizer.to_str() and base.tokenizer.get_vocab() == whole.tokenizer.get_vocab() and base.stops == {base.tokenizer.eos_token_id}
    assert sum(p.stat().st_size for p in folder.glob('*.safetensors')) < 2.2*sum(p.numel() for p in whole.model.parameters()) + 10_000 # two bytes a weight
    card = (folder/'README.md').read_text()
    assert 'license: apache-2.0' in card and f'{whole.seen:,} tokens' in card and f'{whole.steps:,} steps' in card
    assert load_base(save_base(whole, tmp_path/'again', dict(note=1))).digest == base.digest

def test_damage_is_found(whole, tmp_path):
    folder = save_base(whole, tmp_path/'base', {})
    weights = bytearray((folder/'model.safetensors').read_bytes())
    weights[-1] ^= 1
    (folder/'model.safetensors').write_bytes(weights)
    with pytest.raises(BaseModelError, match='model.safetensors'): verify_checksums(folder)
    (folder/'model.safetensors').unlink()
    with pytest.raises(BaseModelError, match='model.safetensors'): verify_checksums(folder)
