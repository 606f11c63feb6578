"A report never seen becomes a dialect: nothing is guessed in silence, and what was proposed reads the file at once."
import json, random
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rmn_lora.errors import ReportError
from rmn_lora.rmis.belief import CHOICES, Belief, believe, fit, is_mute, load_weights, softmax
from rmn_lora.rmis.dialects import Column, list_dialects, load_dialect
from rmn_lora.rmis.evidence import Values, relations
from rmn_lora.rmis.draft import MUTE, TOGETHER, Draft
from rmn_lora.rmis.exports import export
from rmn_lora.rmis.harmonize import DataHarmonizer
from rmn_lora.rmis.market import Market
from rmn_lora.rmis.meaning import FIELDS, KIND_OF, LINKS, Evidence
from rmn_lora.rmis.names import Lexicon, read_name, tokens
from rmn_lora.rmis.propose import card_text, propose, read_card_text
from rmn_lora.rmis.schema import ATTRIBUTED, DELIVERY
from rmn_lora.rmis.world import World
from rmn_lora.training.rows import check_rows, import_jsonl

UNSEEN = {'Report Day': ('event_date', 'date'), 'Campaign ID': ('campaign_id', 'id'), 'Article Number': ('retailer_item_id', 'id'), 'Ad Impressions': ('impressions', 'count'), 'Ad Clicks': ('clicks', 'count'),
          'Media Cost': ('spend', 'currency'), 'CTR': ('derived.ctr', 'other'), 'Revenue 7d': ('attributed.sales', 'currency'), 'Revenue 14d': ('attributed.sales', 'currency'), 'Orders 14d': ('attributed.orders', 'count'), 'New-to-brand Orders 14d': ('attributed.orders', 'count')}

def columns(names=UNSEEN):
    def one(name, field, unit):
        days = next((d for d in (7, 14) if f'{d}d' in name), None)
        return Column(name=name, field=field, unit=unit, window_days=days, ntb='New' in name, product_match='total', status='inferred')
    return [one(n, f, u) for n,(f,u) in names.items()]

def frame(rows=200, seed=5, **how): return pl.DataFrame(export(columns(), Market(seed), rows, **how))

@pytest.fixture
def unseen(tmp_path):
    path = tmp_path/'corner shop.csv'
    frame().write_csv(path)
    return path

def fields(p): return {c.name: c.field if c.unit != 'other' else 'other' for c in p.dialect.columns}
WANT = {n: 'other' if u == 'other' else f for n,(f,u) in UNSEEN.items()}

def test_a_report_never_seen(unseen):
    p = propose(unseen)
    assert fields(p) == WANT and not p.open and not p.asked
    by = {c.name: c for c in p.dialect.columns}
    assert [by[n].window_days for n in ('Revenue 7d', 'Revenue 14d', 'Media Cost')] == [7, 14, None]
    assert by['New-to-brand Orders 14d'].ntb is True and by['Orders 14d'].ntb is False
    assert by['CTR'].field == 'derived' and by['CTR'].note == 'Ad Clicks / Ad Impressions'
    assert all(c.status == 'inferred' and .7 <= c.confidence <= 1 for c in p.dialect.columns)

def test_what_a_file_cannot_tell_is_not_made_up(unseen):
    for c in propose(unseen).dialect.columns: assert (c.basis, c.product_match, c.channel, c.model) == ('unknown', 'unknown', 'unknown', None)

@pytest.mark.parametrize('suffix', ['.csv', '.tsv', '.json', '.jsonl', '.parquet', '.csv.gz', '.xlsx'])
def test_it_loads_and_reads_the_file_at_once(suffix, tmp_path):
    import gzip
    path,data = tmp_path/f'unseen{suffix}', frame()
    if suffix == '.parquet': data.write_parquet(path)
    elif suffix == '.json': data.write_json(path)
    elif suffix == '.jsonl': data.write_ndjson(path)
    elif suffix == '.xlsx': data.write_excel(path)
    elif suffix == '.csv.gz': path.write_bytes(gzip.compress(data.write_csv().encode()))
    else: data.write_csv(path, separator='\t' if suffix == '.tsv' else ',')
    p = propose(path)
    assert fields(p) == WANT
    saved = p.save(tmp_path/'mine.yaml')
    assert load_dialect(saved) == p.dialect
    run = DataHarmonizer(dialects=[saved]).harmonize(path, tmp_path/'tables', network=str(saved), quiet=True)
    assert run.rows_out == 200 and run.quarantined == 0
    spent = run.delivery.select(pl.col('spend').sum()).collect().item()
    assert spent == data['Media Cost'].cast(pl.Decimal(18, 2)).sum()
    assert run.attributed.select(pl.len()).collect().item() == 4 * 200

def test_a_dialect_of_its_own_words_is_recognised(unseen, tmp_path):
    saved = propose(unseen).save(tmp_path/'corner.yaml')
    assert DataHarmonizer(dialects=[saved]).harmonize(unseen, tmp_path/'tables', quiet=True).files[0].network == 'corner_shop'

@settings(max_examples=12, deadline=None)
@given(st.permutations(list(UNSEEN)), st.integers(0, 3))
def test_the_order_of_the_columns_says_nothing(order, seed):
    import tempfile
    from pathlib import Path
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.csv'
        frame(seed=seed).select(order).write_csv(path)
        assert fields(propose(path)) == WANT

@pytest.mark.parametrize('order', ['ymd', 'dmy', 'mdy', 'compact'])
def test_date_orders(order, tmp_path):
    frame(order=order).write_csv(tmp_path/'a.csv')
    p = propose(tmp_path/'a.csv')
    assert p.dialect.date_order == {'compact': 'ymd'}.get(order, order) and 'Report Day' not in p.open

def test_a_date_that_may_be_two_is_asked_about_or_left_out(tmp_path):
    frame(rows=1).with_columns(pl.lit('03/04/2026').alias('Report Day')).write_csv(tmp_path/'a.csv')
    asked = []
    p = propose(tmp_path/'a.csv', lambda q: asked.append(q) or next((k for k,v in q.choices.items() if v == 'dmy'), None))
    assert any(q.about == 'order' for q in asked) and p.dialect.date_order == 'dmy'
    assert 'Report Day' in propose(tmp_path/'a.csv').open

def test_whole_amounts_are_not_taken_for_dollars(tmp_path):
    whole = frame().with_columns((pl.col(c).cast(pl.Float64) * 100).round().cast(pl.Int64) for c in ('Media Cost', 'Revenue 7d', 'Revenue 14d'))
    whole.write_csv(tmp_path/'a.csv')
    p = propose(tmp_path/'a.csv')
    assert {'Media Cost', 'Revenue 7d', 'Revenue 14d'} <= set(p.open) and 'unit' in p.open['Media Cost']
    asked = []
    p = propose(tmp_path/'a.csv', lambda q: asked.append(q.about) or ('cents' if q.about == 'money' else None))
    assert asked[0] == 'money' and {c.name: c.unit for c in p.dialect.columns}['Revenue 14d'] == 'cents'
    whole.with_columns(pl.lit('USD').alias('Currency')).write_csv(tmp_path/'b.csv') # whole dollars or cents: 1250 is a usual day in either
    assert 'Media Cost' in propose(tmp_path/'b.csv').open

def test_each_column_of_amounts_has_its_own_unit(tmp_path):
    def times(c, k): return (pl.col(c).cast(pl.Float64) * k).round().cast(pl.Int64)
    def units(table):
        table.write_csv(tmp_path/'a.csv')
        p = propose(tmp_path/'a.csv')
        return {c.name: c.unit for c in p.dialect.columns if c.name not in p.open}
    got = units(frame().with_columns(times('Media Cost', 1_000_000)).rename({'Media Cost': 'cost_micros'}))
    assert (got['cost_micros'], got['Revenue 14d']) == ('micros', 'currency')
    got = units(frame().with_columns(times('Revenue 14d', 100)).rename({'Revenue 14d': 'Revenue 14d cents'}))
    assert (got['Media Cost'], got['Revenue 14d cents']) == ('currency', 'cents')
    assert 'Media Cost' not in units(frame().with_columns(times('Media Cost', 1_000_000))) # unnamed, beside amounts with decimals

@pytest.mark.parametrize('order', ['mdy', 'dmy'])
def test_firsts_of_months_are_not_taken_for_days(tmp_path, order):
    days = [f'01/{m:02}/2026' if order == 'dmy' else f'{m:02}/01/2026' for m in (1, 2, 3, 4, 5, 6)]
    table = frame()
    table.with_columns(pl.Series('Report Day', [days[k % 6] for k in range(table.height)])).write_csv(tmp_path/'a.csv')
    assert 'Report Day' in propose(tmp_path/'a.csv').open

def test_windows_that_do_not_nest_are_doubted(tmp_path):
    frame().rename({'Revenue 7d': 'Revenue 14d', 'Revenue 14d': 'Revenue 7d'}).write_csv(tmp_path/'a.csv')
    assert {'Revenue 7d', 'Revenue 14d'} <= set(propose(tmp_path/'a.csv').open)

def test_at_most_as_many_questions_as_allowed_and_their_answers_count(tmp_path):
    opaque = frame().rename({n: f'c{i}' for i,n in enumerate(UNSEEN)})
    opaque.write_csv(tmp_path/'a.csv')
    for most in (0, 1, 3):
        p = propose(tmp_path/'a.csv', lambda q: None, questions=most)
        assert len(p.asked) == most
        assert p.open and all(c.unit == 'other' and c.note for c in p.dialect.columns if c.name in p.open)
    truth = dict(zip((f'c{i}' for i in range(len(UNSEEN))), WANT.values()))
    def knows(q): return next((k for k,v in q.choices.items() if q.about == 'field' and v == truth[q.columns[0]]), None)
    p = propose(tmp_path/'a.csv', knows)
    told = [c.name for c in p.dialect.columns if c.status == 'told']
    assert told and all(fields(p)[n] == truth[n] for n in told)

def mute_draft(seed=5):
    opaque = frame(seed=seed).rename({n: f'c{i}' for i,n in enumerate(UNSEEN)})
    e = Evidence(tuple(opaque.columns), Values(opaque.select(pl.all().cast(pl.String))))
    return Draft(e, e.by_names(Lexicon(map(load_dialect, list_dialects()))), load_weights())

@pytest.mark.parametrize('seed', range(4))
def test_one_answer_about_several_columns(seed):
    d = mute_draft(seed)
    assert is_mute(d.names)
    q = next(q for _,q in d.questions() if q.about == 'several')
    assert 2 <= len(q.columns) <= TOGETHER and 1 < len(q.choices) <= CHOICES and all(d.sure[c] < d.least == MUTE for c in q.columns)
    assert all(list(way) == list(q.columns) and all(f'{c}: ' in words for c in q.columns) for words,way in q.choices.items())
    answer,way = next(iter(q.choices.items()))
    d.tell(q, answer)
    assert d.fields == way and all(d.field[c] == f and d.sure[c] == 1 for c,f in way.items())

def test_a_sign_of_several_currencies_is_asked_about(unseen, tmp_path):
    frame().with_columns(pl.format('${}', 'Media Cost'), pl.format('${}', 'Revenue 7d'), pl.format('${}', 'Revenue 14d')).write_csv(tmp_path/'a.csv')
    asked = []
    p = propose(tmp_path/'a.csv', lambda q: asked.append(q) or ('CAD' if q.about == 'currency' else None), questions=1)
    assert asked[0].about == 'currency' and list(asked[0].choices)[:2] == ['USD', 'CAD'] and p.dialect.currency.value == 'CAD'
    run = DataHarmonizer(dialects=[p.save(tmp_path/'a.yaml')]).harmonize(tmp_path/'a.csv', tmp_path/'out', quiet=True)
    assert run.quarantined == 0 and set(run.delivery.collect()['currency']) == {'CAD'}
    propose(tmp_path/'a.csv', lambda q: asked.append(q), questions=3)
    assert [q.about for q in asked].count('currency') == 2

def test_a_name_that_a_network_has_already(tmp_path):
    frame().write_csv(tmp_path/'criteo.csv')
    assert propose(tmp_path/'criteo.csv').dialect.network == 'criteo_proposed'

def test_no_report_and_a_place_that_is_not_there(unseen, tmp_path):
    with pytest.raises(ReportError, match='There is no report'): propose(tmp_path/'none.csv')
    with pytest.raises(ReportError, match='There is no report'): propose(tmp_path)
    assert propose(unseen).save(tmp_path/'new/folder/a.yaml').exists()

def test_questions_that_are_worth_the_same(monkeypatch):
    monkeypatch.setattr(Belief, 'together', lambda self, some: (1., np.zeros((2, len(some)), int)))
    assert any(q.about == 'several' for _,q in mute_draft().questions())

def test_nobody_knows_is_not_asked_again_about_several_columns():
    d = mute_draft()
    d.tell(next(q for _,q in d.questions() if q.about == 'several'), None)
    assert not d.fields and all(q.about != 'several' for _,q in d.questions())

@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 3))
def test_what_a_question_about_several_columns_is_worth(seed, k):
    "Against counting: every answer in turn, and what would then be believed of each column."
    rng = np.random.default_rng(seed)
    likely,ways = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(4) / 3, (5, 4))
    some = rng.permutation(4)[:k].tolist()
    worth,choices = Belief(np.einsum('s,scf->cf', likely, ways), ways, likely).together(some)
    chance = {c: [likely[s] * np.prod([ways[s, at, f] for at,f in zip(some, c)]) for s in range(5)] for c in map(tuple, choices.tolist())}
    assert list(map(sum, chance.values())) == sorted(map(sum, chance.values()), reverse=True) and len(chance) == len(choices) <= CHOICES
    rest = [likely[s] - sum(v[s] for v in chance.values()) for s in range(5)]
    def best(w, c): return max(sum(w[s] * ways[s, c, f] for s in range(5)) for f in range(4))
    after = sum(sum(sum(w) if c in some else best(w, c) for w in chance.values()) + best(rest, c) for c in range(4))
    assert worth == pytest.approx(after - sum(best(likely, c) for c in range(4)))

def test_an_answer_that_is_none_of_the_choices(tmp_path):
    frame().rename({n: f'c{i}' for i,n in enumerate(UNSEEN)}).write_csv(tmp_path/'a.csv')
    with pytest.raises(ReportError, match="'perhaps' is no answer to"): propose(tmp_path/'a.csv', lambda q: 'perhaps')

def test_what_was_told_becomes_a_training_row(unseen, tmp_path):
    saved = propose(unseen, lambda q: next(iter(q.choices))).save(tmp_path/'mine.yaml')
    rows = import_jsonl(tmp_path/'mine.rows.jsonl')
    assert check_rows(rows) == [] and rows[0]['kind'] == 'retailer' and rows[0]['entity'] == 'corner_shop'
    answer = rows[0]['completion'][0]['content']
    assert answer.splitlines()[:2] == ['Schema', 'Report Day=event_date ymd'] and 'Revenue 14d=sales_14d' in answer
    assert read_card_text(answer, list(UNSEEN)) == {n: f for n,f in WANT.items() if f != 'other'}
    assert 'Report Day=2026-' in rows[0]['prompt'][0]['content']
    propose(unseen).save(tmp_path/'quiet.yaml')
    assert not (tmp_path/'quiet.rows.jsonl').exists()
    assert load_dialect(saved).columns

def test_questions_about_all_figures(unseen):
    p = propose(unseen, lambda q: {'basis': 'a click', 'product_match': 'any item of the advertiser', 'channel': 'online'}[q.about])
    figures = [c for c in p.dialect.columns if c.field.startswith('attributed.')]
    assert [q.about for q,_ in p.asked] == ['basis', 'product_match', 'channel'] and {(c.basis, c.product_match, c.channel) for c in figures} == {('click', 'total', 'online')}

def test_a_language_model_is_asked_once_a_file(unseen):
    calls = []
    def read(rows):
        calls.append(rows)
        return 'Schema\nAd Clicks=clicks\nno such column=spend\nnonsense'
    assert fields(propose(unseen, read_card=read)) == WANT
    assert len(calls) == 1 and list(calls[0][0]) == list(UNSEEN)

@pytest.mark.parametrize('rows', [0, 1, 2, 20])
def test_few_rows(rows, tmp_path):
    path = tmp_path/'a.csv'
    frame(200).head(rows).write_csv(path)
    p = propose(path)
    got = fields(p)
    assert set(got) == set(UNSEEN) and all(f in ('other', WANT[n]) for n,f in got.items()) # nothing is taken for something that it is not
    assert load_dialect(p.save(tmp_path/'a.yaml')) == p.dialect

@pytest.mark.parametrize('network', ['walmart_search', 'uber_retail_ads', 'criteo_retail_media', 'instacart_ads'])
@pytest.mark.parametrize('suffix', ['.csv', '.jsonl'])
def test_dirt_changes_nothing(network, suffix, tmp_path):
    world = World(3)
    for dirt in (0., .1): world.write_report(network, tmp_path/f'{dirt}{suffix}', 300, dirt)
    assert fields(propose(tmp_path/f'0.1{suffix}')) == fields(propose(tmp_path/f'0.0{suffix}'))

def test_a_german_report_with_decimal_commas(tmp_path):
    (tmp_path/'bericht.csv').write_text('Datum;Kampagne;Artikelnummer;Einblendungen;Klicks;Kosten (EUR);Umsatz (14 Tage);Bestellungen (14 Tage)\n' +
        ''.join(f'{d:02d}.09.2026;Herbst {d % 4};A-{d % 7:04d};{900 + 31 * d};{9 + d};{(9 + d) * 0.31:.2f};{(d % 5) * 12.9:.2f};{d % 5}\n'.replace('.', ',').replace(',09,2026', '.09.2026') for d in range(1, 29)))
    p = propose(tmp_path/'bericht.csv')
    assert fields(p) == {'Datum': 'event_date', 'Kampagne': 'campaign_name', 'Artikelnummer': 'retailer_item_id', 'Einblendungen': 'impressions', 'Klicks': 'clicks', 'Kosten (EUR)': 'spend', 'Umsatz (14 Tage)': 'attributed.sales', 'Bestellungen (14 Tage)': 'attributed.orders'}
    assert (p.dialect.date_order, p.dialect.decimal, p.dialect.currency.value) == ('dmy', ',', 'EUR') and {c.window_days for c in p.dialect.columns} == {None, 14}

@pytest.mark.parametrize('text, what', [('', 'is empty'), ('a\n1\n', 'no header'), ('a,a\n1,2\n', 'two columns'), ('{"id": "1", "items": [{"a": 1}]}\n' * 5, 'holds events')])
def test_what_is_no_report_is_said(text, what, tmp_path):
    path = tmp_path/('a.jsonl' if text.startswith('{') else 'a.csv')
    path.write_text(text)
    with pytest.raises(ReportError, match=what): propose(path)

def test_a_name_of_a_shipped_network_is_not_taken(tmp_path):
    frame().write_csv(tmp_path/'walmart_search.csv')
    assert propose(tmp_path/'walmart_search.csv').dialect.network not in list_dialects()

def test_rows_that_only_words_tell_apart_get_a_key(tmp_path):
    twice = pl.concat([frame(100).with_columns(pl.lit(t).alias('Search Query')) for t in ('red shoes', 'blue shoes')])
    twice.write_csv(tmp_path/'a.csv')
    assert propose(tmp_path/'a.csv').dialect.key == ('Search Query',)

# --- parts ---

@pytest.mark.parametrize('name, want', [('inStoreUnitsSold14days', ('in', 'store', 'units', 'sold', '14', 'days')), ('ROAS14d', ('roas', '14', 'd')), ('eCPM', ('e', 'cpm')), ('Kosten (EUR)', ('kosten', 'eur')), ('Stück', ('stuck',)), ('3PFees', ('3', 'p', 'fees'))])
def test_tokens(name, want): assert tokens(name) == want

@pytest.mark.parametrize('name, days', [('sales7d', 7), ('Sales (14 days)', 14), ('Umsatz 30 Tage', 30), ('sales_30', 30), ('q7', None), ('c14', None), ('video25', None), ('3PFees', None), ('sales', None)])
def test_windows(name, days): assert read_name(name).window_days == days

@pytest.mark.parametrize('name, match, channel, ntb, basis', [('inStoreOtherSales30days', 'other_sku', 'in_store', False, None), ('newToBrandPurchases14d', None, None, True, None), ('purchasesSameSku7d', 'same_sku', None, False, None),
    ('accAttributedHaloSales14days', 'brand_halo', None, False, None), ('purchasesViews14d', None, None, False, 'view'), ('deliveryAttributedSales14days', None, 'delivery', False, None), ('click and view sales', None, None, False, None)])
def test_what_names_say(name, match, channel, ntb, basis):
    n = read_name(name)
    assert (n.product_match, n.channel, n.ntb, n.basis) == (match, channel, ntb, basis)

@settings(max_examples=200)
@given(st.text(max_size=30))
def test_any_name_can_be_read(name): read_name(name)

def test_words_that_were_run_together_and_cut_short():
    lexicon = Lexicon(map(load_dialect, list_dialects()))
    assert lexicon.split(('adspend',)) == ('ad', 'spend') and lexicon.split(('xqzvk',)) == ('xqzvk',)
    like = lexicon.likeness('imps', FIELDS)[:, 1]
    assert FIELDS[like.argmax()] == 'impressions'

def test_a_lexicon_without_a_network_does_not_know_its_words():
    some = [load_dialect(n) for n in list_dialects() if n != 'target_roundel']
    assert Lexicon(some, words=False).likeness('TCIN', FIELDS).max() == 0
    assert FIELDS[Lexicon(map(load_dialect, list_dialects()), words=False).likeness('TCIN', FIELDS)[:, 0].argmax()] == 'retailer_item_id'

def test_fields_and_links_are_those_of_the_schema():
    for f in FIELDS: assert f == 'other' or f in DELIVERY or f.removeprefix('attributed.') in ATTRIBUTED['metric'].categories, f
    assert {f for a,_,b in LINKS for f in (a, b)} <= set(FIELDS) == set(KIND_OF)

def test_relations_are_found():
    data = frame()
    r,at = relations(Values(data)), data.columns.index
    assert r.over[at('Ad Impressions'), at('Ad Clicks')] > .9 > r.over[at('Ad Clicks'), at('Ad Impressions')]
    assert r.over[at('Revenue 14d'), at('Revenue 7d')] > .9 and r.zeros[at('Ad Clicks'), at('Media Cost')] > .9
    assert r.parts[at('CTR')] == (at('Ad Clicks'), at('Ad Impressions'))

def test_values_of_every_kind():
    v = Values(pl.DataFrame({'gtin': ['04006381333931'] * 6, 'zone': ['Europe/Berlin'] * 6, 'code': ['EUR'] * 6, 'half': ['0.5'] * 6, 'none': [None] * 6}, schema_overrides={'none': pl.String}))
    assert [k for k in ('gtin', 'zone', 'code') if v.can_be(k, k)] == ['gtin', 'zone', 'code']
    assert not v.can_be('half', 'count') and not v.can_be('zone', 'gtin') and v.can_be('none', 'money')

def test_fitting_finds_what_counts():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3, 2))
    truth = x[:, :, 0].argmax(1) # the first feature alone decides
    w = fit(x, np.ones((400, 3), bool), truth, np.ones(400))
    assert w[0] > 2 > abs(w[1]) and (softmax(x @ w, np.array(True)).argmax(1) == truth).mean() > .95

def test_beliefs_are_shares_and_the_same_every_time(unseen):
    data = frame(60)
    def once():
        e = Evidence(tuple(data.columns), Values(data))
        return believe(e, e.by_names(Lexicon(map(load_dialect, list_dialects()))), load_weights())
    a,b = once(), once()
    assert np.allclose(a.shares.sum(1), 1) and (a.shares == b.shares).all() and (a.gain(0) > -1e-9).all()

def test_a_card_says_what_a_dialect_says():
    assert card_text(load_dialect('uber')).splitlines()[:3] == ['Schema', 'day_of=event_date ymd', 'ad_account_id=account_id']

def test_the_command_asks_by_number(unseen, tmp_path, monkeypatch):
    from typer.testing import CliRunner
    from rmn_lora.cli import app
    monkeypatch.chdir(tmp_path)
    r = CliRunner().invoke(app, ['dialect', 'propose', str(unseen)], input='9\n1\n0\n2\n')
    assert r.exit_code == 0 and r.output.count('I do not know') == 3 and 'Give a number from 0 to' in r.output, r.output
    assert load_dialect(tmp_path/'corner_shop.yaml').network == 'corner_shop' and (tmp_path/'corner_shop.rows.jsonl').exists()
    again = CliRunner().invoke(app, ['dialect', 'propose', str(unseen), '--questions', '0'])
    assert again.exit_code == 1 and 'is there already' in again.stderr

def test_shuffled_rows_say_the_same(unseen, tmp_path):
    random.seed(1)
    lines = unseen.read_text().splitlines()
    (tmp_path/'b.csv').write_text('\n'.join([lines[0], *random.sample(lines[1:], len(lines) - 1)]) + '\n')
    assert fields(propose(tmp_path/'b.csv')) == fields(propose(unseen))

def test_the_saved_weights_are_of_these_features(unseen):
    data = frame(30)
    e,w = Evidence(tuple(data.columns), Values(data)), load_weights()
    n = e.by_names(Lexicon([])).shape[2] + e.by_values.shape[2] + e.by_model.shape[2] + len(FIELDS)
    assert len(w.first) == n and len(w.second) == n + 2 * len(e.links) + 4
    assert json.dumps(w.slope) != 'NaN'

def test_a_word_with_a_point_does_not_hide_decimal_commas():
    "Only columns that are mostly amounts say how amounts are written."
    rows = pl.DataFrame({'Preis': ['12,50', '3,20', '7,95', '1,05', '9,99', '4,40'], 'Stufe': ['Gold', 'Silber', '2.50', 'Gold', 'Silber', 'Gold']})
    assert Values(rows).comma and not Values(rows.with_columns(pl.col('Preis').str.replace(',', '.'))).comma
