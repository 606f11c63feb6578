"What would be a wrong number that nobody notices: each is refused, set aside with a reason, or read right."
import gzip
import json
import os
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rmn_lora.errors import ReportError
from rmn_lora.rmis import copies, lanes
from rmn_lora.rmis.dialects import load_dialect
from rmn_lora.rmis.harmonize import DataHarmonizer, load_run
from rmn_lora.rmis.reports import LINE, open_report

HEAD = 'date,campaignId,itemId,numAdsShown,numAdsClicks,adSpend,attributedSales14days,attributedOrders14days\n'
ROW = '2026-09-01,100,5551,1000,10,12.50,40.00,2\n'
CRITEO = 'date,accountId,campaignId,lineItemId,impressions,clicks,spend,attributedSales,attributedUnits\n2026-09-01,1,2,3,10,1,{},4.00,{}\n'

def harmonize(tmp_path, text, name='w.csv', **how):
    (tmp_path/name).write_bytes(text if isinstance(text, bytes) else text.encode())
    run = DataHarmonizer(**how).harmonize(tmp_path/name, tmp_path/'out', quiet=True)
    assert run.rows_in == run.rows_out + run.quarantined
    return run

def aside(run, *columns): return run.quarantine.sort('line').select(columns).collect().rows()


# Currencies

@pytest.mark.parametrize('amount', ['EUR 12.50', '12.50 EUR', '12.50EUR', '(EUR 12.50)', '€12.50', 'USD 12.50 EUR', '$12.50 EUR', 'ABC 12.50'])
def test_an_amount_in_another_currency_is_set_aside(tmp_path, amount):
    run = harmonize(tmp_path, HEAD + ROW + ROW.replace('12.50', amount))
    assert aside(run, 'line', 'column', 'value', 'reason') == [(3, 'adSpend', amount, 'the sign or code is not that of USD')]

@pytest.mark.parametrize('amount', ['USD 12.50', '12.50 USD', '$12.50', '$12.50 USD', '(USD 12.50)'])
def test_an_amount_in_its_own_currency_is_repaired(tmp_path, amount):
    run = harmonize(tmp_path, HEAD + ROW.replace('12.50', amount))
    assert (run.repaired, abs(run.delivery.collect()['spend'].item())) == (1, 12.5)

@pytest.mark.parametrize('amount', ['EUR 5', '$5'])
def test_a_currency_cannot_be_compared_with_an_unknown_one(tmp_path, amount):
    text = CRITEO.format(amount, 2)
    assert 'unknown' in aside(harmonize(tmp_path, text), 'reason')[0][0]
    assert harmonize(tmp_path, text, given={'criteo': {'currency': 'EUR' if 'EUR' in amount else 'CAD'}}).repaired == 1
    assert harmonize(tmp_path, text, given={'criteo': {'currency': 'GBP'}}).quarantined == 1

@pytest.mark.parametrize(('count', 'column'), [('USD 2', 'attributedOrders14days'), ('$2', 'attributedOrders14days'), ('USD 10', 'numAdsClicks'), ('$10', 'numAdsClicks')])
def test_a_count_carries_no_currency(tmp_path, count, column):
    run = harmonize(tmp_path, HEAD + (ROW.replace(',2\n', f',{count}\n') if 'Orders' in column else ROW.replace(',10,', f',{count},')))
    assert aside(run, 'column', 'value') == [(column, count)]


# Headers

@pytest.mark.parametrize('form', ['csv', 'jsonl', 'parquet', 'late'])
def test_columns_that_differ_in_case_only_are_refused(tmp_path, form):
    names = 'date,campaignId,impressions,Clicks,clicks,cost,sales14d'.split(',')
    row = dict(zip(names, ['2026-09-01', '1', '1000', '10', '99', '1', '1']))
    path = tmp_path/f'a.{form}'
    if form == 'csv': path.write_text(','.join(names) + '\n' + ','.join(row.values()) + '\n')
    elif form == 'jsonl': path.write_text(json.dumps(row) + '\n')
    elif form == 'late': path.write_text((json.dumps({k: v for k,v in row.items() if k != 'clicks'}) + '\n') * 12_000 + json.dumps(row) + '\n')
    else: pl.DataFrame([row]).write_parquet(path)
    with pytest.raises(ReportError, match="'Clicks' and 'clicks'"): DataHarmonizer().harmonize(path, tmp_path/'out', quiet=True)

def test_a_name_in_a_value_is_no_second_column(tmp_path):
    row = {'date': '2026-09-01', 'campaignId': '1', 'campaignName': 'clicks', 'impressions': 1000, 'Clicks': 10, 'cost': 1, 'sales14d': 1}
    run = harmonize(tmp_path, (json.dumps(row) + '\n') * 2, 'a.jsonl')
    assert run.delivery.collect()['clicks'].to_list() == [10, 10]


# Rows

BREAK = HEAD.replace('itemId', 'itemName') + ROW.replace('5551', '"two\nlines"') # stands on lines 2 and 3

def test_lines_are_counted_past_a_line_break_in_quotes(tmp_path):
    run = harmonize(tmp_path, BREAK + ROW + ROW.replace('12.50', '#REF!') + ROW)
    assert aside(run, 'line', 'value') == [(5, '#REF!')]
    assert run.delivery.sort('source_row').collect()['source_row'].to_list() == [2, 4, 6]
    seen = open_report(tmp_path/'w.csv', tmp_path).scan(['itemName']).collect()
    assert seen.select(LINE, 'itemName').rows()[:2] == [(2, 'two\nlines'), (4, '5551')]

def test_a_short_row_is_seen_beside_a_line_break_in_quotes(tmp_path):
    run = harmonize(tmp_path, BREAK + ROW + '2026-09-01,100,5551,1000,10,12\n' + ROW)
    assert aside(run, 'line', 'reason', 'row') == [(5, 'fewer fields than the 8 of the header', '2026-09-01,100,5551,1000,10,12')]

def test_a_short_row_is_seen_where_the_last_columns_are_mostly_blank(tmp_path):
    rows = [ROW.replace('40.00,2', ',')] * 1200 + [ROW] * 5 + [ROW.replace(',40.00,2', ''), ROW.replace(',40.00,2\n', ',\n')]
    run = harmonize(tmp_path, HEAD + ''.join(r.replace('5551', str(k)) for k,r in enumerate(rows)))
    assert aside(run, 'line', 'reason') == [(n, 'fewer fields than the 8 of the header') for n in (1207, 1208)] and run.repaired == 0

def test_marks_of_inches_are_no_quotes(tmp_path):
    head,row = HEAD.replace('itemId', 'itemId,itemName,more'), ROW.replace('5551', '5551,TV 5" x,P 6" z').replace('40.00,2', '40.00,')
    assert harmonize(tmp_path, head + row + row.replace('P 6" z', '"P, 6"" 7"" z"').replace('5" x', '5 x')).quarantined == 0

@pytest.mark.parametrize('end', ['\n', '\r\n', ''])
def test_a_row_that_ends_in_blanks_is_not_short(tmp_path, monkeypatch, end):
    monkeypatch.setattr(copies, 'BLOCK', 100) # lines that two or more blocks share
    odd = {20: ROW.replace('40.00,2', ','), 30: ROW.replace('40.00,2\n', '\n'), 40: ROW.replace(',40.00,2', ''), 50: ROW.replace('5551,1000', '"5,5,5,1",1000').replace(',40.00,2', ''), 60: ROW.replace('12.50,40.00,2', '$12.50,,')}
    lines = [HEAD, *(odd.get(n, ROW if n % 3 else ROW.replace('2\n', '\n')) for n in range(2, 71))]
    run = harmonize(tmp_path, ''.join(lines).replace('\n', end or '\n').rstrip('\n' if not end else ''))
    assert aside(run, 'line', 'reason') == [(n, 'fewer fields than the 8 of the header') for n in (30, 40, 50)]
    assert (run.rows_out, run.repaired) == (66, 1)

@given(st.lists(st.binary(max_size=9).map(lambda b: b.replace(b'\n', b'')), min_size=1, max_size=40), st.integers(1, 30), st.data())
def test_some_lines_of_a_file(tmp_path_factory, lines, block, data):
    path = tmp_path_factory.mktemp('lines')/'x.csv'
    path.write_bytes(b'x' + b'\n'.join(lines))
    wanted = sorted(data.draw(st.sets(st.integers(1, len(lines)))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, 'BLOCK', block)
        assert list(copies.some_lines(path, 'x.csv', np.array(wanted, dtype=np.int64))) == [(b'x' if n == 1 else b'') + lines[n - 1] for n in wanted]

@pytest.mark.parametrize('pack', [bytes, gzip.compress, lambda b: b.decode().encode('utf-16'), lambda b: b.replace(b'\n', b'\r\n'), lambda b: b.replace(b'two', b'dos a\xf1os')])
def test_line_breaks_in_every_form(tmp_path, pack):
    run = harmonize(tmp_path, pack((BREAK + ROW + ROW.replace('12.50', '#REF!')).encode()))
    assert (run.rows_out, aside(run, 'line')) == (2, [(5,)])

def test_a_header_with_a_line_break(tmp_path):
    run = harmonize(tmp_path, HEAD.replace('attributedOrders14days', '"my\nnotes"') + ROW + ROW.replace('12.50', '#REF!'))
    assert (run.rows_out, aside(run, 'line')) == (1, [(4,)])

@pytest.mark.parametrize('surplus', [',,QQ', ',,,,QQ,ZZ', ',QQ', ',QQ,ZZ'])
def test_surplus_fields_are_seen_and_kept(tmp_path, surplus):
    run = harmonize(tmp_path, HEAD + ROW + ROW[:-1] + surplus + '\n' + ROW)
    (line,reason,value,row), = aside(run, 'line', 'reason', 'value', 'row')
    assert (line, reason) == (3, 'more fields than the 8 of the header') and 'QQ' in value + row and ('ZZ' in value + row) == ('ZZ' in surplus)

def test_surplus_fields_that_are_empty_say_nothing(tmp_path):
    run = harmonize(tmp_path, HEAD + ROW + ROW[:-1] + ',,,\n' + ROW[:-1] + ',\n')
    assert (run.rows_out, run.quarantined) == (3, 0)

def test_an_open_quote_costs_its_own_line_only(tmp_path):
    rows = [ROW] * 3 + [ROW.replace('5551', '5" pipe')] + [ROW] * 2000 + [ROW.replace('5551', '6" pipe')] + [ROW, ROW.replace('5551', '"a\nb"'), ROW]
    run = harmonize(tmp_path, HEAD.replace('itemId', 'itemName') + ''.join(rows))
    assert (run.rows_in, run.quarantined) == (2008, 2)
    assert aside(run, 'line', 'reason') == [(5, 'a quote is not closed on this line'), (2006, 'a quote is not closed on this line')]

def test_blank_lines_are_rows_in_every_lane(tmp_path):
    for text in (HEAD + ROW + '\n' + ROW, BREAK + '\n' + ROW): assert aside(harmonize(tmp_path, text), 'reason') == [('the row is empty',)]


# Ids and missing values

ODD = {'2,81475E+14': None, '2.81475E+14': None, '2.81475e+14': None, '2.81475E14': None, '2814749767106777.0': None,
       'NaN': '', 'null': '', 'NA': '', 'N/A': '', '-': '', 'None': '', '#N/A': '', ' ': '', '0012.0': '0012', '1E5': '1E5', 'a.b': 'a.b', '\u2003x': 'x'}

@pytest.mark.parametrize('text', ODD)
@pytest.mark.parametrize('spend', ['12.50', '$12.50']) # the second takes the slow lane anyway
def test_an_id_is_read_alike_in_both_lanes(tmp_path, text, spend):
    run = harmonize(tmp_path, HEAD + ROW + ROW.replace('5551', f'"{text}"').replace('12.50', spend))
    if ODD[text] is None: assert aside(run, 'line', 'reason') == [(3, 'a spreadsheet has rounded this id')]
    else: assert run.delivery.sort('source_row').collect()['retailer_item_id'].to_list() == ['5551', ODD[text] or None]

@pytest.mark.parametrize('spend', ['12.50', '$12.50'])
def test_a_text_that_says_nothing_is_missing_in_both_lanes(tmp_path, spend):
    run = harmonize(tmp_path, f'date,campaignId,campaignName,impressions,clicks,cost,sales14d\n2026-09-01,1,N/A,10,1,{spend},9\n', given={'amazon': {'currency': 'USD'}})
    assert run.delivery.collect()['campaign_name'].to_list() == [None]


# Names

OURS = ['value', 'reason', 'column', 'problem', 'row', 'line', 'day', 'upto', 'money', 'suspect', 'fields', 't0', 't1', 'len', 'source_report', 'raw:date', 'x']

@pytest.mark.parametrize('form', ['csv', 'jsonl', 'parquet', 'break'])
def test_any_column_name_may_stand_in_a_report(tmp_path, form):
    names = HEAD.strip().split(',') + OURS
    good = dict(zip(names, ROW.strip().split(',') + [f'my {n}' for n in OURS]))
    rows,path = [good, good | {'adSpend': '#REF!'}, good | {'adSpend': '$3'}], tmp_path/f'w.{form}'
    if form == 'parquet': pl.DataFrame(rows).write_parquet(path)
    elif form == 'jsonl': path.write_text('\n'.join(map(json.dumps, rows)))
    else: path.write_text(''.join(','.join(r) + '\n' for r in [names, *(r.values() for r in rows)]).replace('my x', '"my\nx"' if form == 'break' else 'my x'))
    run = DataHarmonizer().harmonize(path, tmp_path/'out', 'walmart', quiet=True)
    assert (run.rows_out, run.quarantined, run.delivery.collect()['spend'].sum()) == (2, 1, 15.5)
    (column,value,row), = aside(run, 'column', 'value', 'row')
    assert (column, value) == ('adSpend', '#REF!') and {k: v.replace('\n', ' ') for k,v in json.loads(row).items()} == rows[1]

@pytest.mark.parametrize('name', ['__line', '__more'])
@pytest.mark.parametrize('form', ['csv', 'jsonl', 'parquet'])
def test_the_two_names_that_are_ours_are_refused(tmp_path, name, form):
    row,path = dict(zip(HEAD.strip().split(','), ROW.strip().split(','))) | {name: '7'}, tmp_path/f'w.{form}'
    if form == 'parquet': pl.DataFrame([row]).write_parquet(path)
    else: path.write_text(json.dumps(row) if form == 'jsonl' else f'{",".join(row)}\n{",".join(row.values())}\n')
    with pytest.raises(ReportError, match=f"w.{form} has a column called '{name}'.*Rename"): DataHarmonizer().harmonize(path, tmp_path/'out', quiet=True)


# Files

def test_one_file_under_several_paths_counts_once(tmp_path, monkeypatch):
    (tmp_path/'in').mkdir()
    (tmp_path/'in'/'w.csv').write_text(HEAD + ROW)
    (tmp_path/'in'/'again.csv').symlink_to(tmp_path/'in'/'w.csv')
    os.link(tmp_path/'in'/'w.csv', tmp_path/'in'/'hard.csv')
    monkeypatch.chdir(tmp_path)
    run = DataHarmonizer().harmonize(['in/w.csv', tmp_path/'in'/'w.csv', 'in', 'in/../in/*.csv'], 'out', quiet=True)
    assert (run.rows_out, [f.report for f in run.files]) == (1, ['w.csv'])

@pytest.mark.parametrize('what', ['in', 'in/**'])
def test_tables_among_the_reports_are_no_reports(tmp_path, what):
    (tmp_path/'in').mkdir()
    (tmp_path/'in'/'w.csv').write_text(HEAD + ROW)
    (tmp_path/'in'/'.out.part'/'suspects').mkdir(parents=True)
    (tmp_path/'in'/'.out.part'/'suspects'/'w.csv.txt').write_text(HEAD + ROW) # a run that was killed
    for out in ('tables', 'tables', 'others'):
        run = DataHarmonizer().harmonize(tmp_path/what, tmp_path/'in'/out, quiet=True)
        assert (run.rows_out, run.refused) == (1, {}) and load_run(tmp_path/'in'/out).delivery.collect().height == 1

NAMES = ['w[1].csv', 'w*.csv', 'w[1].jsonl', 'w*.jsonl', 'w[1].json', 'w?.parquet', 'w[1].csv.gz', '[ab]{c}.jsonl']

@pytest.mark.parametrize('folder', ['plain', 'in [2026]*'])
@pytest.mark.parametrize('name', NAMES)
def test_a_file_name_is_no_pattern_where_such_a_file_exists(tmp_path, name, folder):
    (tmp_path/folder).mkdir()
    columns = HEAD.strip().split(',')
    def write(name, item):
        row,path = dict(zip(columns, ROW.strip().split(','))) | {'itemId': item, 'adSpend': '$1'}, tmp_path/folder/name
        if 'parquet' in name: pl.DataFrame([row]).write_parquet(path)
        elif 'json' in name: path.write_text(json.dumps([row]) if name.endswith('json') else json.dumps(row) + '\n')
        else: path.write_bytes((gzip.compress if name.endswith('gz') else bytes)(f'{",".join(columns)}\n{",".join(row.values())}\n'.encode()))
        return path
    for other in ('w1', 'wx', 'a'): write(other + name[name.index('.'):], 'decoy')
    run = DataHarmonizer().harmonize(write(name, 'meant'), tmp_path/folder/'out[1]', quiet=True)
    assert run.delivery.collect()['retailer_item_id'].to_list() == ['meant'] and run.rows_out == 1 and run.repaired == 1
    assert load_run(run.out).attributed.collect().height == 2 and load_run(run.out).quarantine.collect().height == 0


# Messages

@pytest.mark.parametrize('text', ['[]', ' [ ]\n', '\ufeff[]', '{}\n'])
@pytest.mark.parametrize('network', [None, 'walmart'])
def test_an_empty_list_holds_no_records(tmp_path, text, network):
    (tmp_path/'w.json').write_text(text)
    with pytest.raises(ReportError, match='w.json holds no records'): DataHarmonizer().harmonize(tmp_path/'w.json', tmp_path/'out', network, quiet=True)

def test_an_array_may_begin_with_a_byte_order_mark(tmp_path):
    row = dict(zip(HEAD.strip().split(','), ROW.strip().split(',')))
    assert harmonize(tmp_path, '\ufeff' + json.dumps([row, row]), 'w.json').rows_out == 2

def test_old_mac_line_ends_are_named(tmp_path):
    (tmp_path/'w.csv').write_bytes((HEAD + ROW).replace('\n', '\r').encode())
    with pytest.raises(ReportError, match='w.csv ends its lines with CR alone.*Save it'): DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'out', quiet=True)

def test_a_zip_from_a_mac(tmp_path):
    with zipfile.ZipFile(tmp_path/'w.zip', 'w') as z:
        for name,data in {'in/': '', 'in/w.csv': HEAD + ROW, '__MACOSX/in/._w.csv': '\0', 'in/.DS_Store': '\0'}.items(): z.writestr(name, data)
    assert DataHarmonizer().harmonize(tmp_path/'w.zip', tmp_path/'out', quiet=True).rows_out == 1
    with zipfile.ZipFile(tmp_path/'two.zip', 'w') as z:
        for name,data in {'a.csv': HEAD + ROW, 'in/b.csv': HEAD + ROW.replace('5551', '5552'), '__MACOSX/._a.csv': '\0', 'in/.DS_Store': '\0'}.items(): z.writestr(name, data)
    run = DataHarmonizer().harmonize(tmp_path/'two.zip', tmp_path/'out', quiet=True)
    assert sorted(run.delivery.select('source_report', 'retailer_item_id').collect().rows()) == [('two.zip/a.csv', '5551'), ('two.zip/in/b.csv', '5552')]


# Decimal commas

SP = 'date;campaignId;advertisedAsin;impressions;clicks;cost;campaignBudgetCurrencyCode;sales7d;purchases7d\n'

def amounts(run): return run.delivery.sort('source_row').select('impressions', pl.col('spend').cast(pl.Float64)).collect().rows()

@pytest.mark.parametrize(('rows', 'want', 'commas'), [
    (['1000;10;12,50;EUR;1.234,50;2', '1.000;10;1.234;EUR;0,5;2'], [(1000, 12.5), (1000, 1234)], True), # once commas are seen, a point is for thousands
    (['1000;10;12,50 €;EUR;(3,20);2', '1000;10;3;EUR;EUR 0,5;2'], [(1000, 12.5), (1000, 3)], True),
    (['1,000;10;1,250;EUR;12.50;2'], [(1000, 1250)], False)])
def test_the_report_shows_its_decimal_mark(tmp_path, rows, want, commas):
    run = harmonize(tmp_path, SP + ''.join(f'2026-09-01;1;B{k};{r}\n' for k,r in enumerate(rows)))
    assert amounts(run) == want and bool(run.notes) == commas

def test_where_both_marks_stand_the_point_is_kept(tmp_path):
    run = harmonize(tmp_path, SP + '2026-09-01;1;B0;1;1;12.50;EUR;1;1\n2026-09-01;1;B1;1;1;12,50;EUR;1;1\n')
    assert (amounts(run), aside(run, 'line', 'value')) == ([(1, 12.5)], [(3, '12,50')])

@pytest.mark.parametrize(('mark', 'spend'), [('.', 1234.), (',', 1.234)])
def test_the_mark_may_be_given(tmp_path, mark, spend):
    text = SP + '2026-09-01;1;B0;1;1;1,234;EUR;1;1\n'
    assert amounts(harmonize(tmp_path, text, given={'amazon': {'decimal': mark}})) == [(1, spend)]
    with pytest.raises(ReportError, match="given as ';'"): harmonize(tmp_path, text, given={'amazon': {'decimal': ';'}})

def test_a_point_in_a_report_with_commas_is_no_decimal_point(tmp_path):
    run = harmonize(tmp_path, SP + '2026-09-01;1;B0;1;1;12,50;EUR;1;1\n' + '2026-09-01;1;B1;1;1;3,00;EUR;1;1\n' * 1200 + '2026-09-01;1;B2;1;1;12.5;EUR;1;1\n')
    assert aside(run, 'line', 'value') == [(1203, '12.5')]

def test_a_group_of_thousands_never_begins_with_a_zero(tmp_path):
    assert amounts(harmonize(tmp_path, SP + '2026-09-01;1;A;1000;10;0,125;EUR;1,250;1\n')) == [(1000, .125)]
    assert aside(harmonize(tmp_path, SP + '2026-09-01;1;A;1000;10;0.125;EUR;1,25;1\n'), 'value') == [('1,25',)] # both marks: the point is kept
    run = harmonize(tmp_path, SP + '2026-09-01;1;A;1;1;1,25;EUR;1;1\n' * 1200 + '2026-09-01;1;A;1;1;0.125;EUR;1;1\n')
    assert aside(run, 'value') == [('0.125',)]

@pytest.mark.parametrize('count', ['1.000', '12.000', '1.000.000'])
def test_a_count_that_may_be_one_or_a_thousand_is_set_aside(tmp_path, count):
    assert aside(harmonize(tmp_path, HEAD + ROW + ROW.replace('1000', count)), 'column', 'value') == [('numAdsShown', count)]

def test_a_day_without_all_its_digits(tmp_path):
    assert aside(harmonize(tmp_path, HEAD + ROW + ROW.replace('2026-09-01', '2026111')), 'value') == [('2026111',)]
    assert harmonize(tmp_path, HEAD + ROW.replace('2026-09-01', '20261101')).rows_out == 1


# What is given

DATED = 'Date,Campaign,Impressions,Clicks,Ad Spend,Conversions,Unit Sales,Sales Revenue\n'

def test_a_given_day_fills_no_blank(tmp_path):
    run = harmonize(tmp_path, DATED + '2026-09-01,A,10,1,5.00,1,1,20\n,B,20,2,10.00,2,2,40\n,Total,20,2,10.00,2,2,40\n', given={'citrusad': {'event_date': '2026-09-30'}})
    assert aside(run, 'line', 'reason') == [(3, 'the date is missing'), (4, 'a row of totals')]

@pytest.mark.parametrize(('name', 'value'), [('basis', 'clicks'), ('product_match', 'foo'), ('date_order', 'us'), ('window_days', -5), ('window_days', 100_000), ('restated_days', -3), ('currency', 'dollars'), ('event_type', 'foo')])
def test_a_value_that_cannot_be_given_is_named(tmp_path, name, value):
    with pytest.raises(ReportError, match=f'{name} of criteo_retail_media is given as'): harmonize(tmp_path, CRITEO.format(1, 1), given={'criteo': {name: value}})


# Files

def test_a_line_that_is_a_list(tmp_path):
    good = json.dumps(dict(zip(HEAD.strip().split(','), ROW.strip().split(','))))
    run = harmonize(tmp_path, good + '\n[1,2]\n', 'w.jsonl')
    assert (run.rows_out, aside(run, 'line')) == (1, [(2,)])

def test_a_damaged_file_in_a_zip_leaves_the_others(tmp_path):
    with zipfile.ZipFile(tmp_path/'w.zip', 'w') as z:
        z.writestr('a.csv', HEAD + ROW)
        z.writestr('b.csv', HEAD + ROW.replace('5551', 'MARKER'))
    data = (tmp_path/'w.zip').read_bytes()
    (tmp_path/'w.zip').write_bytes(data.replace(b'MARKER', b'MARKED'))
    run = DataHarmonizer().harmonize(tmp_path/'w.zip', tmp_path/'out', quiet=True)
    assert run.rows_out == 1 and list(run.refused) == ['w.zip/b.csv'] and 'cannot be read' in run.refused['w.zip/b.csv']


def test_what_a_request_may_choose_goes_before_the_usual(tmp_path):
    "Criteo counts clicks and views unless the request asked for clicks alone; `comparable` tells people to ask for that."
    text = 'date,accountId,campaignId,lineItemId,impressions,clicks,spend,attributedSales\n2026-09-01,1,2,3,10,1,1.00,5.00\n'
    for asked,basis in ((None, 'click_and_view'), ('click', 'click')):
        (tmp_path/basis).mkdir()
        run = harmonize(tmp_path/basis, text, given={'criteo': {'basis': asked}})
        assert run.attributed.collect()['basis'].to_list() == [basis]

# What contradicts the dialect

@pytest.mark.parametrize(('text', 'network', 'name', 'value', 'says'), [
    ('Date,TCIN,Impressions,Clicks,Spend,Orders,Sales\n2026-09-01,1,1,1,1,1,1\n', 'target', 'currency', 'CAD', 'USD'),
    (CRITEO.format(1, 1), 'criteo', 'basis', 'view', 'click_and_view'), (CRITEO.format(1, 1), 'criteo', 'restated_days', 3, '5'), (CRITEO.format(1, 1), 'criteo', 'model', 'linear', 'last_touch'),
    (HEAD + ROW, 'walmart', 'window_days', 7, '14'), (HEAD + ROW, 'walmart', 'channel', 'all', 'online')])
def test_what_contradicts_the_dialect_is_refused_and_what_agrees_is_not(tmp_path, text, network, name, value, says):
    with pytest.raises(ReportError, match=f'{name} of .* is given as .*, but its dialect says {says}.*Leave it out'): harmonize(tmp_path, text, given={network: {name: value}})
    assert harmonize(tmp_path, text, given={network: {name: int(says) if says.isdigit() else says}}).rows_out == 1

def test_what_one_column_takes_may_be_given(tmp_path):
    run = harmonize(tmp_path, CRITEO.format(1, 1), given={'criteo': {'window_days': 30, 'product_match': 'same_sku'}})
    assert run.attributed.select('window_days').unique().collect()['window_days'].to_list() == [30]


# Names that are words for nothing

@pytest.mark.parametrize('spend', ['12.50', '$12.50'])
@pytest.mark.parametrize(('name', 'kept'), [('None', True), ('NA', True), ('none', True), ('', False), ('-', False), ('--', False), ('n/a', False), ('#N/A', False), ('null', False), ('NaN', False)])
def test_a_brand_may_be_called_none(tmp_path, name, kept, spend):
    run = harmonize(tmp_path, f'date,campaignId,campaignName,impressions,clicks,cost,sales14d\n2026-09-01,1,{name},10,1,{spend},9\n', given={'amazon': {'currency': 'USD'}})
    assert run.delivery.collect()['campaign_name'].to_list() == [name if kept else None]


# GTINs and UPCs

UBER = 'start_time,ad_account_id,campaign_id,ad_group_id,item_gtin,currency_code,impressions,clicks,ad_spend,units_sold_14d,sales_14d\n2026-09-01T00:00:00Z,1,1,1,{},USD,1,1,5.00,1,2.00\n'

@pytest.mark.parametrize('gtin', ['0', '00000000000000', '000000000000'])
def test_nothing_but_zeros_is_no_gtin(tmp_path, gtin):
    assert aside(harmonize(tmp_path, UBER.format(gtin)), 'column', 'value') == [('item_gtin', gtin)]

KROGER = 'Date,Campaign Name,UPC,Impressions,Clicks,Spend,Attributed Sales\n'
WHOLE = ['036000291452', '012345678905', '611269991000'] # as on the pack
BODIES = ['0003600029145', '1111041700', '0001234567890']

def kroger(tmp_path, codes):
    run = harmonize(tmp_path, KROGER + ''.join(f'2026-09-01,Fall,{c},100,2,3.50,20.00\n' for c in codes))
    return run, run.delivery.sort('source_row').collect()['gtin14'].to_list(), [v for _,v in aside(run, 'line', 'value')]

def test_upcs_with_their_check_digits_are_seen_by_the_whole_column(tmp_path):
    run,gtins,out = kroger(tmp_path, WHOLE)
    assert gtins == [w.zfill(14) for w in WHOLE] and not out and 'with its check digit' in run.notes[0]
    run,gtins,out = kroger(tmp_path, [w.zfill(13) for w in WHOLE])
    assert gtins == [w.zfill(14) for w in WHOLE] and not out and run.notes

def test_twelve_digits_that_may_be_either_are_set_aside(tmp_path):
    run,gtins,out = kroger(tmp_path, [*BODIES, WHOLE[0], f' {WHOLE[1]} '])
    assert len(gtins) == 3 and gtins[0] == '00036000291452' and [o.strip() for o in out] == WHOLE[:2] and not run.notes
    assert 'may have it' in aside(run, 'reason')[0][0]

def test_a_column_that_writes_no_check_digits_is_read_as_documented(tmp_path):
    run,gtins,out = kroger(tmp_path, [*BODIES, WHOLE[0], '400638133393', '']) # the body of an EAN does not end in a valid digit
    assert gtins[3] == read_upc_by_hand(WHOLE[0]) and gtins[4] == '04006381333931' and gtins[5] is None and not out and not run.notes

def read_upc_by_hand(body):
    digits = body.zfill(13)
    return digits + str(-sum(int(c) * (3 if i % 2 == 0 else 1) for i,c in enumerate(digits)) % 10)


# Numbers and days of other programs

@pytest.mark.parametrize('gap', ['\u202f', '\u2009', '\u00a0'])
def test_a_narrow_space_stands_between_thousands(tmp_path, gap):
    run = harmonize(tmp_path, HEAD + ROW.replace('1000', f'1{gap}000').replace('12.50', f'1{gap}234.50'))
    assert run.delivery.select('impressions', pl.col('spend').cast(pl.Float64)).collect().rows() == [(1000, 1234.5)]
    assert amounts(harmonize(tmp_path, SP + f'2026-09-01;1;B;1000;10;1{gap}234,50;EUR;1;1\n')) == [(1000, 1234.5)]

@pytest.mark.parametrize('day', ['46266', '46266.0', '46266.5'])
def test_a_day_as_a_spreadsheet_counts_is_called_so(tmp_path, day):
    (column,reason), = aside(harmonize(tmp_path, HEAD + ROW + ROW.replace('2026-09-01', day)), 'column', 'reason')
    assert column == 'date' and "spreadsheet's count of days" in reason

def test_ratios_that_are_not_carried_show_the_mark(tmp_path):
    head = SP.replace('purchases7d', 'purchases7d;costPerClick')
    run = harmonize(tmp_path, head + '2026-09-01;1;B;1.000;10;1.234;EUR;3;1;0,25\n')
    assert amounts(run) == [(1000, 1234)] and run.notes

def test_no_amount_is_read_a_hundred_times_too_large(tmp_path):
    "Whatever the first thousand rows show and the later ones write."
    seen = {'whole': '7', 'points': '12.50', 'commas': '12,50', 'thousands': '1,234'}
    for first in seen.values():
        for later in ('12,50', '12.50', '12,5', '0,99', '1.234,50', '1,234.50'):
            run = harmonize(tmp_path, SP + f'2026-09-01;1;A;1;1;{first};EUR;1;1\n' * 1200 + f'2026-09-01;1;B;1;1;{later};EUR;1;1\n')
            spend = run.delivery.filter(retailer_item_id='B').collect()['spend'].cast(pl.Float64).to_list()
            true = float(later.replace('.', '').replace(',', '.')) if later.rfind(',') > later.rfind('.') else float(later.replace(',', ''))
            assert spend in ([], [true]), (first, later)


# Two reports in one file, values that are none

def test_two_reports_in_one_file_are_told_apart(tmp_path):
    second = 'date,accountId,campaignId,lineItemId,impressions,clicks,spend,attributedSales\n2026-09-01,1,2,3,10,1,2,4\n'
    (tmp_path/'w.csv').write_text(HEAD + ROW + second)
    with pytest.raises(ReportError, match='w.csv has another header in line 3: date, accountId.*Cut it'): DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'out', quiet=True)
    run = harmonize(tmp_path, HEAD + ROW + '\ufeff' + HEAD + ROW)
    assert aside(run, 'line', 'reason') == [(3, 'the header again')]

@pytest.mark.parametrize('nested', [{'a': 1}, ['1'], [1, 2], [{'a': 1}], [[]], []])
@pytest.mark.parametrize('form', ['jsonl', 'parquet'])
def test_a_list_is_no_id(tmp_path, nested, form):
    good = dict(zip(HEAD.strip().split(','), ROW.strip().split(',')))
    if form == 'jsonl': run = harmonize(tmp_path, json.dumps(good | {'itemId': nested}) + '\n' + json.dumps(good | {'itemId': '[2026] a {b}'}), 'w.jsonl')
    else:
        pl.DataFrame([good | {'itemId': nested}], strict=False).write_parquet(tmp_path/'w.parquet')
        run = DataHarmonizer().harmonize(tmp_path/'w.parquet', tmp_path/'out', quiet=True)
    (line,column,reason), = aside(run, 'line', 'column', 'reason')
    assert (line, column) == (1, 'itemId') and reason.startswith('a list or an object') and run.rows_out == (form == 'jsonl')


# Totals that do not say so

CAMPAIGNS = 'Campaign,Impressions,Clicks,Ad Spend,Conversions,Unit Sales,Sales Revenue\n'
THREE = 'A,10,1,5.00,1,1,20\nB,20,2,10.00,2,2,40\nC,40,3,20.00,2,2,40\n'

@pytest.mark.parametrize('name', ['', 'All campaigns', 'Overall', '—', '-', 'Σ'])
def test_a_row_that_is_the_sum_of_all_others_is_no_campaign(tmp_path, name):
    run = harmonize(tmp_path, CAMPAIGNS + THREE + f'{name},70,6,"$35.00",5,5,100\n', given={'citrusad': {'currency': 'USD'}})
    assert aside(run, 'line', 'reason') == [(5, 'a row of totals: each figure is the sum of all others')]
    assert run.delivery.collect()['impressions'].sum() == 70 and run.attributed.filter(metric='sales').collect()['value'].sum() == 100
    assert json.loads(aside(run, 'row')[0][0])['Sales Revenue'] == '100'

def test_a_nameless_sum_is_seen_wherever_it_stands(tmp_path):
    assert aside(harmonize(tmp_path, CAMPAIGNS + ',70,6,35.00,5,5,100\n' + THREE), 'line') == [(2,)]

@pytest.mark.parametrize('text', [
    'A,10,1,5.00,1,1,20\nAll,10,1,5.00,1,1,20\n', # one other row: a copy as likely as a sum
    THREE + 'D,70,6,35.01,5,5,100\n', THREE + 'D,70,7,35.00,5,5,100\n', # not the sum in all
    'D,70,6,35.00,5,5,100\n' + THREE, # a name, and not the last
    'A,0,0,0,1,1,20\nB,0,0,0,2,2,40\nC,0,0,0,3,3,60\n', # nothing was delivered
    'A,1,0,0,,,\nB,1,0,0,,,\nC,2,0,0,,,\n']) # one figure alone may be chance
def test_a_campaign_that_only_looks_like_a_sum_stays(tmp_path, text):
    assert harmonize(tmp_path, CAMPAIGNS + text).quarantined == 0

def test_a_report_with_days_has_no_such_sums(tmp_path):
    rows = [ROW.replace('5551', k) for k in ('', '', '')]
    assert harmonize(tmp_path, HEAD + ''.join(rows[:2]) + rows[2].replace('1000,10,12.50,40.00,2', '2000,20,25.00,80.00,4')).quarantined == 0

def test_ids_make_a_row_no_total(tmp_path):
    target = 'Advertiser ID,TCIN,Impressions,Clicks,Spend,Orders,Sales\n7,1,10,1,1.00,1,5\n7,2,20,2,2.00,1,5\n'
    assert harmonize(tmp_path, target + '7,3,30,3,3.00,2,10\n').quarantined == 0
    assert aside(harmonize(tmp_path, target + '7,,30,3,3.00,2,10\n'), 'line') == [(4,)]

def test_an_open_quote_does_not_hide_a_total(tmp_path):
    run = harmonize(tmp_path, CAMPAIGNS + '"two\nlines",10,1,5.00,1,1,20\n' + THREE + 'All,80,7,40.00,6,6,120\n')
    assert aside(run, 'line') == [(7,)]

DAYS = HEAD + ROW.replace('5551', '5552') + ROW + ROW.replace('09-01', '09-02')

@pytest.mark.parametrize(('total', 'reason'), [
    ('2026-09-01,Total,,2000,20,25.00,80.00,4\n', 'a row of totals: each figure is the sum of others of its days'),
    ('2026-09-01,,Grand total,2000,20,25.01,80.00,4\n', 'a row of totals: each figure is the sum of others of its days'), # amounts that were rounded after they were added
    ('2026-09-02,TOTAL,,3000,30,37.50,120.00,6\n', 'a row of totals: each figure is the sum of others of its days')]) # of all days, on the last
def test_a_total_with_a_day_is_no_campaign(tmp_path, total, reason):
    run = harmonize(tmp_path, DAYS + total)
    assert aside(run, 'line', 'reason') == [(5, reason)] and run.delivery.collect()['impressions'].sum() == 3000

@pytest.mark.parametrize('row', ['2026-09-01,Total,5553,2000,20,25.02,80.00,4\n', '2026-09-01,Total,5553,2001,20,25.00,80.00,4\n', '2026-09-01,Total,5553,0,0,0.00,0.00,0\n', '2026-09-03,Total,5553,2000,20,25.00,80.00,4\n'])
def test_a_campaign_may_be_called_total(tmp_path, row):
    run = harmonize(tmp_path, DAYS + row)
    assert run.quarantined == 0 and 'Total' in run.delivery.collect()['campaign_id'].to_list()

LEVELS = 'date,campaignId,adGroupId,itemId,numAdsShown,numAdsClicks,adSpend\n'
LEAVES = '2026-09-01,1,11,5,100,10,10.00\n2026-09-01,1,11,6,200,20,20.10\n2026-09-01,1,12,5,50,5,5.00\n2026-09-01,1,12,7,50,1,1.00\n2026-09-01,2,21,5,70,7,7.00\n'

def test_subtotals_are_put_aside_under_whatever_name(tmp_path):
    totals = '2026-09-01,1,11,,300,30,30.10\n2026-09-01,1,12,,100,6,6.00\n2026-09-01,1,,,400,36,36.10\n2026-09-01,,,,470,43,43.10\n2026-09-01,Alles,,,470,43,43.10\n'
    run = harmonize(tmp_path, LEVELS + LEAVES + totals)
    assert [line for line, in aside(run, 'line')] == [7, 8, 9, 10, 11] and run.delivery.collect()['impressions'].sum() == 470

@pytest.mark.parametrize('row', ['2026-09-01,1,11,,300,30,30.20\n', '2026-09-01,2,21,,70,7,7.00\n', '2026-09-02,1,11,,300,30,30.10\n', '2026-09-01,3,31,,40,4,4.00\n', '2026-09-01,1,12,,100,0,0.00\n'])
def test_a_row_without_an_item_may_be_a_row(tmp_path, row):
    run = harmonize(tmp_path, LEVELS + LEAVES + row)
    assert run.quarantined == 0 and run.delivery.collect()['impressions'].sum() == 470 + int(row.split(',')[4])

@pytest.mark.parametrize('kept', ['numAdsShown,adSpend', 'date,numAdsShown'])
def test_what_a_report_lacks_is_said(tmp_path, kept):
    frame = pl.read_csv((HEAD + ROW).encode(), infer_schema=False).select(['itemId', 'attributedSales14days', *kept.split(',')])
    run = harmonize(tmp_path, frame.write_csv())
    assert run.notes == ['w.csv has no date: its rows have no day.' if 'Spend' in kept else 'w.csv has no adSpend: what was spent is not known.']

def test_a_day_of_pulling_that_cannot_be_is_told_of(tmp_path):
    assert harmonize(tmp_path, HEAD + ROW, as_of='1999-01-01').notes == ['w.csv is said to be pulled on 1999-01-01, before its first day, 2026-09-01.']
    assert harmonize(tmp_path, HEAD + ROW, as_of='name').notes == ['w.csv has no date in its path: it is not known when it was pulled.']

def test_amounts_that_may_be_thousands_are_told_of(tmp_path):
    text = CRITEO.replace(',', ';').replace('4.00', '4,000')
    run = harmonize(tmp_path, text.format('1,234', 2))
    assert run.notes[0].startswith("w.csv writes amounts as 1,234, which were read as thousands (decimal=',' says otherwise)") and run.delivery.collect()['spend'].item() == 1234
    assert float(harmonize(tmp_path, text.format('1,234', 2), given={'criteo': {'decimal': ','}}).delivery.collect()['spend'].item()) == 1.234
    assert not any('thousands' in n for n in harmonize(tmp_path, text.replace('4,000', '4.00').format('1,234', 2)).notes + harmonize(tmp_path, CRITEO.format('"1,234"', 2)).notes)

@pytest.mark.parametrize(('name', 'value', 'good'), [('window_days', -1, False), ('window_days', 0, False), ('window_days', 1, True), ('restated_days', 0, True), ('restated_days', -1, False), ('window_days', 401, False)])
def test_days_that_can_be_given(name, value, good):
    from rmn_lora.rmis.plan import check_given
    dialect = load_dialect('target' if name == 'restated_days' else 'criteo')
    try: check_given(dialect, {name: value})
    except ReportError as e: assert not good or 'its dialect says' in str(e)
    else: assert good

def test_a_place_for_tables_that_is_none(tmp_path):
    (tmp_path/'w.csv').write_text(HEAD + ROW)
    with pytest.raises(ReportError, match='cannot be made: Not a directory'): DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'w.csv/tables', quiet=True)

@pytest.mark.parametrize(('name', 'why'), [('nope.yaml', 'the file is not there'), ('some/where', 'the file is not there')])
def test_a_dialect_that_is_not_there(name, why):
    with pytest.raises(ReportError, match=why): load_dialect(name)

def test_a_nameless_sum_may_be_off_by_its_rounding(tmp_path):
    assert aside(harmonize(tmp_path, CAMPAIGNS + THREE + ',70,6,35.01,5,5,100\n'), 'line') == [(5,)]
    assert harmonize(tmp_path, CAMPAIGNS + THREE + ',70,6,35.05,5,5,100\n').quarantined == 0


# What stands twice in one file

def test_a_file_that_was_appended_to_says_so(tmp_path):
    run = harmonize(tmp_path, HEAD + ROW + ROW.replace('5551', '5552') + HEAD + ROW.replace('5551', '5552') + ROW.replace('5551', '5553'))
    assert run.rows_out == 4 and run.notes == ['w.csv tells 1 row again, word for word (line 5 is line 3). All were kept, so their figures add up; take out what is there by mistake.']
    assert not harmonize(tmp_path, HEAD + ROW + ROW.replace('5551', '5552')).notes

def test_null_is_not_0_where_rows_are_told_again(tmp_path):
    assert not harmonize(tmp_path, HEAD + ROW.replace('40.00,2', ',') + ROW.replace('40.00,2', '0,0')).notes

@pytest.mark.parametrize(('one', 'other'), [('Clicks', 'Impressions'), ('Conversions', 'Unit Sales')])
def test_rows_of_other_figures_are_not_the_same_again(tmp_path, one, other):
    for name,column in (('a', one), ('b', other)): (tmp_path/f'{name}.csv').write_text(f'Campaign,{column},Ad Spend,Sales Revenue\nA,5,1.00,9\nB,2,3.00,4\n')
    run = DataHarmonizer().harmonize([tmp_path/'a.csv', tmp_path/'b.csv'], tmp_path/'out', network='epsilon_citrusad', quiet=True)
    assert run.superseded_rows == 0 and run.rows_out == 4
    (tmp_path/'b.csv').write_text('Campaign,Ad Spend,Clicks,Sales Revenue\nA,1.00,5,9\nB,3.00,2,4\n'.replace('Clicks', one))
    assert DataHarmonizer().harmonize([tmp_path/'a.csv', tmp_path/'b.csv'], tmp_path/'out', network='epsilon_citrusad', quiet=True).superseded_rows == 2

@pytest.mark.parametrize(('name', 'column', 'own'), [('currency', 'currency_code', 'USD'), ('account_id', 'ad_account_id', '77')])
def test_what_is_given_stands_where_a_column_is_blank(tmp_path, name, column, own):
    head = f'day_of,campaign_id,{column},impressions,clicks,ad_spend\n'
    rows = [f'2026-01-01,{k},{own if k % 3 else ""},{" 10 " if k > 8 else 10},1,1.00\n' for k in range(12)]
    run = harmonize(tmp_path, head + ''.join(rows), given={'uber': {name: 'EUR'}})
    assert run.delivery.sort('source_row').collect()[name].to_list() == [own if k % 3 else 'EUR' for k in range(12)] and run.repaired == 3

@pytest.mark.parametrize('retailers', [['Target', 'Target', 'Tesco'], ['', '', ''], ['Target', '', 'Tesco'], ['Kroger'] * 3])
def test_a_given_retailer_beside_a_column_of_them(tmp_path, retailers):
    text = 'date,campaignId,retailerName,impressions,clicks,spend,attributedSales\n' + ''.join(f'2026-01-01,{k},{r},1,1,1,2\n' for k,r in enumerate(retailers))
    run = harmonize(tmp_path, text, given={'criteo': {'retailer': 'Kroger'}})
    for table in (run.delivery, run.attributed): assert table.sort('source_row').collect()['retailer'].to_list() == [r or 'Kroger' for r in retailers]

@pytest.mark.parametrize(('code', 'want'), [('-', None), ('+', 'aside'), ('+4006381333931', 'aside'), ('-4006381333931', 'aside'), ('4006381333931', '04006381333931')])
def test_a_code_with_a_sign_is_none(tmp_path, code, want):
    run = harmonize(tmp_path, f'day_of,campaign_id,item_gtin,impressions,clicks,ad_spend\n2026-01-01,1,{code},10,1,1\n')
    assert run.quarantined == (want == 'aside') and run.delivery.collect()['gtin14'].to_list() == ([] if want == 'aside' else [want])

@pytest.mark.parametrize('pile', [1, 3, 7, 1000])
def test_rows_told_again_are_counted_in_piles(tmp_path, monkeypatch, pile):
    monkeypatch.setattr(lanes, 'PILE', pile)
    rows = [ROW.replace('5551', f'{5550 + i}') for i in range(20)]
    run = harmonize(tmp_path, HEAD + ''.join([*rows, rows[7], rows[3], rows[7], rows[12]]))
    assert run.rows_out == 24 and run.notes[0].startswith('w.csv tells 4 rows again, word for word (line 23 is line 5).')

def test_columns_that_nobody_listed_are_named(tmp_path):
    run = harmonize(tmp_path, HEAD.replace('\n', ',videoPlays,mood\n') + ROW.replace('\n', ',5,good\n'))
    assert run.notes == ['w.csv has columns that walmart_search does not list, which were left out: videoPlays, mood.']

def test_two_item_codes_that_disagree_are_set_aside(tmp_path):
    head,row = UBER.replace('item_gtin', 'item_gtin,gtin').split('\n')[:2]
    run = harmonize(tmp_path, f'{head}\n' + row.format('00036000291452,036000291452') + '\n' + row.format('036000291452,012345678905') + '\n')
    assert aside(run, 'line', 'reason') == [(3, 'two columns for one quantity disagree')]

def test_one_bad_code_does_not_turn_a_column_of_whole_upcs(tmp_path):
    def whole(n): return next(c for c in (f'{60000000000 + 37*n:011d}{d}' for d in range(10)) if read_upc_by_hand(c[:11].zfill(13))[-12:] == c)
    codes = [whole(n) for n in range(30)]
    run,gtins,out = kroger(tmp_path, [*codes, codes[0][:-1] + str((int(codes[0][-1]) + 1) % 10)])
    assert gtins == [c.zfill(14) for c in codes] and len(out) == 1 and 'nearly every UPC' in run.notes[0]

def test_a_local_midnight_is_of_its_own_day(tmp_path):
    run = harmonize(tmp_path, ''.join(UBER.replace('2026-09-01T00:00:00Z', t).format('036000291452') if k == 0 else UBER.split('\n')[1].replace('2026-09-01T00:00:00Z', t).format('036000291452') + '\n'
        for k,t in enumerate(('2026-09-01T00:00:00+02:00', '2026-09-01 00:00:00-0700', '2026-09-01T23:30:00-07:00'))))
    assert [str(d) for d in run.delivery.sort('source_row').collect()['event_date']] == ['2026-09-01', '2026-09-01', '2026-09-02']
