"training.cards: what a card shows, asks and answers, read back by a reader of its own."
import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from rmn_lora.training.cards import COUNTS, FIELDS, IDS, MONEY, CodesCard, ColumnRule, SchemaCard, Tool, ToneCard, ToolsCard, chat, json_text, lines

line = st.text(st.characters(exclude_categories=['Cs', 'Cc', 'Zl', 'Zp']), min_size=1, max_size=12)
name = st.text(st.characters(exclude_categories=['Cs', 'Cc', 'Zl', 'Zp'], exclude_characters='='), min_size=1, max_size=12)
number_id = st.text('0123456789', min_size=1, max_size=18)
day = st.dates(date(1900, 1, 1), date(2199, 12, 31)).map(str)
cents = st.integers(0, 10**17).map(lambda c: f'{c//100}.{c%100:02d}')
owed = st.integers(1, 10**17).map(lambda c: f'-{c//100}.{c%100:02d}')

def values(field):
    if field == 'event_date': some = day
    elif field in MONEY: some = cents | owed
    elif field in COUNTS: some = st.integers(0, 10**15).map(str)
    else: some = number_id | line if field in IDS else line
    return st.just('') | some

@st.composite
def schemas(draw):
    fields = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=12, unique=True))
    names = draw(st.lists(name, min_size=len(fields), max_size=len(fields), unique=True))
    ops = [draw(st.sampled_from(('plain', 'dmy', 'mdy', 'ymd') if f == 'event_date' else ('plain', 'cents') if f in MONEY else ('plain',))) for f in fields]
    return SchemaCard(tuple(map(ColumnRule, names, fields, ops))), {f: draw(values(f)) for f in fields}

def parse(text): return json.loads(text, parse_float=Decimal, parse_int=Decimal)

@given(schemas())
def test_an_answer_parses_to_the_records_values(drawn):
    card, record = drawn
    got = parse(card.answer(record))
    assert tuple(got) == card.fields
    for f, v in record.items():
        if v == '': assert got[f] is None
        elif f in MONEY or f in COUNTS: assert isinstance(got[f], Decimal) and str(got[f]) == v # to the cent, with the digits it was read with
        else: assert got[f] == v # ids keep their zeros

@given(schemas())
def test_the_raw_text_says_the_same_to_another_reader(answer_by_text, drawn):
    card, record = drawn
    assert answer_by_text([card], card.ask(record)) == card.answer(record)

@pytest.mark.parametrize('op,text,shown', [('dmy', '2026-03-04', '04/03/2026'), ('mdy', '2026-03-04', '03/04/2026'), ('ymd', '2026-03-04', '20260304'), ('plain', '2026-03-04', '2026-03-04')])
def test_dates(op, text, shown): assert ColumnRule('d', 'event_date', op).write({'event_date': text}) == f'd={shown}'

@pytest.mark.parametrize('text,shown', [('12.30', '1230'), ('0.07', '7'), ('0.00', '0'), ('-5.31', '-531'), ('1.15', '115'), ('90071992547409.93', '9007199254740993'), ('', '')])
def test_cents(text, shown): assert ColumnRule('s', 'spend', 'cents').write({'spend': text}) == f's={shown}'

def test_a_rule_and_a_card_as_text():
    card = SchemaCard((ColumnRule('q1', 'event_date', 'dmy'), ColumnRule('q 2', 'campaign_id'), ColumnRule('q3', 'spend', 'cents')))
    assert str(card) == 'Schema\nq1=event_date dmy\nq 2=campaign_id\nq3=spend cents'
    assert card.ask(dict(event_date='2026-03-04', campaign_id='00381', spend='')) == 'Map to RMIS\nq1=04/03/2026\nq 2=00381\nq3='

# --- tools and codes

@given(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=5, unique=True), st.data())
def test_a_tool_call_holds_its_arguments_and_no_others(answer_by_text, args, data):
    record = {f: data.draw(values(f)) for f in FIELDS}
    tool, other = Tool('stop waste', 'pause_it', tuple(args)), Tool('grow', 'raise_it', ('clicks',))
    card = ToolsCard((other, tool))
    call = parse(tool.call(record))
    assert call['tool'] == 'pause_it' and list(call['args']) == args
    assert all(str(call['args'][a]) == record[a] if record[a] else call['args'][a] is None for a in args)
    assert answer_by_text([card], card.ask(tool, lines(record))) == tool.call(record)

def test_a_category_comes_from_the_codes_card():
    card = CodesCard((('oat bars', 'breakfast'), ('soap', 'bath')))
    assert str(card) == 'Codes\noat bars=breakfast\nsoap=bath'
    assert card.add({'product': 'soap', 'spend': '1.00'}) == {'product': 'soap', 'spend': '1.00', 'category': 'bath'}

# --- tone

word = st.text('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', min_size=1, max_size=8)
words = st.lists(word, min_size=1, max_size=4).map(' '.join)

@given(words, words, st.sampled_from(['show', 'hide']), st.sampled_from('!.'), word | st.sampled_from(['C++', '$5', 'a*b']), st.sampled_from([r'\1 value', r'\g<0>', 'as \\ is', 'fair']),
    st.lists(word | st.sampled_from(['*', 'Cheaper']), min_size=1, max_size=6), words, st.data())
def test_copy_keeps_every_rule(opens, closes, price, mark, avoid, say, benefit, product, data):
    for at in data.draw(st.lists(st.integers(0, len(benefit)), max_size=2)): benefit = benefit[:at] + [avoid.swapcase() if at%2 else avoid] + benefit[at:]
    text = ToneCard(opens, closes, price, mark, avoid, say).answer(dict(product=product, benefit=' '.join(benefit), price='3.49'))
    assert text.startswith(f'{opens}: {product}, ') and text.endswith(f' {closes}{mark}')
    middle = text.removeprefix(f'{opens}: {product}, ').removesuffix(f' {closes}{mark}')
    assert ('3.49' in middle) == (price == 'show')
    kept = middle.removesuffix(f' Only 3.49{mark}')
    assert kept.endswith(mark) and kept.count(mark) == 1 and '!' not in (text if mark == '.' else '')
    want = [say if w.lower() == avoid.lower() else w for w in benefit]
    assert kept.removesuffix(mark) == ' '.join(want)

def test_the_avoided_word_is_a_whole_word():
    tone = ToneCard('Hi', 'Bye', 'hide', '.', 'cheap', 'great value')
    assert tone.answer(dict(product='tea', benefit='Cheap, not cheapened', price='1')) == 'Hi: tea, great value, not cheapened. Bye.'

# --- messages

def test_cards_stand_in_the_system_message():
    codes = CodesCard((('a', 'b'),))
    assert chat('q') == chat('q', []) == [dict(role='user', content='q')]
    assert chat('q', [codes, codes]) == [dict(role='system', content='Codes\na=b\nCodes\na=b'), dict(role='user', content='q')]

json_value = st.none() | st.text(st.characters(exclude_categories=['Cs']), max_size=8)

@given(st.dictionaries(st.text(max_size=4), st.recursive(json_value, lambda c: st.dictionaries(st.text(max_size=3), c, max_size=3), max_leaves=6), max_size=4))
def test_json_is_compact_and_says_the_same(value):
    assert json_text(value) == json.dumps(value, ensure_ascii=False, separators=(',', ':'))
