"Reports typed by hand from the networks' documentation (golden/), with the canonical rows that a person expects beside them."
import gzip
import runpy
import zipfile
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from rmn_lora.rmis.harmonize import DataHarmonizer
from rmn_lora.rmis.schema import check
from xlsxwriter import Workbook

GOLDEN = {p.stem: runpy.run_path(str(p))['GOLDEN'] for p in sorted((Path(__file__).parent/'golden').glob('*.py'))}
CASES = [pytest.param(network, golden, id=f'{network}: {name}', marks=[pytest.mark.xfail(strict=True, reason=golden['fault'])] if 'fault' in golden else []) for network,some in GOLDEN.items() for name,golden in some.items()]
COLUMNS = ['source_report', 'source_row', 'metric', 'value', 'window_days', 'basis', 'product_match', 'channel', 'ntb', 'model', 'currency']
OURS = {'source_report', 'network', 'network_product', 'site_scope', 'report_key', 'source_row_hash'} # what no report of figures says

def write(path:Path, golden:dict, text:str):
    "A report as its network would hand it out."
    data = text.encode(golden.get('encoding', 'utf-8'))
    if path.suffix == '.gz': path.write_bytes(gzip.compress(data))
    elif path.suffix == '.xlsx':
        with Workbook(path) as book: sheet = book.add_worksheet(); [sheet.write_row(n, 0, row) for n,row in enumerate(golden['cells'])]
    elif path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w') as z: z.writestr(path.stem + ('.json' if text.startswith('[') else '.csv'), data)
    else: path.write_bytes(data)

def plain(value):
    "A value as a golden report spells it."
    return value if value is None or isinstance(value, (bool, int, str)) else f'{value.normalize():f}' if isinstance(value, Decimal) else str(value)

def rows_of(table:pl.LazyFrame, *by:str) -> list[dict]:
    return [{k: plain(v) for k,v in r.items()} for r in table.with_columns(pl.col(pl.Enum).cast(pl.String)).sort('source_report', *by).collect().to_dicts()]

def same(got:list[dict], want:list[dict], ours:set[str]):
    "Every value that a person wrote down is there, and none that nobody did."
    for g,w in zip(got, want, strict=True):
        assert {k: g[k] for k in w} == w
        assert {k: v for k,v in g.items() if v is not None and k not in w and k not in ours} == {}, 'a field was made up'

@pytest.mark.parametrize(('network', 'golden'), CASES)
def test_golden_report(network, golden, tmp_path):
    reports = golden['reports'] if 'reports' in golden else {golden['name']: golden.get('text', '')}
    for name,text in reports.items(): write(tmp_path/name, golden, text)
    run = DataHarmonizer(given=golden.get('given')).harmonize([tmp_path/n for n in reports], tmp_path/'out', quiet=True)
    assert {f.network for f in run.files} == {network} and run.rows_in == run.rows_out + run.quarantined + run.superseded_rows
    assert run.quarantine.select('line', 'reason').sort('line').collect().rows() == golden.get('quarantined', []), run.reasons()
    assert run.superseded.collect().rows() == golden.get('superseded', [])
    for name in ('delivery', 'attributed', 'events'): check(getattr(run, name), name)
    same(rows_of(run.delivery, 'source_row'), golden.get('delivery', []), OURS)
    same(rows_of(run.events, 'source_row', 'item'), golden.get('events', []), OURS - {'site_scope'})
    got = [[str(r[c]).lower() if c == 'ntb' else r[c] for c in COLUMNS] for r in rows_of(run.attributed.select(COLUMNS))]
    assert sorted(' '.join('-' if v in (None, 'none') else str(v) for v in (f'{report}:{row}' if len(reports) > 1 else row, *rest)) for report,row,*rest in got) == \
           sorted(' '.join(line.split()) for line in golden.get('attributed', '').splitlines() if line.strip())

def test_each_network_has_some():
    assert len(GOLDEN) == 12 and all(len(some) >= 3 for some in GOLDEN.values())
