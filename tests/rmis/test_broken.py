"Broken files: each ends in a clear message, and no row is lost."
import gzip
import signal
import subprocess
import sys
import zipfile

import polars as pl
import pytest
from rmn_lora.errors import ReportError
from rmn_lora.rmis.harmonize import DataHarmonizer, load_run

HEAD = 'date,campaignId,itemId,numAdsShown,numAdsClicks,adSpend,attributedSales14days\n'
ROW = '2026-09-01,100,5551,1000,10,12.50,40.00\n'
GOOD = HEAD + ROW * 3

REFUSED = {
    'empty': (b'', 'is empty'),
    'blank': (b'\n \n\n', 'is empty'),
    'binary': (b'\x00\x01\x02\x03' * 50, 'not text'),
    'png': (b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'not text'),
    'prose': (b'The report could not be generated\n', 'no header'),
    'web page': (b'<!DOCTYPE html><html><body>Sign in</body></html>', 'web page'),
    'xml': (b'<?xml version="1.0"?><Error>AccessDenied</Error>', 'web page or XML'),
    'torn gzip': (gzip.compress(GOOD.encode() * 200)[:-30], 'cannot be read'),
    'torn gzip head': (gzip.compress(GOOD.encode())[:12], 'cannot be read'),
    'gzip of nothing': (gzip.compress(b''), 'is empty'),
    'damaged gzip': (gzip.compress(GOOD.encode())[:20] + b'\xff' * 40, 'cannot be read'),
    'torn zip': (b'PK\x03\x04' + b'\0' * 30, 'cannot be read'),
    'torn parquet': (b'PAR1' + b'\0' * 20, 'cannot be read'),
    'torn array': (b'[{"date": "2026-09-01", "campaignId": 1, "sales14d": 3}, {"date": "2026', 'middle of a record'),
    'array of numbers': (b'[1, 2, 3]', 'middle of a record'),
    'array with text between': (b'[{"a": 1} oops {"b": 2}]', 'not an array of records'),
    'nobody\'s columns': (b'Datum;Kosten;Umsatz\n1;2;3\n', 'No dialect fits'),
    'anybody\'s columns': (b'date,impressions,clicks,spend\n2026-09-01,1,1,1\n', 'No dialect fits'),
    'two columns of one name': (HEAD.replace('itemId', 'campaignId').encode() + ROW.encode(), "two columns called 'campaignId'"),
}

@pytest.mark.parametrize('name', REFUSED)
def test_what_is_no_report_is_refused_with_the_reason(name, tmp_path):
    data,message = REFUSED[name]
    path = tmp_path/'report.csv'
    path.write_bytes(data)
    with pytest.raises(ReportError, match=message) as e: DataHarmonizer().harmonize(path, tmp_path/'out', quiet=True)
    assert 'report.csv' in str(e.value) or 'dialect' in str(e.value)
    assert not (tmp_path/'out').exists() and not list(tmp_path.glob('.out*'))

ACCEPTED = { # file, its text or bytes, rows in, rows quarantined, a word of the reason
    'header only': ('w.csv', HEAD, 0, 0, ''),
    'no last newline': ('w.csv', GOOD.rstrip('\n'), 3, 0, ''),
    'windows line ends': ('w.csv', GOOD.replace('\n', '\r\n'), 3, 0, ''),
    'byte-order mark': ('w.csv', '\ufeff' + GOOD, 3, 0, ''),
    'semicolons': ('w.csv', GOOD.replace(',', ';'), 3, 0, ''),
    'tabs in a .csv': ('w.csv', GOOD.replace(',', '\t'), 3, 0, ''),
    'bars': ('w.txt', GOOD.replace(',', '|'), 3, 0, ''),
    'utf-16': ('w.csv', GOOD.encode('utf-16'), 3, 0, ''),
    'latin-1': ('c.csv', GOOD.replace('itemId', 'itemId,itemName').replace('5551', '5551,Café').encode('latin-1'), 3, 0, ''),
    'gzip named csv': ('w.csv', gzip.compress(GOOD.encode()), 3, 0, ''),
    'blank lines before the header': ('w.csv', '\n\n' + GOOD, 3, 0, ''),
    'shuffled columns': ('w.csv', '\n'.join(','.join(reversed(line.split(','))) for line in GOOD.splitlines()), 3, 0, ''),
    'other case': ('w.csv', GOOD.replace('numAdsShown', 'NUMADSSHOWN'), 3, 0, ''),
    'further columns': ('w.csv', GOOD.replace('\n', ',x\n').replace('days,x', 'days,brandNew'), 3, 0, ''),
    'blank line inside': ('w.csv', HEAD + ROW + '\n' + ROW, 3, 1, 'row is empty'),
    'row of commas': ('w.csv', GOOD + ',,,,,,\n', 4, 1, 'row is empty'),
    'repeated header': ('w.csv', GOOD + HEAD + ROW, 5, 1, 'the header again'),
    'totals row': ('w.csv', GOOD + 'Total,,,3000,30,37.50,120.00\n', 4, 1, 'a row of totals'),
    'totals without a day': ('w.csv', GOOD + ',Grand total,,3000,30,37.50,120.00\n', 4, 1, 'a row of totals'),
    'totals of campaigns': ('c.csv', 'Campaign,Impressions,Clicks,Ad Spend,Conversions,Unit Sales,Sales Revenue\nTotal Tea,9,1,1.00,1,1,2.00\nTotal:,9,1,1.00,1,1,2.00\n', 2, 1, 'a row of totals'),
    'cut in the last line': ('w.csv', GOOD + '2026-09-01,100,55', 4, 1, 'fewer fields'),
    'a comma too many': ('w.csv', GOOD + ROW.replace('12.50', '12,50'), 4, 1, 'more fields'),
    'two commas too many': ('w.csv', GOOD + ROW.replace('12.50', '1,2,50'), 4, 1, 'more fields'),
    'unclosed quote': ('w.csv', HEAD + ROW + ROW.replace('5551', '"5551') + ROW, 3, 1, 'quote'),
    'unclosed quote and a bad cell': ('w.csv', HEAD + ROW + ROW.replace('5551', '"5551') + ROW.replace('2026-', '20x6-'), 3, 2, ''),
    'quoted line break': ('w.csv', (HEAD + ROW).replace('itemId', 'itemName').replace('5551', '"two\nlines"') + ROW, 2, 0, ''),
    'formula': ('w.csv', GOOD + ROW.replace('12.50', '=SUM(A1:A9)'), 4, 1, 'not a number'),
    'other currency': ('w.csv', GOOD + ROW.replace('12.50', '€12.50'), 4, 1, 'sign'),
    'day first': ('w.csv', GOOD + ROW.replace('2026-09-01', '13/09/2026'), 4, 1, 'not a date'),
    'year 26': ('w.csv', GOOD + ROW.replace('2026-09-01', '0026-09-01'), 4, 1, 'not a date'),
    'not a number': ('w.csv', GOOD + ROW.replace('12.50', 'inf'), 4, 1, 'not a number'),
    'too large': ('w.csv', GOOD + ROW.replace('12.50', '9' * 30), 4, 1, 'not a number'),
    'broken json line': ('w.jsonl', '{"date":"2026-09-01","itemId":"7","numAdsShown":1,"adSpend":1.5}\nnot json\n{"date":"2026-09-02","itemId":"7","numAdsShown":2,"adSpend":2}\n', 3, 1, 'JSON'),
    'late key': ('w.json', '[{"date":"2026-09-01","itemId":"7","numAdsShown":1,"adSpend":1.5},\n{"date":"2026-09-02","itemId":"7","numAdsShown":2,"adSpend":2,"attributedSales14days":"7.00"}]', 2, 0, ''),
    'nested value': ('w.json', '[{"date":"2026-09-01","itemId":"7","numAdsShown":{"a":1},"adSpend":1.5,"numAdsClicks":1}]', 1, 1, 'whole number'),
    'empty array': ('w.json', '[]', None, 0, 'holds no records'),
}

@pytest.mark.parametrize('name', ACCEPTED)
def test_a_report_with_broken_rows_loses_none(name, tmp_path):
    file,text,rows,aside,reason = ACCEPTED[name]
    path = tmp_path/file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if rows is None:
        with pytest.raises(ReportError, match=reason): DataHarmonizer().harmonize(path, tmp_path/'out', quiet=True)
        return
    run = DataHarmonizer().harmonize(path, tmp_path/'out', quiet=True)
    assert (run.rows_in, run.quarantined, run.rows_out) == (rows, aside, rows - aside), run.reasons()
    assert all(reason in r for r in run.quarantine.collect()['reason'])
    if name == 'late key': assert run.attributed.collect()['value'].to_list() == [7]
    if name == 'header only': assert 'no rows' in run.summary()
    if name == 'unclosed quote': assert run.quarantine.collect()['line'].to_list() == [3] and run.delivery.collect()['source_row'].sort().to_list() == [2, 4]

def test_zip_of_one_report(tmp_path):
    with zipfile.ZipFile(tmp_path/'w.zip', 'w') as z: z.writestr('w.csv', GOOD)
    assert DataHarmonizer().harmonize(tmp_path/'w.zip', tmp_path/'out', quiet=True).rows_out == 3

def test_parquet_in_any_types(tmp_path):
    pl.DataFrame({'date': ['2026-09-01'], 'campaignId': [100], 'itemId': ['007'], 'numAdsShown': [5.0], 'adSpend': [.1 + .2]}).with_columns(pl.col('date').str.to_date()).write_parquet(tmp_path/'w.parquet')
    row = DataHarmonizer().harmonize(tmp_path/'w.parquet', tmp_path/'out', quiet=True).delivery.collect().row(0, named=True)
    assert (row['campaign_id'], row['retailer_item_id'], row['impressions'], str(row['spend'])) == ('100', '007', 5, '0.300000')

def test_aliases_fill_each_other_and_must_agree(tmp_path):
    head = 'date,campaignId,adGroupId,advertisedAsin,impressions,clicks,cost,spend,sales14d\n'
    (tmp_path/'a.csv').write_text(head + '2026-09-01,1,1,B0,10,1,2.50,2.50,9\n2026-09-01,1,1,B0,10,1,,2.50,9\n2026-09-01,1,1,B0,10,1,2.50,2.51,9\n')
    run = DataHarmonizer().harmonize(tmp_path/'a.csv', tmp_path/'out', quiet=True)
    assert [float(s) for s in run.delivery.collect()['spend']] == [2.5, 2.5]
    assert run.quarantine.collect().select('line', 'column', 'reason').row(0) == (4, 'spend', 'two columns for one quantity disagree')

def test_a_failed_run_leaves_the_last_good_tables(tmp_path):
    good,bad,out = tmp_path/'good.csv', tmp_path/'bad.csv', tmp_path/'out'
    good.write_text(GOOD)
    bad.write_bytes(b'\0\0\0\0')
    before = DataHarmonizer().harmonize(good, out, quiet=True).delivery.collect()
    with pytest.raises(ReportError): DataHarmonizer().harmonize(bad, out, quiet=True)
    assert load_run(out).delivery.collect().equals(before)
    out.rename(tmp_path/'.out.old') # killed between the two renames
    assert load_run(out).rows_out == 3

def test_an_interrupted_run_leaves_the_last_good_tables(tmp_path, monkeypatch):
    path,out = tmp_path/'good.csv', tmp_path/'out'
    path.write_text(GOOD)
    DataHarmonizer().harmonize(path, out, quiet=True)
    def stop(*_): raise KeyboardInterrupt
    monkeypatch.setattr('rmn_lora.rmis.lanes._slow', stop)
    with pytest.raises(KeyboardInterrupt): DataHarmonizer().harmonize(path, out, quiet=True)
    assert load_run(out).rows_out == 3 and not list(tmp_path.glob('.out*'))

def test_a_folder_with_other_files_is_not_replaced(tmp_path):
    (tmp_path/'w.csv').write_text(GOOD)
    (tmp_path/'mine').mkdir()
    (tmp_path/'mine'/'thesis.txt').write_text('years of work')
    with pytest.raises(ReportError, match='not harmonized tables'): DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'mine', quiet=True)
    assert (tmp_path/'mine'/'thesis.txt').exists()

def test_one_bad_file_does_not_stop_the_others(tmp_path):
    (tmp_path/'in').mkdir()
    (tmp_path/'in'/'a.csv').write_text(GOOD)
    (tmp_path/'in'/'b.csv').write_bytes(b'')
    run = DataHarmonizer().harmonize(tmp_path/'in', tmp_path/'out', quiet=True)
    assert run.rows_out == 3 and list(run.refused) == ['b.csv'] and 'is empty' in run.summary()

def test_two_files_of_one_name_stay_apart(tmp_path):
    for d in ('monday', 'tuesday'):
        (tmp_path/d).mkdir()
        (tmp_path/d/'w.csv').write_text(GOOD.replace(',100,', f',{d},'))
    run = DataHarmonizer().harmonize([tmp_path/'monday', tmp_path/'tuesday'], tmp_path/'out', quiet=True)
    assert sorted(run.delivery.collect()['source_report'].unique()) == ['monday/w.csv', 'tuesday/w.csv']

def test_two_files_of_one_name_may_both_be_broken(tmp_path):
    for d in ('monday', 'tuesday'):
        (tmp_path/d).mkdir()
        (tmp_path/d/'w.csv').write_text(GOOD + ROW.replace('5551', '"5551'))
    run = DataHarmonizer().harmonize([tmp_path/'monday', tmp_path/'tuesday'], tmp_path/'out', quiet=True)
    assert run.refused == {} and sorted(run.quarantine.collect()['source_report']) == ['monday/w.csv', 'tuesday/w.csv']

def test_what_cannot_be_given_is_refused(tmp_path):
    (tmp_path/'w.csv').write_text(GOOD)
    with pytest.raises(ReportError, match='Cannot be given'): DataHarmonizer(given={'walmart': {'window': 3}}).harmonize(tmp_path/'w.csv', tmp_path/'out', quiet=True)
    with pytest.raises(ReportError, match='not a date'): DataHarmonizer(as_of='yesterday')
    with pytest.raises(ReportError, match='No report is found'): DataHarmonizer().harmonize(tmp_path/'nothing*.csv', tmp_path/'out')

def test_a_killed_run_leaves_the_last_good_tables_and_the_next_clears_up(tmp_path):
    path,out = tmp_path/'good.csv', tmp_path/'out'
    path.write_text(GOOD)
    DataHarmonizer().harmonize(path, out, quiet=True)
    code = f'import os, signal\nfrom rmn_lora.rmis import harmonize as h, lanes\nlanes._slow = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\nh.DataHarmonizer().harmonize({str(path)!r}, {str(out)!r})'
    assert subprocess.run([sys.executable, '-c', code]).returncode == -signal.SIGKILL
    assert (tmp_path/'.out.part').exists() and load_run(out).delivery.collect().height == 3
    DataHarmonizer().harmonize(path, out, quiet=True)
    assert not list(tmp_path.glob('.out*'))
