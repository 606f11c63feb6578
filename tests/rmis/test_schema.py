"Unlike numbers never meet."
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from rmn_lora.errors import ReportError, UnlikeNumbersError
from rmn_lora.rmis.attributed import LIKE, AttributedFrame, cvr, ratios, roas
from rmn_lora.rmis.harmonize import DataHarmonizer
from rmn_lora.rmis.schema import ATTRIBUTED, DELIVERY, MONEY, TABLES, check, json_schema

LIKEABLE = dict(metric='sales', window_days=14, basis='click', product_match='total', channel='online', ntb=False, model='last_touch', currency='USD', final=True)
OTHER = dict(metric='units', window_days=7, basis='view', product_match='same_sku', channel='in_store', ntb=True, model='linear', currency='EUR', final=False)
UNKNOWN = dict(window_days=None, basis='unknown', product_match='unknown', channel='unknown', ntb=None, model='unknown', currency=None, final=None)

def rows(*values, **changes):
    base = dict(source_report='r.csv', network='n', retailer='n', event_date=date(2026, 9, 1), campaign_id='1', as_of=None) | LIKEABLE | changes
    return AttributedFrame(pl.DataFrame([base | {'source_row': i, 'value': None if v is None else Decimal(str(v))} for i,v in enumerate(values)], schema=ATTRIBUTED))

@pytest.mark.parametrize('field', LIKE)
def test_each_descriptor_keeps_numbers_apart(field):
    one,two = rows(1), rows(2, **{field: OTHER[field]})
    for act in (lambda: one + two, lambda: two + one, lambda: one < two, lambda: one > two):
        with pytest.raises(UnlikeNumbersError, match=field) as e: act()
        assert str(LIKEABLE[field]) in str(e.value) and str(OTHER[field]) in str(e.value)
    mixed = AttributedFrame(pl.concat([one.rows, two.rows]))
    with pytest.raises(UnlikeNumbersError, match=field): mixed.total()
    assert set(mixed.unlike()) == {field}

@pytest.mark.parametrize('field', UNKNOWN)
def test_unknown_is_like_nothing_not_even_itself(field):
    one = rows(1, 2, **{field: UNKNOWN[field]})
    for act in (one.total, lambda: one + one, lambda: one < one, lambda: one + rows(3)):
        with pytest.raises(UnlikeNumbersError, match=f'{field} is .*unknown'): act()
    group = one.groups()
    assert group['total'].to_list() == [None] and group['why'].to_list() == [f'{field} unknown']

def test_counts_need_no_currency():
    assert rows(1, 2, metric='orders', currency=None).total() == 3

def test_missing_is_not_zero():
    assert rows(1, None).total() == 1 and rows(None).total() is None and rows().total() is None
    assert (rows() + rows(4)).total() == 4

@settings(max_examples=25)
@given(st.lists(st.decimals(-10**6, 10**6, places=2), min_size=1, max_size=20), st.integers(0, 20))
def test_sums_are_exact_and_do_not_depend_on_the_cut(values, cut):
    assert (rows(*values[:cut]) + rows(*values[cut:])).total() == sum(values)

def test_where_finds_values_lists_and_unknowns():
    both = AttributedFrame(pl.concat([rows(1).rows, rows(2, window_days=7).rows, rows(4, window_days=None).rows]))
    assert both.where(window_days=7).total() == 2 and len(both.where(window_days=[7, 14])) == 2 and len(both.where(window_days=None)) == 1
    with pytest.raises(ReportError, match='no column'): both.where(window=7)

def test_groups_lose_no_row():
    both = AttributedFrame(pl.concat([rows(1, 2).rows, rows(5, basis='unknown').rows, rows(7, currency='EUR').rows]))
    assert both.groups()['rows'].sum() == len(both) == 4
    assert both.groups(['network'])['total'].drop_nulls().to_list() == [7, 3]

def delivered(*spend, currency='USD'):
    return pl.DataFrame({'source_report': 'r.csv', 'source_row': range(len(spend)), 'spend': [None if s is None else Decimal(s) for s in spend], 'currency': currency, 'impressions': 100, 'clicks': [10 * (s is not None) for s in spend]},
                        schema_overrides={'source_row': pl.Int64, 'spend': MONEY})

def test_roas_divides_sums_of_the_same_rows():
    assert roas(rows(30, 10), delivered(4, 4, 12)) == 2.0 # the third row spent, and told no sales: it sold nothing
    both = AttributedFrame(pl.concat([rows(30, 10).rows, rows(99, window_days=7).rows.with_columns(source_row=pl.lit(2, pl.Int64))]))
    assert roas(both.where(window_days=14), delivered(4, 4, 12)) == 5.0 # the third row told sales of another kind
    assert roas(rows(30, 10), delivered(4, 4, None)) == 5.0
    with pytest.raises(UnlikeNumbersError, match='currency'): roas(rows(30), delivered(4, currency='EUR'))
    with pytest.raises(UnlikeNumbersError, match='no spend'): roas(rows(30, 1), delivered(4, None))
    with pytest.raises(UnlikeNumbersError, match='window_days'): roas(AttributedFrame(pl.concat([rows(1).rows, rows(1, window_days=7).rows])), delivered(4))
    assert roas(rows(0), delivered(0)) is None

def test_conversion_rate_divides_orders_by_clicks():
    orders = rows(3, 2, metric='orders')
    assert cvr(orders, delivered(4, 4, 12)) == 5 / 30 and cvr(rows(0, metric='orders'), delivered(None)) is None
    with pytest.raises(UnlikeNumbersError, match='report orders but no clicks'): cvr(orders, delivered(4, 4).with_columns(clicks=pl.lit(None, pl.Int64)))
    with pytest.raises(UnlikeNumbersError, match='window_days'): cvr(AttributedFrame(pl.concat([orders.rows, rows(1, metric='orders', window_days=7).rows])), delivered(4, 4))

def test_ratios_are_sums_over_known_rows():
    got = ratios(delivered(2, None)).row(0, named=True)
    assert (got['ctr'], got['cpc'], got['cpm']) == (10 / 200, .2, 20.)
    assert ratios(delivered(2).with_columns(impressions=pl.lit(0))).row(0, named=True)['ctr'] is None
    with pytest.raises(UnlikeNumbersError, match='currency'): ratios(pl.concat([delivered(2), delivered(2, currency='EUR')]))

def test_check_names_what_is_broken():
    empty = pl.DataFrame(schema=DELIVERY)
    check(empty)
    row = {c: None for c in DELIVERY} | {'source_report': 'r', 'source_row': 1, 'network': 'n', 'clicks': -1, 'gtin14': '123'}
    with pytest.raises(ReportError, match=r'negative \(2 rows\).*14 digits.*repeat the key') as e: check(pl.DataFrame([row, row], schema=DELIVERY))
    assert 'network is null' not in str(e.value)
    with pytest.raises(ReportError, match='spend is Float64'): check(empty.with_columns(pl.col('spend').cast(pl.Float64)))
    with pytest.raises(ReportError, match='basis is null .say unknown'): check(rows(1).rows.with_columns(basis=pl.lit(None, ATTRIBUTED['basis'])), 'attributed')

EXAMPLES = {'source_report': 'r.csv', 'source_row': 1, 'item': 1, 'gtin14': '00036000291452', 'currency': 'USD', 'window_days': 14}

def examples(table):
    "Two rows of a table: one with everything, one with only what is required."
    def one(c, kind):
        if c in EXAMPLES: return EXAMPLES[c]
        if isinstance(kind, pl.Enum): return kind.categories[0]
        return {pl.String: 'x', pl.Int64: 3, pl.UInt64: 2**64 - 1, pl.Boolean: True, pl.Date: date(2026, 9, 1), pl.Decimal: Decimal('-12.345678'), pl.Datetime: datetime(2026, 9, 1, 12, tzinfo=UTC)}[kind.base_type()]
    t = TABLES[table]
    whole = {c: one(c, kind) for c,kind in t.schema.items()}
    return pl.DataFrame([whole, {c: v if c in t.required else None for c,v in whole.items()} | {t.key[1]: 7 if t.schema[t.key[1]] == pl.Int64 else 'y'}], schema=t.schema)

@pytest.mark.parametrize('table', TABLES)
def test_what_polars_writes_is_what_the_json_schema_says(table):
    frame = examples(table)
    check(frame, table)
    judge = Draft202012Validator(json_schema(table), format_checker=Draft202012Validator.FORMAT_CHECKER)
    Draft202012Validator.check_schema(judge.schema)
    for row in map(json.loads, frame.write_ndjson().splitlines()): judge.validate(row)
    good = json.loads(frame.write_ndjson().splitlines()[0])
    for c,wrong in (('gtin14', '36000291452'), ('currency', 'usd'), ('value', '1.2345678'), ('price', 'free'), ('as_of', '31.12.2026'), ('event_type', 'view'), ('quantity', '3'), (TABLES[table].key[0], None), ('more', 1)):
        if c in good or c == 'more': assert not judge.is_valid(good | {c: wrong}), c
    for c in TABLES[table].required:
        with pytest.raises(ReportError, match=f'{c} is null'): check(frame.with_columns(pl.lit(None, frame.schema[c]).alias(c)), table)

@pytest.mark.parametrize('kinds', [1, 3, 40])
def test_any_program_reads_tables_of_their_schema(tmp_path, kinds):
    import pyarrow.parquet as pq
    rows = [f'2026-09-0{i % 2 + 1},{i % kinds},77{i},3,4.00,1.00' for i in range(40)] + ['2026-09-01,0,99,3,"$4.00",1.00']
    (tmp_path/'w.csv').write_text('date,campaignId,itemId,numAdsShown,adSpend,attributedSales14days\n' + '\n'.join(rows) + '\n')
    run = DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'out', quiet=True)
    assert run.repaired == 1
    for name,schema in (('delivery', DELIVERY), ('attributed', ATTRIBUTED)):
        parts = sorted((tmp_path/'out'/name).glob('*.parquet'))
        assert len(parts) == 2 and all(pl.read_parquet(p).schema == schema for p in parts)
        assert pl.read_parquet(tmp_path/'out'/name).equals(getattr(run, name).collect())
        check(pl.read_parquet(tmp_path/'out'/name), name)
        words = [c for c,t in schema.items() if t == pl.String]
        assert {str(pq.read_schema(p).field(c).type) for p in parts for c in words} == {'large_string'}
        assert pq.ParquetFile(parts[0]).read().to_pylist()[0]['network'] == 'walmart_search'
    counts = run.attributed.group_by('network', 'campaign_id', 'currency').len().sort('len').collect()
    assert counts.height == kinds and counts['len'].sum() == 41 and counts.row(0)[::2] == ('walmart_search', 'USD')
