"The embedded base model as it ships: whole, honest about its origin, and as good as it was when it was measured."
import json
from importlib import resources
from pathlib import Path
import pytest
from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.store import platform_store
from rmn_lora.training.corpus import HELD_OUT_BRANDS, HELD_OUT_NETWORKS, HELD_OUT_TOOLS, held_out_strings
from rmn_lora.training.dataset import card_rows
from rmn_lora.training.evaluate import evaluate
from rmn_lora.training.pretrain import probe

FOLDER = Path(str(resources.files('rmn_lora')/'assets'/'base'))

@pytest.fixture(scope='module')
def base(): return load_base()

def test_nothing_held_out_is_in_the_tokenizer(base):
    tokens = {base.tokenizer.decode([i]).strip() for i in range(len(base.tokenizer))}
    assert not [s for s in held_out_strings() if s in tokens]
    assert not [(s, t) for s in held_out_strings() for t in tokens if len(s) > 3 and s in t]

def test_it_says_what_it_is():
    card, record = (FOLDER/'README.md').read_text(), json.loads((FOLDER/'training.json').read_text())
    assert 'license: apache-2.0' in card and 'Limits' in card and 'Data' in card
    assert f'{sum(s["tokens"] for s in record["stages"]):,} tokens' in card

def test_the_template_only_appends_the_answer(base):
    prompt = [{'role': 'system', 'content': 'Schema\na=spend'}, {'role': 'user', 'content': 'Map to RMIS\na=1'}]
    asked = base.tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    whole = base.tokenizer.apply_chat_template([*prompt, {'role': 'assistant', 'content': '{}'}], tokenize=False)
    assert whole == asked + '{}<|end|>'

@pytest.mark.parametrize('value', ['12305', '20260304', '00381', '7', '281474976710000'])
def test_a_value_has_the_same_tokens_everywhere(base, value):
    def ids(text): return base.tokenizer(text, add_special_tokens=False).input_ids
    own = ids(value)
    for before, after in (('q6=', '\n'), ('{"spend":', '}'), ('"', '"'), ('K', '')): assert ids(before + value + after)[len(ids(before)):][:len(own)] == own

def test_it_reads_cards_it_has_never_seen(base):
    seen = probe(base.model, base.tokenizer, 64)
    low = dict(map=.6, call=.35, tone=.3) # .77, .53 and .50 of 256 when it shipped
    assert all(seen[k] >= low[k] for k in low), seen

@pytest.mark.parametrize('name', ['speaking', 'odd', 'opaque'])
def test_a_held_out_network_needs_its_card(base, name):
    card = HELD_OUT_NETWORKS[name]
    low = dict(speaking=.8, odd=.3, opaque=.08)[name] # .93, .47 and .21 of 256, over these eight worlds, when it shipped
    without, shown = ([r for world in range(8) for r in card_rows(card, 12, 1000 + world, shown=s)] for s in (False, True))
    assert evaluate(base, without).exact.estimate <= .05
    assert evaluate(base, shown).exact.estimate >= low

@pytest.mark.parametrize('card', [HELD_OUT_TOOLS, HELD_OUT_BRANDS['juniper']], ids=['task', 'tone'])
def test_nothing_is_known_without_a_card(base, card): assert evaluate(base, card_rows(card, 64, 5)).exact.estimate <= .05

def test_the_platform_adapter_knows_its_tools(base):
    task = platform_store().resolve('task_tools')
    assert task.base_digest == base.digest
    assert evaluate(base, card_rows(HELD_OUT_TOOLS, 64, 5), [task]).exact.estimate >= .95
