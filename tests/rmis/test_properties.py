"Canonical → a network's words, shuffled and soiled → canonical."
import json
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
import polars as pl
import yaml
from rmn_lora.rmis.dialects import load_dialect
from rmn_lora.rmis.harmonize import DataHarmonizer
from rmn_lora.rmis.values import check_digit_holds, plain_number, read_gtin, read_upc, slow_number

MONEY = st.decimals(0, 10**7, places=2)
ROW = st.fixed_dictionaries({'day': st.dates(date(2020, 1, 1), date(2030, 12, 31)), 'id': st.from_regex(r'[0-9]{1,18}', fullmatch=True), 'shown': st.integers(0, 10**9), 'spend': MONEY, 'sales': st.none() | MONEY})
LOOKS = [lambda d: f'{d:.2f}', lambda d: f'{d:,.2f}', lambda d: f'${d:,.2f}', lambda d: f' {d:.2f} ', lambda d: f'{d:.2f} USD', lambda d: f'USD {d:,.2f}', lambda d: f'{d:.4f}']
NAMES = {'day': 'date', 'id': 'itemId', 'shown': 'numAdsShown', 'spend': 'adSpend', 'sales': 'attributedSales14days'}

@settings(max_examples=25)
@given(st.lists(ROW, min_size=1, max_size=12), st.permutations([*NAMES, 'junk']), st.sampled_from(',;\t|'), st.sampled_from(['utf-8', 'utf-8-sig', 'utf-16']), st.randoms())
def test_round_trip(tmp_path, rows, order, sep, encoding, random):
    def cell(row, name):
        if name == 'junk': return 'x'
        v = row[name]
        text = '' if v is None else random.choice(LOOKS)(v) if name in ('spend', 'sales') else str(v)
        return f'"{text}"' if sep in text else text
    lines = [sep.join(NAMES.get(n, 'unheardOf') for n in order), *(sep.join(cell(r, n) for n in order) for r in rows)]
    path = tmp_path/'w.csv'
    path.write_bytes('\n'.join(lines).encode(encoding))
    run = DataHarmonizer().harmonize(path, tmp_path/'out', network='walmart', quiet=True)
    assert run.quarantined == 0, run.reasons()
    got = run.delivery.sort('source_row').select('event_date', 'retailer_item_id', 'impressions', 'spend').collect().rows()
    assert got == [(r['day'], r['id'], r['shown'], r['spend']) for r in rows]
    sales = run.attributed.sort('source_row').select('source_row', 'value').collect().rows()
    assert sales == [(i + 2, r['sales']) for i,r in enumerate(rows) if r['sales'] is not None]

@settings(max_examples=200)
@given(st.text(alphabet='0123456789.,-+()$€%eE \u00a0XUSD', max_size=12))
def test_a_number_is_read_as_python_would_or_not_at_all(text):
    value = pl.DataFrame({'x': [text]}).select(slow_number(pl.col('x'), 'currency')).item()
    if value is None: return
    digits = ''.join(c for c in text if c in '0123456789.eE')
    if 'USD' in text or 'E' in text.upper() or len(digits) > 12: return
    assert abs(value) == Decimal(digits).quantize(Decimal('0.000001'))
    assert (value < 0) == (value != 0 and ('-' in text or '(' in text))

def test_what_can_be_read_in_two_ways_is_not_read():
    for text in ('12,50', '1.234,50', '1,23,456', '12 50', '1.2.3', '5%', '--5', '(5', '1e999', '0x10', 'inf', 'nan1', '٣'):
        assert pl.DataFrame({'x': [text]}).select(slow_number(pl.col('x'), 'currency')).item() is None, text

@settings(max_examples=100)
@given(st.integers(0, 10**13 - 1), st.integers(0, 9))
def test_check_digit_agrees_with_the_schoolbook(body, digit):
    text = f'{body:013d}{digit}'
    total = sum(int(c) * (3 if i % 2 == 0 else 1) for i,c in enumerate(text))
    assert pl.DataFrame({'x': [text]}).select(check_digit_holds(pl.col('x'))).item() == (total % 10 == 0)

@given(st.text('0123456789', min_size=1, max_size=15))
def test_a_upc_without_its_check_digit_becomes_the_one_gtin_that_it_can_be(body):
    got = pl.DataFrame({'x': [body]}).select(read_upc(pl.col('x'))).item()
    if len(body) > 13 or not body.strip('0'): assert got is None
    else: assert got[:-1] == body.zfill(13) and pl.DataFrame({'x': [got]}).select(read_gtin(pl.col('x'))).item() == got

def test_cents_micros_and_day_first_dates(tmp_path):
    "A network of one's own: opaque names, cents, micros, percent left out, days first."
    column = lambda name, field, unit, **more: {'name': name, 'field': field, 'unit': unit, 'status': 'inferred', **more}
    (tmp_path/'own.yaml').write_text(yaml.safe_dump({'network': 'own', 'title': 'Own', 'date_order': 'dmy', 'currency': {'value': 'GBP', 'status': 'inferred'}, 'columns': [
        column('q1', 'event_date', 'date'), column('q2', 'campaign_id', 'id'), column('q3', 'spend', 'cents'), column('q4', 'attributed.sales', 'micros', window_days=7, basis='click')]}))
    (tmp_path/'own.csv').write_text('q1;q2;q3;q4\n01/12/2026;007;1250;3500000\n13.11.2026;008;1;1\n2026-11-14;009;"1,250";\n11/13/2026;010;5;5\n')
    run = DataHarmonizer(dialects=[tmp_path/'own.yaml']).harmonize(tmp_path/'own.csv', tmp_path/'out', quiet=True)
    got = run.delivery.sort('source_row').select('event_date', 'campaign_id', 'spend', 'currency').collect().rows()
    assert got == [(date(2026, 12, 1), '007', Decimal('12.5'), 'GBP'), (date(2026, 11, 13), '008', Decimal('.01'), 'GBP'), (date(2026, 11, 14), '009', Decimal('12.5'), 'GBP')]
    assert sorted(run.attributed.collect()['value'].to_list()) == [Decimal('0.000001'), Decimal('3.5')]
    assert run.quarantine.collect().select('line', 'value').rows() == [(5, '11/13/2026')]

def test_finality_needs_the_day_of_the_pull_the_horizon_and_the_window(tmp_path):
    (tmp_path/'w.csv').write_text('date,itemId,numAdsShown,adSpend,attributedSales3days,attributedSales14days\n2026-09-01,1,1,1,1,1\n')
    run = lambda **kw: DataHarmonizer(**kw).harmonize(tmp_path/'w.csv', tmp_path/'out', quiet=True)
    finals = lambda r: dict(r.attributed.select('window_days', 'final').collect().rows())
    assert finals(run()) == {3: None, 14: None}
    assert finals(run(as_of='2026-09-03')) == {3: False, 14: False}
    assert finals(run(as_of=date(2026, 9, 4))) == {3: True, 14: False}
    assert finals(run(as_of=date(2026, 9, 1) + timedelta(14))) == {3: True, 14: True}
    assert load_dialect('walmart').restated_days.value == 3 and run(as_of='2026-09-04').delivery.collect()['final'].to_list() == [True]

def test_json_strings_that_look_like_structure(tmp_path):
    "Braces, quotes and backslashes inside names do not cut records."
    names = ['a},{b', 'say "hi"', 'back\\', '\\"', '[x]', 'line\nbreak', 'é – ✓', '\\\\"}']
    rows = [{'date': '2026-09-01', 'campaignId': i, 'campaignName': n, 'impressions': 1, 'clicks': 0, 'cost': 0.5, 'sales7d': 1} for i,n in enumerate(names)]
    for indent in (None, 2):
        (tmp_path/'a.json').write_text(json.dumps(rows, indent=indent))
        got = DataHarmonizer().harmonize(tmp_path/'a.json', tmp_path/'out', quiet=True).delivery.sort('source_row').collect()
        assert got['campaign_name'].to_list() == names

def test_plain_number_of_everyday_forms():
    forms = {'$1,234.50': '1234.50', '(3.20)': '-3.20', '-£7': '-7', '£-7': '-7', '7-': '-7', 'USD 5': '5', '5 EUR': '5', "1'234.5": '1234.5', '1\u00a0234': '1234', '\u22125': '-5', '($1,000.00)': '-1000.00'}
    got = pl.DataFrame({'x': list(forms)}).select(plain_number(pl.col('x'))).to_series().to_list()
    assert got == list(forms.values())
