"training.corpus: the same everywhere, without anything held out, and answerable from what it shows."
import os, random, subprocess, sys

import pytest

from rmn_lora.training import corpus, invented
from rmn_lora.training.cards import FIELDS
from rmn_lora.training.corpus import EASY, FULL, HELD_OUT_BRANDS, HELD_OUT_CODES, HELD_OUT_NETWORKS, HELD_OUT_TOOLS, KINDS, example, held_out_strings, texts
from rmn_lora.training.invented import seeded

DIGEST = '''
import hashlib
from rmn_lora.training.corpus import KINDS, example
from rmn_lora.training.invented import seeded
rng, h = seeded('digest', 3), hashlib.sha256()
for i in range(400): h.update('|'.join(map(str, example(rng, i % 2 == 0))).encode())
for make in KINDS.values(): h.update(repr(make(rng)).encode())
print(h.hexdigest())
'''

def test_a_seed_gives_the_same_examples_in_every_process():
    digests = {subprocess.run([sys.executable, '-c', DIGEST], env={**os.environ, 'PYTHONHASHSEED': seed}, capture_output=True, text=True, check=True).stdout for seed in ('1', '4711')}
    assert len(digests) == 1 and len(digests.pop().strip()) == 64

def test_seeds_and_purposes_differ():
    draws = [seeded(*about).random() for about in (('a', 0), ('a', 1), ('b', 0), ('a', 0))]
    assert draws[0] == draws[3] and len(set(draws)) == 3

# --- nothing held out

def leaks(drawn):
    "Held-out strings that stand in any of the texts; looked for one by one, not with the corpus' own pattern."
    return {s for t in drawn for s in held_out_strings() if s in t}

def draw(n, seed=0):
    rng = random.Random(seed)
    return (texts(*example(rng, i%3 == 0)) for i in range(n))

def test_twenty_thousand_examples_hold_nothing_held_out(): assert leaks(draw(20_000)) == set()

def test_the_search_would_find_a_leak(monkeypatch):
    monkeypatch.setattr(invented, 'COMMON', [*invented.COMMON, 'amazing', 'taps'])
    assert leaks(draw(600)) == set() # the guard drops them …
    monkeypatch.setattr(corpus, '_held_out', corpus.re.compile('(?!)'))
    assert leaks(draw(600)) >= {'amazing', 'taps'} # … and without it they are found

def test_the_registry_covers_every_name():
    held = set(held_out_strings())
    for card in HELD_OUT_NETWORKS.values(): assert {line.split('=')[0] for line in str(card).split('\n')[1:]} <= held
    for line in str(HELD_OUT_TOOLS).split('\n')[1:]: assert {line.split('=')[0], line.split('=')[1].split('(')[0]} <= held
    for card in HELD_OUT_BRANDS.values():
        rules = dict(line.split('=') for line in str(card).split('\n')[1:])
        assert {rules.pop('open'), rules.pop('close')} <= held
        del rules['price'], rules['mark']
        assert len(rules) == 1 and set(rules) | set(rules.values()) <= held
    for line in str(HELD_OUT_CODES).split('\n')[1:]: assert set(line.split('=')) <= held
    assert all(len(s) > 1 for s in held)

def test_held_out_cards_speak_of_canonical_fields_only():
    assert all(set(c.fields) <= set(FIELDS) for c in HELD_OUT_NETWORKS.values())
    assert all(set(t.args) <= set(HELD_OUT_NETWORKS[n].fields) for t in HELD_OUT_TOOLS.tools for n in HELD_OUT_NETWORKS)

# --- answerable

@pytest.mark.parametrize('make', [*dict.fromkeys([*EASY, *FULL, *KINDS.values()])], ids=lambda f: f.__name__)
def test_every_answer_follows_from_what_is_shown(make, answer_by_text):
    rng = random.Random(make.__name__)
    for _ in range(300):
        cards, turns = make(rng)
        shown = turns[0][0].rpartition('\n')[0]
        for i, (question, answer) in enumerate(turns): # a later question of one line is about the lines of the first
            asked = question if i == 0 or '\n' in question else f'{shown}\n{question}'
            assert answer_by_text(cards, asked) == answer, texts(cards, turns)

def test_the_curriculum_begins_with_what_is_short():
    def mean(easy):
        rng = random.Random(0)
        return sum(len(texts(*example(rng, easy))) for _ in range(2000))/2000
    assert mean(True) < .75*mean(False)

def test_names_are_many():
    rng = random.Random(0)
    names = [c.name for _ in range(500) for c in corpus.schema_card(rng, corpus.some_fields(rng, 5, 9)).columns]
    assert len(set(names)) > .5*len(names)
