"Workbooks and zips: each sheet and each file is a report."
import zipfile
from datetime import date, datetime

import polars as pl
import pytest
from rmn_lora.errors import ReportError
from rmn_lora.rmis.harmonize import DataHarmonizer
from xlsxwriter import Workbook

HEAD = ['date', 'campaignId', 'itemId', 'numAdsShown', 'numAdsClicks', 'adSpend', 'attributedSales14days']

def book(path, **sheets):
    "A workbook; a sheet is a list of rows."
    with Workbook(path, {'default_date_format': 'yyyy-mm-dd'}) as b:
        for name,rows in sheets.items():
            sheet = b.add_worksheet(name)
            for k,row in enumerate(rows):
                for j,cell in enumerate(row):
                    if cell is not None: (sheet.write_string if isinstance(cell, str) else sheet.write)(k, j, cell)
    return path

def harmonize(path, out, **how): return DataHarmonizer(**how).harmonize(path, out/'out', quiet=True)

def test_a_sheet_is_a_report_and_its_rows_keep_their_numbers(tmp_path):
    rows = [['Performance', None], [], HEAD, [date(2026, 9, 1), 100, '007', 1000, 10, 12.5, .1 + .2], [], [datetime(2026, 9, 2), 100, '008', 1e3, 10, '$3.00', None], ['soon', 100, '009', 1, 1, 1, 1]]
    run = harmonize(book(tmp_path/'w.xlsx', Ads=rows), tmp_path)
    assert run.delivery.sort('source_row').select('source_report', 'source_row', 'event_date', 'campaign_id', 'retailer_item_id', 'impressions', pl.col('spend').cast(pl.Float64)).collect().rows() == [
        ('w.xlsx/Ads', 4, date(2026, 9, 1), '100', '007', 1000, 12.5), ('w.xlsx/Ads', 6, date(2026, 9, 2), '100', '008', 1000, 3.)]
    assert run.attributed.collect()['value'].cast(pl.Float64).to_list() == [.3] and run.quarantine.select('line', 'value').collect().rows() == [(7, 'soon')]
    assert (run.rows_in, run.rows_out, run.quarantined) == (3, 2, 1)

def test_an_id_that_the_sheet_has_rounded_is_set_aside_and_one_kept_as_text_is_whole(tmp_path):
    run = harmonize(book(tmp_path/'w.xlsx', Ads=[HEAD, ['2026-09-01', 281474976710677123, '1', 1, 1, 1, 1], ['2026-09-01', '281474976710677123', '2', 1, 1, 1, 1], ['2026-09-01', 281474976710677, '3', 1, 1, 1, 1]]), tmp_path)
    assert run.quarantine.select('line', 'reason').collect().rows() == [(2, 'a spreadsheet has rounded this id')]
    assert run.delivery.sort('source_row').collect()['campaign_id'].to_list() == ['281474976710677123', '281474976710677']

def test_every_sheet_is_read_and_a_cover_is_a_note(tmp_path):
    path = book(tmp_path/'w.xlsx', Cover=[['Hello', 'you', 'there'], ['a', 'b', 'c']], July=[HEAD, ['2026-07-01', 1, 1, 1, 1, 1, 1]], August=[HEAD, ['2026-08-01', 1, 1, 1, 1, 1, 1]], Empty=[])
    run = harmonize(path, tmp_path)
    assert [f.report for f in run.files] == ['w.xlsx/July', 'w.xlsx/August'] and not run.refused
    assert len(run.notes) == 1 and run.notes[0].startswith('left out w.xlsx/Cover: No dialect fits')

@pytest.mark.parametrize(('sheets', 'why'), [({'Only': [['a']]}, 'no header'), ({'Only': [['date', 'adSpend', 'adSpend']]}, "two columns called 'adSpend'"), ({'Only': [['Hello', 'you', 'there'], ['a', 'b', 'c']]}, 'No dialect fits')])
def test_a_workbook_without_a_report_is_refused(tmp_path, sheets, why):
    with pytest.raises(ReportError, match=why): harmonize(book(tmp_path/'w.xlsx', **sheets), tmp_path)

@pytest.mark.parametrize('data', [b'', b'PK', b'\xd0\xcf\x11\xe0' + bytes(600)])
def test_what_is_only_called_a_workbook_is_refused(tmp_path, data):
    (tmp_path/'w.xlsx').write_bytes(data)
    with pytest.raises(ReportError, match='w.xlsx'): harmonize(tmp_path/'w.xlsx', tmp_path)

def test_a_csv_that_is_called_a_workbook_is_read_as_what_it_is(tmp_path):
    (tmp_path/'w.xlsx').write_text(','.join(HEAD) + '\n2026-09-01,1,1,1,1,1,1\n')
    assert harmonize(tmp_path/'w.xlsx', tmp_path).rows_out == 1

def test_a_cut_workbook_is_refused(tmp_path):
    whole = book(tmp_path/'w.xlsx', Ads=[HEAD, ['2026-09-01', 1, 1, 1, 1, 1, 1]]).read_bytes()
    (tmp_path/'w.xlsx').write_bytes(whole[:len(whole) // 2])
    with pytest.raises(ReportError, match='w.xlsx cannot be read'): harmonize(tmp_path/'w.xlsx', tmp_path)

def test_a_document_is_no_workbook(tmp_path):
    with zipfile.ZipFile(tmp_path/'w.xlsx', 'w') as z:
        for n in ('[Content_Types].xml', 'word/document.xml'): z.writestr(n, '<x/>')
    with pytest.raises(ReportError, match='w.xlsx cannot be read'): harmonize(tmp_path/'w.xlsx', tmp_path)

def test_more_cells_than_the_header_has(tmp_path):
    run = harmonize(book(tmp_path/'w.xlsx', Ads=[HEAD, ['2026-09-01', 1, 1, 1, 1, 1, 1, 'note'], ['2026-09-01', 1, 2, 1, 1, 1, 1]]), tmp_path)
    assert run.quarantine.select('line', 'value').collect().rows() == [(2, 'note')] and run.rows_out == 1

def test_formulas_are_text_or_what_they_give(tmp_path):
    "A workbook written by a program holds no results: the cell is empty, and nothing is run."
    with Workbook(tmp_path/'w.xlsx') as b:
        sheet = b.add_worksheet('Ads')
        sheet.write_row(0, 0, HEAD)
        sheet.write_row(1, 0, ['2026-09-01', 1, 1, 1, 1, 5, 1])
        sheet.write_formula(1, 5, '=2+3', None, 5)
        sheet.write_row(2, 0, ['2026-09-01', 1, 2, 1, 1])
        sheet.write_string(2, 5, '=CMD()')
    run = harmonize(tmp_path/'w.xlsx', tmp_path)
    assert run.delivery.collect()['spend'].cast(pl.Float64).to_list() == [5.] and run.quarantine.collect()['value'].to_list() == ['=CMD()']

def test_the_files_of_a_zip_are_reports_too(tmp_path):
    line = '2026-09-0{},1,5,100,10,1.50,2.00\n'
    with zipfile.ZipFile(tmp_path/'week.zip', 'w') as z:
        z.writestr('a/mon.csv', ','.join(HEAD) + '\n' + line.format(1))
        z.writestr('b/mon.csv', ','.join(HEAD) + '\n' + line.format(2))
        z.writestr('readme.txt', 'Nothing to see here, move on')
        z.writestr('picture.png', b'\x89PNG')
        z.write(book(tmp_path/'x.xlsx', Ads=[HEAD]), 'x.xlsx')
    run = harmonize(tmp_path/'week.zip', tmp_path)
    assert [(f.report, f.rows_out) for f in run.files] == [('week.zip/a/mon.csv', 1), ('week.zip/b/mon.csv', 1), ('week.zip/x.xlsx/Ads', 0)]
    assert list(run.refused) == ['week.zip/readme.txt']

def test_one_sheet_may_be_given_its_day(tmp_path):
    path = book(tmp_path/'w.xlsx', A=[HEAD, ['2026-09-01', 1, 1, 10, 1, 1, 1]], B=[HEAD, ['2026-09-01', 1, 1, 9, 1, 1, 1]])
    run = harmonize(path, tmp_path, given={'w.xlsx/A': {'as_of': '2026-09-03'}, 'w.xlsx/B': {'as_of': '2026-09-02'}})
    assert run.delivery.collect()['impressions'].to_list() == [10]

def test_many_cells_beside_the_table_cost_their_row_only(tmp_path):
    run = harmonize(book(tmp_path/'w.xlsx', Ads=[HEAD, ['2026-09-01', 1, 1, 1, 1, 1, 1, 'see', 'note'], ['2026-09-01', 1, 2, 1, 1, 1, 1]]), tmp_path)
    assert run.quarantine.select('line', 'value').collect().rows() == [(2, 'see, note')] and run.rows_out == 1

def test_a_workbook_in_a_zip_is_read_sheet_by_sheet(tmp_path):
    path = book(tmp_path/'w.xlsx', Cover=[['Hello', 'you', 'there'], ['a', 'b', 'c']], July=[HEAD, ['2026-07-01', 1, 1, 1, 1, 1, 1]], August=[HEAD, ['2026-08-01', 1, 1, 1, 1, 1, 1]])
    with zipfile.ZipFile(tmp_path/'one.zip', 'w') as z: z.write(path, 'in/w.xlsx')
    run = harmonize(tmp_path/'one.zip', tmp_path)
    assert [f.report for f in run.files] == ['one.zip/in/w.xlsx/July', 'one.zip/in/w.xlsx/August'] and run.rows_out == 2 and not run.refused
    assert run.notes[0].startswith('left out one.zip/in/w.xlsx/Cover') and set(run.delivery.collect()['source_row']) == {2}
    with zipfile.ZipFile(tmp_path/'two.zip', 'w') as z:
        z.write(path, 'w.xlsx')
        z.writestr('broken.xlsx', path.read_bytes()[:400])
        z.writestr('w.csv', ','.join(HEAD) + '\n2026-09-01,1,5,100,10,1.50,2.00\n')
    run = harmonize(tmp_path/'two.zip', tmp_path, given={'two.zip/w.xlsx/July': {'as_of': '2026-09-30'}})
    assert run.rows_out == 3 and list(run.refused) == ['two.zip/broken.xlsx'] and 'cannot be read' in run.refused['two.zip/broken.xlsx']

TITLES = [['Account', 'Acme'], ['Account', 'Acme', 'from', '2026-09-01', 'to', '2026-09-30'], ['Report of', None, 'date']]

@pytest.mark.parametrize('title', TITLES)
@pytest.mark.parametrize('names', [HEAD, ['q1', 'q2', 'q3', 'q4', 'q5', 'q6', 'q7']])
def test_a_title_is_no_header(tmp_path, title, names):
    from rmn_lora.rmis.dialects import load_dialect
    own = load_dialect('walmart').model_copy(update={'network': 'own', 'columns': tuple(c.model_copy(update={'name': f'q{HEAD.index(c.name) + 1}'}) for c in load_dialect('walmart').columns if c.name in HEAD)})
    rows = [title, [], names, ['2026-09-01', 100, '007', 1000, 10, 12.5, 40], ['2026-09-02', 100, '007', 1000, 10, 12.5, None], ['2026-09-03', 100, '007', 1000, 10, 12.5, 40, 'a', 'note']]
    run = harmonize(book(tmp_path/'w.xlsx', Ads=rows), tmp_path, dialects=[own])
    assert run.delivery.sort('source_row').collect()['source_row'].to_list() == [4, 5] and run.quarantine.collect()['line'].to_list() == [6]

def test_a_workbook_that_unpacks_to_very_much_is_not_opened(tmp_path):
    with zipfile.ZipFile(tmp_path/'w.xlsx', 'w', zipfile.ZIP_DEFLATED) as z, z.open('xl/worksheets/sheet1.xml', 'w') as f:
        for _ in range(45): f.write(bytes(8_000_000))
    with pytest.raises(ReportError, match='w.xlsx unpacks to 343 MB'): harmonize(tmp_path/'w.xlsx', tmp_path)

def test_a_workbook_without_sheets_and_one_with_merged_cells(tmp_path):
    whole = book(tmp_path/'w.xlsx', Ads=[HEAD])
    with zipfile.ZipFile(whole) as z: parts = {n: z.read(n) for n in z.namelist()}
    parts['xl/workbook.xml'] = parts['xl/workbook.xml'].split(b'<sheets>')[0] + b'<sheets/></workbook>'
    with zipfile.ZipFile(whole, 'w') as z:
        for n,data in parts.items(): z.writestr(n, data)
    with pytest.raises(ReportError, match='w.xlsx has no sheet with cells'): harmonize(whole, tmp_path)
    with Workbook(tmp_path/'m.xlsx') as b:
        sheet = b.add_worksheet('Ads')
        sheet.merge_range(0, 0, 0, 6, 'Performance of September')
        sheet.write_row(1, 0, HEAD)
        sheet.write_row(2, 0, ['2026-09-01', 100, '7', 1000, 10, 12.5, 40])
        sheet.merge_range(3, 0, 3, 6, 'Nothing else')
    run = harmonize(tmp_path/'m.xlsx', tmp_path)
    assert run.rows_out == 1 and run.quarantine.collect()['line'].to_list() == [4]

def test_a_damaged_sheet_or_zip_costs_only_itself(tmp_path):
    whole = book(tmp_path/'w.xlsx', Ads=[HEAD, ['2026-09-01', 1, 1, 1, 1, 1, 1]])
    with zipfile.ZipFile(whole) as z: parts = {n: z.read(n) for n in z.namelist()}
    sheet = next(n for n in parts if n.endswith('sheet1.xml'))
    with zipfile.ZipFile(tmp_path/'broken.xlsx', 'w') as z:
        for n,data in parts.items(): z.writestr(n, data[:len(data) // 2] + b'<<' if n == sheet else data)
    with zipfile.ZipFile(tmp_path/'two.zip', 'w') as z:
        for n in 'ab': z.writestr(f'{n}.csv', 'x' * 1000)
    data = bytearray((tmp_path/'two.zip').read_bytes())
    at = data.rfind(b'PK\x01\x02')
    data[at:at + 4] = b'XXXX'
    (tmp_path/'two.zip').write_bytes(data)
    run = harmonize([whole, tmp_path/'broken.xlsx', tmp_path/'two.zip'], tmp_path)
    assert run.rows_out == 1 and all('cannot be read' in w for w in run.refused.values()) and len(run.refused) == 2

def test_a_file_that_may_not_be_read_costs_only_itself(tmp_path, monkeypatch):
    import builtins
    good,bad = tmp_path/'a.csv', tmp_path/'b.csv'
    for f in (good, bad): f.write_text(','.join(HEAD) + '\n2026-09-01,1,5,100,10,1.50,2.00\n')
    real = builtins.open
    def locked(path, *how, **more):
        if str(path) == str(bad): raise PermissionError(13, 'Permission denied', str(path))
        return real(path, *how, **more)
    monkeypatch.setattr(builtins, 'open', locked)
    run = harmonize([good, bad], tmp_path)
    assert run.rows_out == 1 and 'Permission denied' in run.refused['b.csv']
