"What the embedded base model and the platform's adapter can do: not less than when they shipped."
import pytest
from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.store import platform_store
from rmn_lora.training.corpus import HELD_OUT_BRANDS, HELD_OUT_NETWORKS, HELD_OUT_TOOLS
from rmn_lora.training.dataset import card_rows
from rmn_lora.training.evaluate import evaluate
from rmn_lora.training.pretrain import probe

@pytest.fixture(scope='module')
def base(): return load_base()

def test_it_reads_cards_it_has_never_seen(base):
    seen = probe(base.model, base.tokenizer, 64)
    low = dict(map=.65, call=.9, tone=.6) # .80, .98 and .76 of 256 when it shipped
    assert all(seen[k] >= low[k] for k in low), seen

@pytest.mark.parametrize('name', ['speaking', 'odd', 'opaque'])
def test_a_held_out_network_needs_its_card(base, name):
    card = HELD_OUT_NETWORKS[name]
    low = dict(speaking=.9, odd=.85, opaque=.75)[name] # .98, .97 and .82 of 256, over eight worlds, when it shipped
    without, shown = ([r for world in range(8) for r in card_rows(card, 12, 1000 + world, shown=s)] for s in (False, True))
    assert evaluate(base, without).exact.estimate <= .05
    assert evaluate(base, shown).exact.estimate >= low

@pytest.mark.parametrize('card', [HELD_OUT_TOOLS, HELD_OUT_BRANDS['juniper']], ids=['task', 'tone'])
def test_a_task_and_a_tone_need_their_card(base, card):
    low = .92 if card is HELD_OUT_TOOLS else .55 # .99 and .71 of 256 when it shipped
    assert evaluate(base, card_rows(card, 64, 5)).exact.estimate <= .05
    assert evaluate(base, [r for world in range(8) for r in card_rows(card, 12, 1000 + world, shown=True)]).exact.estimate >= low

def test_the_platform_adapter_knows_its_tools(base):
    task = platform_store().resolve('task_tools')
    assert task.base_digest == base.digest
    assert evaluate(base, card_rows(HELD_OUT_TOOLS, 64, 5), [task]).exact.estimate >= .95

def test_its_first_version_lacks_the_tool_that_its_rows_lacked(base):
    first = platform_store().resolve('task_tools_first')
    assert first.base_digest == base.digest and first.id == 'task_tools' and first.version != platform_store().resolve('task_tools').version
    measured = evaluate(base, card_rows(HELD_OUT_TOOLS, 128, 1000), [first])
    assert .7 <= measured.exact.estimate <= .9 # .80 of 256 when it shipped
    wrong = [s for s in measured.scored if not s.exact]
    assert sum('check_reach' in s.expected for s in wrong) >= .8*len(wrong)
