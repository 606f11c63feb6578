"The harmonizer against the world's truth: to the last cent, dirt included."
import gzip
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rmn_lora.errors import ReportError
from rmn_lora.rmis.schema import check
from rmn_lora.rmis.world import SAMPLES, WRITERS, World, write_samples

ROOT = Path(__file__).parents[2]
FORMS = ('.csv', '.tsv.gz', '.json', '.json.gz', '.jsonl', '.csv.gz')

def compare(run, truth):
    "Delivery, attributed and quarantine are exactly what the world says."
    got = run.delivery.sort('source_row').collect()
    assert_frame_equal(got.select(truth.delivery.columns), truth.delivery)
    keys = truth.attributed.columns
    assert_frame_equal(run.attributed.select(keys).sort(keys).collect(), truth.attributed.drop_nulls('value').sort(keys))
    assert sorted(run.quarantine.collect()['line']) == sorted(truth.quarantined)
    assert (run.rows_in, run.quarantined) == (truth.rows, len(truth.quarantined))
    check(run.delivery)
    check(run.attributed, 'attributed')

@pytest.mark.parametrize(('network', 'seed'), [*((n, 1) for n in WRITERS), ('criteo_retail_media', 2), ('uber_retail_ads', 2)])
def test_every_row_is_exact_or_quarantined(network, seed, harmonizer, tmp_path):
    suffix = FORMS[(list(WRITERS).index(network) + seed) % len(FORMS)]
    truth = World(seed).write_report(network, tmp_path/f'report{suffix}', rows=700, dirt=.12)
    assert truth.planted['kind'].n_unique() >= 14 and truth.quarantined
    compare(harmonizer.harmonize(truth.path, tmp_path/'out', quiet=True), truth)

def test_dirt_that_can_be_repaired_is_repaired(harmonizer, tmp_path):
    truth = World(3).write_report('walmart_search', tmp_path/'w.csv', rows=500, dirt=.3)
    run = harmonizer.harmonize(truth.path, tmp_path/'out', quiet=True)
    assert run.repaired == truth.planted.filter(~pl.col('hopeless') & (pl.col('kind') != 'thousands')).height + \
        truth.planted.filter(kind='thousands').join(truth.delivery.with_columns(pl.col('source_row')), on='source_row').filter(pl.col('impressions') >= 1000).height

def test_quarantine_names_the_column_and_keeps_the_row(harmonizer, tmp_path):
    truth = World(4).write_report('criteo_retail_media', tmp_path/'c.csv', rows=600, dirt=.2)
    aside = harmonizer.harmonize(truth.path, tmp_path/'out', quiet=True).quarantine.collect()
    columns = {'formula': 'spend', 'decimal comma': 'spend', 'half': 'impressions', 'below zero': 'impressions', 'rounded id': 'campaignId', 'total': 'date', 'no date': 'date', 'impossible date': 'date'}
    seen = aside.join(truth.planted, left_on='line', right_on='source_row')
    for kind,column in columns.items(): assert set(seen.filter(kind=kind)['column']) == {column}, kind
    formula = seen.filter(kind='formula').row(0, named=True)
    assert formula['value'] == '#REF!' and '"spend":"#REF!"' in formula['row'] and '"accountId":"0048213"' in formula['row']

def test_windows_nest_and_the_same_seed_is_the_same_report(tmp_path):
    one,two = (World(5).write_report('amazon_sponsored_products', tmp_path/n, 200) for n in ('a.json.gz', 'b.json.gz'))
    assert one.path.read_bytes() == two.path.read_bytes()
    sales = one.attributed.filter(metric='sales', product_match='total').pivot('window_days', index='source_row', values='value')
    assert sales.select(((pl.col('1') <= pl.col('7')) & (pl.col('7') <= pl.col('14')) & (pl.col('14') <= pl.col('30'))).all()).item()
    assert World(6).write_report('amazon_sponsored_products', tmp_path/'c.json.gz', 200).path.read_bytes() != one.path.read_bytes()

def test_committed_samples_are_what_the_command_makes(tmp_path):
    write_samples(tmp_path)
    for network,suffix in SAMPLES.items():
        made,kept = (f/f'{network}{suffix}' for f in (tmp_path, ROOT/'data'))
        read = gzip.decompress if suffix.endswith('.gz') else bytes
        assert read(made.read_bytes()) == read(kept.read_bytes()), network

def test_world_refuses_what_it_does_not_know(tmp_path):
    with pytest.raises(ReportError, match='has no network'): World().write_report('kroger', tmp_path/'k.csv')
    with pytest.raises(ReportError, match='cannot write'): World().write_report('uber_retail_ads', tmp_path/'u.xlsx')
