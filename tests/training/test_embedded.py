"The base model in the package: whole, documented, and innocent of everything that is held out."
import hashlib, json, random
from importlib import resources

import pytest
import torch

from rmn_lora.adapters.base import base_digest, load_base, verify_checksums
from rmn_lora.training.cards import chat
from rmn_lora.training.corpus import KINDS, held_out_strings, texts
from rmn_lora.training.dataset import INVENTED, card_rows

FOLDER = resources.files('rmn_lora')/'assets/base'

@pytest.fixture(scope='module')
def base(): return load_base('embedded')

# --- whole

def test_every_file_is_listed_and_unchanged():
    verify_checksums(FOLDER)
    listed = dict(reversed(line.split('  ')) for line in (FOLDER/'SHA256SUMS').read_text().splitlines())
    assert listed == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in FOLDER.iterdir() if p.name != 'SHA256SUMS'}
    assert not [n for n in listed if n.endswith(('.bin', '.pt', '.pkl', '.py'))] and sum(p.stat().st_size for p in FOLDER.iterdir()) < 12e6

def test_its_identity_does_not_depend_on_how_it_is_held(base):
    assert base.digest == base_digest(FOLDER) == load_base('embedded', dtype='bf16').digest == load_base('embedded').digest and base.digest.startswith('sha256:')

def test_it_is_finite_and_ships_in_half_precision(base):
    from safetensors.torch import load_file
    weights = load_file(str(FOLDER/'model.safetensors'))
    assert all(w.dtype == torch.float16 and w.isfinite().all() for w in weights.values())
    assert 5e5 < sum(p.numel() for p in base.model.parameters()) < 4.5e6

# --- documented

def test_its_card_says_what_it_is(base):
    card, record = (FOLDER/'README.md').read_text(), json.loads((FOLDER/'training.json').read_text())
    assert card.startswith('---\nlicense: apache-2.0\n')
    assert all(f'**{word}**' in card for word in ('Data', 'Recipe', 'Limits', 'Licence')) and f'{sum(p.numel() for p in base.model.parameters()):,} parameters' in card
    stages = record.get('stages', [record])
    assert all(f'{sum(s[what] for s in stages):,} {what}' in card for what in ('tokens', 'steps'))
    assert all({'seed', 'tokens', 'width'} <= s['recipe'].keys() and s['final_loss'] > 0 for s in stages)

# --- nothing held out

def test_no_token_is_a_held_out_string(base):
    tokens = {base.tokenizer.decode([i]).strip() for i in range(len(base.tokenizer))}
    assert not [(s, t) for s in held_out_strings() for t in tokens if s == t or len(s) > 3 and s in t] and len(tokens) > 1000

def test_no_held_out_string_is_said_unasked(base):
    rng = random.Random('said')
    told = [make(rng) for make in KINDS.values() for _ in range(12)]
    asked = [chat(turns[0][0], cards) for cards, turns in told]
    answers = base.generate(asked, max_new_tokens=100)
    bare = base.generate(['', 'Write copy\nproduct=tea\nbenefit=warm\nprice=1.00', 'Call a tool\nspend=1.00\nobjective=save'], max_new_tokens=60)
    shown = [*(texts(*one) for one in told), '', '', ''] # an invented tool may be called by chance what a held-out one is
    assert not [s for s in held_out_strings() for a, prompt in zip(answers + bare, shown, strict=True) if s in a and s not in prompt]
    assert all(a for a in answers[:12])

# --- its template

def test_an_answer_is_only_appended_to_its_prompt(base):
    for rows in (card_rows(card, 3, shown=shown) for card in INVENTED.values() for shown in (False, True)):
        for r in rows:
            asked = base.tokenizer.apply_chat_template(r['prompt'], tokenize=False, add_generation_prompt=True)
            whole = base.tokenizer.apply_chat_template([*r['prompt'], *r['completion']], tokenize=False)
            assert whole == asked + r['completion'][0]['content'] + base.tokenizer.eos_token
            ids = base.tokenizer(whole, add_special_tokens=False).input_ids
            assert ids[:len(base.encode([r['prompt']])[0])] == base.encode([r['prompt']])[0] and ids[-1] in base.stops
            assert base.tokenizer.decode(ids[len(base.encode([r['prompt']])[0]):-1], clean_up_tokenization_spaces=False) == r['completion'][0]['content']

def test_hugging_face_loads_it_by_itself(base):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    model, tokenizer = AutoModelForCausalLM.from_pretrained(str(FOLDER), dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(str(FOLDER))
    ids = tokenizer.apply_chat_template(chat('Copy\nab=12.30'), add_generation_prompt=True, return_tensors='pt', return_dict=True).input_ids
    assert ids.tolist() == base.encode([chat('Copy\nab=12.30')])
    with torch.inference_mode(): said = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1]:]
    assert tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False) == base.generate([chat('Copy\nab=12.30')], max_new_tokens=24)[0]

@pytest.mark.parametrize('value', ['12305', '20260304', '00381', '7', '281474976710000'])
def test_a_value_has_the_same_tokens_everywhere(base, value):
    def ids(text): return base.tokenizer(text, add_special_tokens=False).input_ids
    own = ids(value)
    for before, after in (('q6=', '\n'), ('{"spend":', '}'), ('"', '"'), ('K', '')): assert ids(before + value + after)[len(ids(before)):][:len(own)] == own
