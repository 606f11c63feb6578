"Broken files: each ends in a clear message, and no row is lost."
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import zipfile

import polars as pl
import pytest
from rmn_lora.errors import ReportError
from rmn_lora.rmis.harmonize import DataHarmonizer, load_run

from typer.testing import CliRunner

HEAD = 'date,campaignId,itemId,numAdsShown,numAdsClicks,adSpend,attributedSales14days\n'
ROW = '2026-09-01,100,5551,1000,10,12.50,40.00\n'
GOOD = HEAD + ROW * 3
RECORD = dict(zip(HEAD.strip().split(','), ROW.strip().split(',')))
LINE = json.dumps(RECORD)
NOISE = random.Random(0).randbytes(5000)

def zipped(**members):
    "A zip in memory; a member's name is its key, or what stands behind it."
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w') as z:
        for name,data in members.items(): z.writestr(*(data if isinstance(data, tuple) else (name, data)))
    return out.getvalue()

def locked(data):
    "A zip whose first file says that it is encrypted."
    data = bytearray(data)
    data[data.find(b'PK\x03\x04') + 6] |= 1
    data[data.find(b'PK\x01\x02') + 8] |= 1
    return bytes(data)

def parquet(rows):
    rows.write_parquet(out := io.BytesIO())
    return out.getvalue()

TABLE = parquet(pl.DataFrame([RECORD] * 50))

REFUSED = {
    'empty': (b'', 'is empty'),
    'blank': (b'\n \n\n', 'is empty'),
    'binary': (b'\x00\x01\x02\x03' * 50, 'not text'),
    'png': (b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'not text'),
    'random bytes': (NOISE, 'NUL'),
    'random bytes without NUL': (NOISE.translate(None, b'\0\r\n'), 'control characters'),
    'program': (b'\x7fELF\x02\x01\x01' + bytes(60), 'a program'),
    'pdf': (b'%PDF-1.7\n1 0 obj, 2, 3\n', 'a PDF'),
    'rich text': (b'{\\rtf1\\ansi hello}', 'no line of its first megabyte is a JSON object'),
    'spaces': (b'   \t  ', 'is empty'),
    'byte-order mark alone': (b'\xef\xbb\xbf', 'is empty'),
    'byte-order mark of utf-16 alone': (b'\xff\xfe', 'is empty'),
    'mark of utf-16, text of utf-8': (b'\xff\xfe' + GOOD.encode(), 'byte-order mark of utf-16-le, and is utf-8'),
    'mark of the other utf-16': (b'\xfe\xff' + GOOD.encode('utf-16-le'), 'byte-order mark of utf-16-be, and is utf-16-le'),
    'mark of utf-8, text of utf-16': (b'\xef\xbb\xbf' + GOOD.encode('utf-16-le'), 'NUL'),
    'utf-32': (GOOD.encode('utf-32'), 'UTF-32'),
    'torn utf-16': (GOOD.encode('utf-16')[:-1], 'cannot be read'),
    'NUL in a cell': (GOOD.replace('12.50', '12.\x0050').encode(), 'NUL'),
    'line ends of CR alone': (GOOD.replace('\n', '\r').encode(), 'CR alone'),
    'CR in the header': ((HEAD.replace('\n', '\r') + ROW * 2).encode(), 'no header'),
    'only commas': (b',,,,,\n' * 5, 'no header'),
    'one column': (b'date\n2026-09-01\n', 'no header'),
    'only a quote': (b'"', 'no header'),
    'open quote in the header': ((HEAD.replace('itemId', '"itemId') + ROW * 3).encode(), 'every quote closed'),
    'header of one megabyte': (b'a,' * 600_000 + b'\n1,2\n', 'first line of more than 1 MB'),
    'no header': ((ROW * 3).encode(), 'No dialect fits'),
    'yaml': (b'a: 1\nb: 2\n', 'no header'),
    'title alone': (b'Performance\nMade on 2026-09-30\n', 'no header.*Let its first line be the header'),
    'prose': (b'The report could not be generated\n', 'no header'),
    'web page': (b'<!DOCTYPE html><html><body>Sign in</body></html>', 'web page'),
    'xml': (b'<?xml version="1.0"?><Error>AccessDenied</Error>', 'web page or XML'),
    'torn gzip': (gzip.compress(GOOD.encode() * 200)[:-30], 'cannot be read'),
    'torn gzip head': (gzip.compress(GOOD.encode())[:12], 'cannot be read'),
    'gzip of nothing': (gzip.compress(b''), 'is empty'),
    'damaged gzip': (gzip.compress(GOOD.encode())[:20] + b'\xff' * 40, 'cannot be read'),
    'torn zip': (b'PK\x03\x04' + b'\0' * 30, 'cannot be read'),
    'torn parquet': (b'PAR1' + b'\0' * 20, 'cannot be read'),
    'gzip with another checksum': (gzip.compress(GOOD.encode())[:-8] + b'\0\0\0\0' + gzip.compress(GOOD.encode())[-4:], 'CRC'),
    'gzip and then something else': (gzip.compress(GOOD.encode()) + b'garbage', 'cannot be read'),
    'packed twice': (gzip.compress(gzip.compress(GOOD.encode())), 'packed twice'),
    'empty zip': (zipped(), 'holds no files'),
    'zip of two strangers': (zipped(a='x', b='y'), 'holds 2 files'),
    'zip in a zip': (zipped(inner=zipped(w=GOOD)), 'a zip within'),
    'zip with a password': (locked(zipped(w=GOOD)), 'password'),
    'end of a zip torn off': (zipped(w=GOOD * 50)[:-40], 'cannot be read'),
    'document': (zipped(a=('[Content_Types].xml', '<x/>'), b=('word/document.xml', '<x/>')), 'Excel workbook'),
    'half a parquet': (TABLE[:len(TABLE) // 2], 'cannot be read'),
    'parquet with a wrong footer': (TABLE[:-8] + b'\xff\xff\xff\x7fPAR1', 'cannot be read'),
    'parquet with a damaged footer': (TABLE[:-200] + NOISE[:100] + TABLE[-100:], 'cannot be read'),
    'parquet with a damaged column': (TABLE[:60] + NOISE[:60] + TABLE[120:], 'cannot be read'),
    'parquet without columns': (parquet(pl.DataFrame()), 'no columns'),
    'torn array': (b'[{"date": "2026-09-01", "campaignId": 1, "sales14d": 3}, {"date": "2026', 'middle of a record'),
    'array of numbers': (b'[1, 2, 3]', 'middle of a record'),
    'array with text between': (b'[{"a": 1} oops {"b": 2}]', 'not an array of records'),
    'array of lists': (json.dumps([[*RECORD], [*RECORD.values()]]).encode(), 'no array of records'),
    'array of nothing': (b'[null]', 'no array of records'),
    'array of this and that': (json.dumps([RECORD, 3, None, RECORD]).encode(), 'not an array of records'),
    'array and then something else': ((json.dumps([RECORD]) + ' garbage').encode(), 'middle of a record'),
    'hundred thousand brackets': (b'[' * 100_000, 'no array of records'),
    'hundred thousand brackets, closed': (b'[' * 100_000 + b']' * 100_000, 'no array of records'),
    'hundred thousand braces': (b'{"a":' * 100_000, 'no line of its first megabyte is a JSON object'),
    'hundred thousand braces, closed': (b'{"a":' * 100_000 + b'1' + b'}' * 100_000, 'no line of its first megabyte is a JSON object'),
    'JSON number': (b'42', 'no header'),
    'JSON string': (b'"a,b,c"', 'no header'),
    'JSON null': (b'null', 'no header'),
    'record over several lines': (json.dumps(RECORD, indent=2).encode(), 'one object a line'),
    'records in an object': (json.dumps({'report': [RECORD], 'total': 1}).encode(), 'No dialect fits the columns report, total'),
    'records within records': (json.dumps([{'date': '2026-09-01', 'data': RECORD}]).encode(), 'No dialect fits the columns date, data'),
    'records in one line': ((LINE * 3).encode(), 'one object a line'),
    'one key twice': ((LINE[:-1] + ', "adSpend": "99"}\n').encode(), "two keys called 'adSpend'"),
    'one key twice in an array': (f'[{LINE[:-1]}, "adSpend": "99"}}]'.encode(), "two keys called 'adSpend'"),
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
    'title above the header': ('w.csv', 'Performance\nMade on 2026-09-30\n\n' + GOOD, 3, 0, ''),
    'title and a header': ('w.csv', 'Performance\n' + HEAD, 0, 0, ''),
    'title with commas': ('w.csv', 'Performance,,,,,,\nMade,2026-09-30,,,,,\n' + HEAD + ROW.replace('40.00', ''), 1, 0, ''),
    'title with a quoted line break': ('w.csv', '"Performance,\nSeptember"\n' + GOOD, 3, 0, ''),
    'title of eight lines': ('w.csv', ''.join(f'Filter {k},all\n' for k in range(8)) + GOOD, 3, 0, ''),
    'title and rows that are too long': ('w.csv', 'Performance\n' + GOOD + ROW.replace('\n', ',a,b\n') * 2, 5, 2, 'more fields'),
    'line for Excel above the header': ('w.csv', 'sep=;\n' + GOOD.replace(',', ';'), 3, 0, ''),
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
    'byte-order mark and a header': ('w.csv', '\ufeff' + HEAD, 0, 0, ''),
    'utf-16 without its mark': ('w.csv', GOOD.encode('utf-16-le'), 3, 0, ''),
    'the other utf-16 without its mark': ('w.csv', GOOD.encode('utf-16-be'), 3, 0, ''),
    'mark in the middle': ('w.csv', HEAD + ROW + '\ufeff' + ROW, 2, 1, 'not a date'),
    'two files glued together': ('w.csv', '\ufeff' + HEAD + ROW + '\ufeff' + HEAD + ROW, 3, 1, 'the header again'),
    'NUL far down': ('w.csv', HEAD + ROW * 60_000 + ROW.replace('5551', '55\x0051'), 60_001, 1, 'NUL'),
    'surrogates': ('w.csv', (HEAD + ROW.replace('5551', 'a\ud800b')).encode('utf-8', 'surrogatepass'), 1, 0, ''),
    'surrogates in JSON': ('w.jsonl', LINE.replace('5551', 'a\\ud800b') + '\n' + LINE, 2, 0, ''),
    'two kinds of line end': ('w.csv', HEAD.replace('\n', '\r\n') + ROW + ROW.replace('\n', '\r\n') + ROW, 3, 0, ''),
    'three kinds of line end': ('w.csv', HEAD + ROW + ROW.replace('\n', '\r') + ROW, 2, 1, 'more fields'),
    'separators of three kinds': ('w.csv', HEAD + ROW + ROW.replace(',', ';') + ROW.replace(',', '\t') + ROW, 4, 2, 'fewer fields'),
    'another separator than the header': ('w.csv', HEAD.replace(',', ';') + ROW * 3, 3, 3, 'fewer fields'),
    'quotes within a value': ('w.csv', HEAD + ROW.replace('5551', '12" pipe') + ROW.replace('5551', '"say ""hi"""') + ROW.replace('5551', 'a "b" c') + ROW, 4, 1, 'quote is not closed'),
    'text beside quotes': ('w.csv', HEAD + ROW.replace('5551', '"abc"def') + ROW, 2, 1, 'beside a quoted'),
    'a quote is opened on every line': ('w.csv', HEAD + ROW.replace('5551', '"5551') * 3000, 3000, 3000, 'quote is not closed'),
    'quotes of the other kind': ('w.csv', HEAD + ROW.replace('5551', "'a,b'") + ROW, 2, 1, 'more fields'),
    'odd spaces': ('w.csv', HEAD + ROW.replace('5551', 'a\x0bb\x0cc\x85d\u2028e'), 1, 0, ''),
    'lines of spaces': ('w.csv', HEAD + ROW + '   \n' + ROW + '\t\n', 4, 2, 'fewer fields'),
    'end of file as in DOS': ('w.csv', GOOD + '\x1a', 4, 1, 'fewer fields'),
    'numbers of 400 digits': ('w.csv', GOOD + ROW.replace('1000', '9' * 400) + ROW.replace('12.50', '9' * 400), 5, 2, 'not a'),
    '1e400': ('w.csv', GOOD + ROW.replace('12.50', '1e400') + ROW.replace('12.50', '1e15'), 5, 2, 'not a number'),
    'days that no calendar has': ('w.csv', GOOD + ''.join(ROW.replace('2026-09-01', d) for d in ('2026-02-30', '20260-01-01', '2026-13-01', '2026-00-10', '-2026-01-01', '2026-09-01 25:00', '1970-01-01', '2026-W36')), 11, 8, 'not a date'),
    'gzip of two parts': ('w.csv.gz', gzip.compress(HEAD.encode()) + gzip.compress(ROW.encode()), 1, 0, ''),
    'gzip of parquet': ('w.parquet.gz', gzip.compress(TABLE), 50, 0, ''),
    'paths out of a zip': ('w.zip', zipped(a=('../../evil.csv', GOOD), b=('/evil.csv', GOOD.replace('5551', '1'))), 6, 0, ''),
    'one path out of a zip': ('w.zip', zipped(a=('../../evil.csv', GOOD)), 3, 0, ''),
    'parquet without rows': ('w.parquet', parquet(pl.DataFrame([RECORD]).clear()), 0, 0, ''),
    'parquet with nested columns': ('w.parquet', parquet(pl.DataFrame([RECORD | {'more': {'a': 1}, 'yet': [1, 2], 'raw': b'\xff'}])), 1, 0, ''),
    'parquet with a nested amount': ('w.parquet', parquet(pl.DataFrame([RECORD | {'adSpend': {'a': 1}}])), 1, 1, 'not a number'),
    'JSON with a mark': ('w.jsonl', f'\ufeff{LINE}\n{LINE}\n', 2, 0, ''),
    'JSON with a mark on every line': ('w.jsonl', f'\ufeff{LINE}\n\ufeff{LINE}\n', 2, 0, ''),
    'JSON in utf-16': ('w.jsonl', f'{LINE}\n{LINE}'.encode('utf-16'), 2, 0, ''),
    'JSON in Latin-1': ('w.jsonl', f'{LINE.replace("5551", "Café")}\n{LINE}'.encode('latin-1'), 2, 0, ''),
    'JSON that is torn': ('w.jsonl', f'{LINE}\n{LINE[:40]}', 2, 1, 'JSON'),
    'JSON with control characters': ('w.jsonl', LINE.replace('5551', 'a\x01b') + '\n' + LINE, 2, 1, 'JSON'),
    'JSON lines of nothing': ('w.jsonl', f'{LINE}\nnull\n\n{LINE}\n', 3, 1, 'JSON'),
    'JSON objects of nothing': ('w.jsonl', '{}\n' * 3 + LINE, 4, 3, 'row is empty'),
    'JSON objects of nothing beside a torn one': ('w.jsonl', f'{{}}\nnull\n{LINE}\n', 3, 2, 'JSON'),
    'NaN and Infinity': ('w.jsonl', '\n'.join([LINE, *(LINE.replace('"12.50"', n) for n in ('NaN', 'Infinity', '-Infinity'))]), 4, 3, 'numbers can be read'),
    'NaN in an array': ('w.json', f'[{LINE.replace(chr(34) + "12.50" + chr(34), "NaN")}, {LINE}]', 2, 1, 'numbers can be read'),
    'JSON numbers of 400 digits': ('w.jsonl', '\n'.join([LINE, LINE.replace('"1000"', '9' * 400), LINE.replace('"12.50"', '1e400')]), 3, 2, 'can be read'),
    'a value of a hundred thousand brackets': ('w.jsonl', '\n'.join([LINE, LINE.replace('"5551"', '[' * 100_000 + ']' * 100_000), LINE]), 3, 1, 'JSON'),
    'comma after the last record': ('w.json', f'[{LINE},]', 1, 0, ''),
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
    assert not [p for p in tmp_path.rglob('evil*')] and [p.name for p in tmp_path.iterdir() if p != path] == ['out']
    if name == 'late key': assert run.attributed.collect()['value'].to_list() == [7]
    if name == 'header only': assert 'no rows' in run.summary()
    if name == 'unclosed quote': assert run.quarantine.collect()['line'].to_list() == [3] and run.delivery.collect()['source_row'].sort().to_list() == [2, 4]

def test_lines_above_the_header_are_counted_and_told(tmp_path):
    (tmp_path/'w.csv').write_text('Performance,Acme\n\n' + HEAD + ROW + ROW.replace('12.50', 'x'))
    run = DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'out', quiet=True)
    assert run.delivery.collect()['source_row'].to_list() == [4] and run.quarantine.collect()['line'].to_list() == [5]
    assert run.notes == ['w.csv has 2 lines above its header, which were left out.']

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

ONE_GB = 1 << 30
NO_END = {'cell': ('w.csv', HEAD + ROW + '2026-09-01,100,', ',1,1,1,1\n' + ROW), 'record': ('w.jsonl', f'{LINE}\n{LINE[:-1]}, "note": "', f'"}}\n{LINE}\n'),
          'record in an array': ('w.json', f'[{LINE},{LINE[:-1]}, "note": "', f'"}},{LINE}]'), 'line': ('w.csv', '', ''), 'zeros': ('w.csv', HEAD + ROW, '')}
WATCHED = """import resource, sys
from rmn_lora.errors import ReportError
from rmn_lora.rmis.harmonize import DataHarmonizer
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try: DataHarmonizer().harmonize(sys.argv[1], sys.argv[2], quiet=True)
except ReportError as e: print(e)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start >> 10)"""

def watched(path):
    "What a run of its own says, and by how many MB its memory grew."
    done = subprocess.run([sys.executable, '-c', WATCHED, path, path.parent/'out'], capture_output=True, text=True, check=True)
    *said,grew = done.stdout.splitlines()
    return ' '.join(said), int(grew)

@pytest.mark.skipif(sys.platform != 'linux', reason='memory is counted in other units')
@pytest.mark.parametrize('kind', NO_END)
def test_a_gigabyte_without_a_line_end_is_refused_in_little_memory(kind, tmp_path):
    name,before,after = NO_END[kind]
    with open(tmp_path/name, 'wb') as f:
        f.write(before.encode())
        if kind == 'zeros': f.truncate(ONE_GB) # a download that was preallocated and never filled
        else:
            for _ in range(ONE_GB >> 20): f.write(b'x' * (1 << 20))
        f.write(after.encode())
    said,grew = watched(tmp_path/name)
    assert any(w in said for w in ('a line of more than 16 MB', 'a record of more than 16 MB', 'a first line of more than 1 MB', 'NUL bytes')) and name in said
    assert grew < 600
    (tmp_path/name).unlink()

@pytest.mark.skipif(sys.platform != 'linux', reason='memory is counted in other units')
@pytest.mark.parametrize('name', ['w.csv.gz', 'w.json.gz', 'w.zip'])
def test_a_small_file_that_unpacks_to_very_much_has_a_clear_end(name, tmp_path):
    many = (ROW * 200_000).encode() if name != 'w.json.gz' else b' ' * 8_000_000
    if name.endswith('.gz'):
        with gzip.open(tmp_path/name, 'wb', 6) as f:
            f.write(HEAD.encode() if 'csv' in name else b'[')
            for _ in range(45): f.write(many)
    else:
        with zipfile.ZipFile(tmp_path/name, 'w', zipfile.ZIP_DEFLATED) as z, z.open('w.csv', 'w') as f:
            f.write(HEAD.encode())
            for _ in range(45): f.write(many)
    said,grew = watched(tmp_path/name)
    assert 'unpacks to more than 300 times its size' in said and grew < 600

def test_what_is_no_file_is_not_waited_for(tmp_path):
    (tmp_path/'dir.csv').mkdir()
    os.mkfifo(tmp_path/'pipe.csv')
    (tmp_path/'loop.csv').symlink_to(tmp_path/'loop.csv')
    (tmp_path/'gone.csv').symlink_to(tmp_path/'nowhere.csv')
    for name in ('dir.csv', 'pipe.csv', 'loop.csv', 'gone.csv'):
        with pytest.raises(ReportError, match=f'No report is found at .*{name}'): DataHarmonizer().harmonize(tmp_path/name, tmp_path/'out', quiet=True)
    (tmp_path/'dir.csv'/'again').symlink_to(tmp_path)
    (tmp_path/'w.csv').write_text(GOOD)
    run = DataHarmonizer().harmonize(tmp_path, tmp_path/'out', quiet=True)
    assert run.rows_out == 3 and not run.refused

def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path/'w.csv').write_text(GOOD)
    def forbidden(*_): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr('rmn_lora.rmis.reports.open_bytes', forbidden)
    with pytest.raises(ReportError, match='w.csv cannot be read.*Permission denied'): DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'out', quiet=True)

def test_ten_thousand_columns(tmp_path):
    (tmp_path/'w.csv').write_text(HEAD.strip() + ''.join(f',c{k}' for k in range(10_000)) + '\n' + (ROW.strip() + ',x' * 10_000 + '\n') * 3)
    with pytest.raises(ReportError, match='No dialect fits') as e: DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'out', quiet=True)
    assert len(str(e.value)) < 1000
    assert DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'out', 'walmart', quiet=True).rows_out == 3

def test_text_of_two_encodings_is_read_as_each_was_meant(tmp_path):
    utf,windows = (HEAD + ROW.replace('5551', 'Café') * 40_000).encode(), ROW.replace('5551', 'Café').encode('latin-1')
    for data in (HEAD.encode() + windows + utf.split(b'\n', 1)[1], utf + windows): # in the head, and far down
        (tmp_path/'w.csv').write_bytes(data)
        run = DataHarmonizer().harmonize(tmp_path/'w.csv', tmp_path/'out', quiet=True)
        assert run.rows_out == 40_001 and run.delivery.collect()['retailer_item_id'].unique().to_list() == ['Café']

FORMULAS = ["=cmd|' /C calc'!A0", '+1+1', '-2+3', '@SUM(A1)', '=HYPERLINK("http://x")']

def test_formulas_are_text(tmp_path):
    "They are kept as they stand; what is written as a workbook is covered beside `comparable`."
    lines = ''.join(f'2026-09-01,{k},"{t.replace(chr(34), chr(34) * 2)}",B0,1,1,1,1\n' for k,t in enumerate(FORMULAS))
    (tmp_path/'a.csv').write_text('date,campaignId,campaignName,advertisedAsin,impressions,clicks,cost,sales14d\n' + lines)
    run = DataHarmonizer().harmonize(tmp_path/'a.csv', tmp_path/'out', quiet=True)
    assert run.delivery.sort('source_row').collect()['campaign_name'].to_list() == FORMULAS

@pytest.mark.parametrize('name', ['empty', 'png', 'program', 'torn gzip', 'half a parquet', 'torn array', 'zip with a password', 'open quote in the header', 'one key twice', 'hundred thousand brackets', "nobody's columns"])
def test_the_command_says_it_in_a_sentence(name, tmp_path):
    from rmn_lora.cli import app
    data,message = REFUSED[name]
    (tmp_path/'report.csv').write_bytes(data)
    done = CliRunner().invoke(app, ['harmonize', str(tmp_path/'report.csv'), '--out', str(tmp_path/'out')])
    assert done.exit_code == 1 and message in done.stderr and 'Traceback' not in done.output and not (tmp_path/'out').exists()

@pytest.mark.parametrize('name', ['text beside quotes', 'NUL far down', 'NaN and Infinity', 'separators of three kinds'])
def test_the_command_tells_what_it_set_aside(name, tmp_path):
    from rmn_lora.cli import app
    file,text,rows,aside,_ = ACCEPTED[name]
    (tmp_path/file).write_text(text)
    done = CliRunner().invoke(app, ['harmonize', str(tmp_path/file), '--out', str(tmp_path/'out')])
    assert done.exit_code == 0 and f'{rows:,} rows in = {rows - aside:,} rows out' in done.output and f'{aside:,} quarantined' in done.output

def test_no_message_is_long_or_speaks_of_our_insides(tmp_path):
    for name,(data,_) in REFUSED.items():
        (tmp_path/'report.csv').write_bytes(data)
        with pytest.raises(ReportError) as e: DataHarmonizer().harmonize(tmp_path/'report.csv', tmp_path/'out', quiet=True)
        assert len(str(e.value)) < 700, name
        assert not any(w in str(e.value) for w in ('polars', 'panic', 'Traceback', 'recursion', str(tmp_path))), (name, str(e.value))
