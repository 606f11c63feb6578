"Dialects are checked data, and a header is recognised by what only one network says."
import re

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rmn_lora.errors import ReportError
from rmn_lora.rmis.dialects import Column, Dialect, column_faults, detect, list_dialects, load_dialect
from rmn_lora.rmis.harmonize import DataHarmonizer
from rmn_lora.rmis.values import AMOUNTS

NETWORKS = ['amazon_dsp', 'amazon_sponsored_brands_display', 'amazon_sponsored_products', 'criteo_retail_media', 'epsilon_citrusad', 'instacart_ads', 'kroger_kpm', 'target_roundel', 'topsort_events', 'uber_retail_ads', 'walmart_display', 'walmart_search']

def test_all_are_there_and_every_column_says_who_says_so():
    assert set(NETWORKS) <= set(list_dialects())
    for d in map(load_dialect, list_dialects()):
        assert all(c.source in d.sources for c in d.columns), d.network
        assert all(c.window_days for c in d.columns if c.field.startswith('attributed.') and c.unit != 'other'), d.network

@pytest.mark.parametrize('network', NETWORKS)
def test_an_entry_says_what_its_name_says(network):
    "Windows, new-to-brand and channels stand in many names; the entry was typed beside them."
    d = load_dialect(network)
    for c in d.columns:
        name = c.name.lower()
        if c.field.startswith('attributed.') and (days := re.search(r'(\d+)_?d(ays)?(_|$)', name)): assert c.window_days == int(days[1]), c.name
        if c.field.startswith('attributed.') and c.unit != 'other':
            counts_buyers = c.field.endswith(('sales', 'orders', 'units'))
            assert c.ntb == (('newtobrand' in name or 'ntb' in name) if counts_buyers else None), c.name
            assert c.field != 'attributed.sales' or c.unit in AMOUNTS, c.name
            if name.startswith('instore'): assert c.channel == 'in_store', c.name
            for word in ('pickup', 'delivery'): assert not name.startswith(word) or c.channel == word, c.name
            if 'othersku' in name or 'instoreother' in name: assert c.product_match == 'other_sku', c.name
            if 'samesku' in name or 'advertisedsku' in name: assert c.product_match == 'same_sku', c.name
            if name.endswith('_linear'): assert c.model == 'linear', c.name
    assert {k.casefold() for k in d.key} <= {c.name.casefold() for c in d.columns}, 'its key names a column that it does not list'

@pytest.mark.parametrize(('alias', 'network'), [('amazon', 'amazon_sponsored_products'), ('criteo', 'criteo_retail_media'), ('instacart', 'instacart_ads'), ('target', 'target_roundel'), ('uber', 'uber_retail_ads'), ('walmart', 'walmart_search'),
    ('dsp', 'amazon_dsp'), ('amazon_sd', 'amazon_sponsored_brands_display'), ('kroger', 'kroger_kpm'), ('citrusad', 'epsilon_citrusad'), ('topsort', 'topsort_events')])
def test_aliases(alias, network): assert load_dialect(alias).network == network

def test_a_misspelt_name_is_met_with_a_near_one():
    with pytest.raises(ReportError, match="'criteo'"): load_dialect('criteoo')

def test_units_and_fields_must_suit():
    assert not column_faults(Column(name='a', field='spend', unit='micros', status='inferred'))
    for bad in (dict(field='spend', unit='id'), dict(field='campaign_id', unit='count'), dict(field='spnd', unit='currency'), dict(field='attributed.sale', unit='currency'), dict(field='attributed.sales', unit='text')):
        assert column_faults(Column(name='a', status='inferred', **bad)), bad

@pytest.mark.parametrize('change', [{'columns': [{'name': 'a', 'field': 'clicks', 'unit': 'count', 'status': 'inferred'}] * 2}, {'colums': []}, {'date_order': 'ydm'},
    {'columns': [{'name': 'a', 'field': 'attributed.sales', 'unit': 'currency', 'basis': 'clicks', 'status': 'inferred'}]}])
def test_a_wrong_yaml_is_refused(change, tmp_path):
    good = {'network': 'x', 'title': 'X', 'columns': [{'name': 'a', 'field': 'clicks', 'unit': 'count', 'status': 'inferred'}]}
    (tmp_path/'good.yaml').write_text(yaml.safe_dump(good))
    assert load_dialect(tmp_path/'good.yaml').network == 'x'
    (tmp_path/'x.yaml').write_text(yaml.safe_dump(good | change))
    with pytest.raises(ReportError, match='x.yaml is not a dialect'): load_dialect(tmp_path/'x.yaml')

@settings(max_examples=60)
@given(st.sampled_from(NETWORKS), st.data())
def test_a_good_part_of_a_header_is_recognised_in_any_order(network, data):
    names = list(dict.fromkeys(c.head for c in load_dialect(network).columns if not c.name.startswith(('event.', 'product.', 'campaign.', 'ad_group.'))))
    some = data.draw(st.permutations(names))[:max(7, len(names) * 2 // 3)]
    assert detect(some).network == network

def test_a_dialect_of_ones_own_is_recognised_beside_the_shipped():
    own = Dialect(network='corner_shop', title='Corner shop', columns=tuple(Column(name=n, field=f, unit=u, status='inferred') for n,f,u in (('q1', 'event_date', 'date'), ('q2', 'spend', 'cents'), ('q3', 'clicks', 'count'))))
    every = [*map(load_dialect, list_dialects()), own]
    assert detect(['q3', 'q2', 'q1'], every).network == 'corner_shop'
    with pytest.raises(ReportError, match='None of .*corner_shop knows any'): detect(['x', 'y'], every)

@pytest.mark.parametrize('said', ['CPC', 'cpc', ' Cpc ', 'VCPM', 'vcpm', 'FLAT', ''])
def test_another_column_decides_what_a_figure_follows(said, tmp_path):
    (tmp_path/'sd.csv').write_text(f'date,campaignId,costType,impressions,clicks,cost,sales,newToBrandSales\n2026-09-01,1,{said},1,1,1,5,2\n')
    run = DataHarmonizer().harmonize(tmp_path/'sd.csv', tmp_path/'out', quiet=True)
    want = {'cpc': 'click', 'vcpm': 'click_or_view'}.get(said.strip().lower(), 'unknown')
    assert run.attributed.select(pl.col('basis').cast(pl.String)).collect()['basis'].to_list() == [want, want]

def test_two_columns_that_become_one_quantity_are_held_against_each_other(tmp_path):
    (tmp_path/'sd.csv').write_text('date,campaignId,costType,impressions,clicks,cost,sales,salesClicks\n2026-09-01,1,CPC,1,1,1,5,4\n2026-09-01,1,VCPM,1,1,1,5,4\n')
    run = DataHarmonizer().harmonize(tmp_path/'sd.csv', tmp_path/'out', quiet=True)
    assert run.quarantine.select('line', 'reason').collect().rows() == [(2, 'two columns for one quantity disagree')]
    assert run.attributed.select(pl.col('value').cast(pl.Int64)).collect()['value'].sort().to_list() == [4, 5]

def test_a_translated_header(tmp_path):
    own = Dialect(network='laden', title='Laden', columns=(Column(name='date', also=('Datum', 'Fecha'), field='event_date', unit='date', status='inferred'),
        Column(name='clicks', also=('Klicks',), field='clicks', unit='count', status='inferred'), Column(name='spend', also=('Kosten',), field='spend', unit='currency', status='inferred')))
    (tmp_path/'a.csv').write_text('Datum,KLICKS,Kosten\n2026-09-01,3,1.50\n')
    run = DataHarmonizer(dialects=[own]).harmonize(tmp_path/'a.csv', tmp_path/'out', quiet=True)
    assert run.files[0].network == 'laden' and run.delivery.select('clicks', pl.col('spend').cast(pl.Float64)).collect().rows() == [(3, 1.5)]
    with pytest.raises(ValueError, match='Datum: listed 2 times'): Dialect(network='x', title='X', columns=(*own.columns, Column(name='Datum', field='period_end', unit='date', status='inferred')))

@pytest.mark.parametrize('header', ['Date,Campaign,Impressions,Clicks,Spend,Orders,Sales', 'Date,Impressions,Clicks,Spend,Sales', 'Date,Campaign Name,Impressions,Clicks,Spend,Revenue', 'Date,Campaign,Cost,Orders,Sales'])
def test_words_of_the_trade_name_no_network(header):
    with pytest.raises(ReportError, match='(Any network might write|No dialect fits) the columns .*knows . of .*network='): detect(header.split(','))

def test_the_candidates_are_named():
    with pytest.raises(ReportError, match='Any network might write.*target_roundel knows 6 of 7.*instacart_ads knows'): detect('Date,Campaign,Impressions,Clicks,Spend,Orders,Sales'.split(','))
    assert detect('Date,TCIN,Impressions,Clicks,Spend,Orders,Sales'.split(',')).network == 'target_roundel'

def test_a_header_that_two_networks_know_whole_is_told(tmp_path):
    text = 'date,campaignId,campaignName,impressions,clicks,cost,sales14d\n2026-09-01,1,A,10,1,12.50,9\n'
    (tmp_path/'a.csv').write_text(text)
    run = DataHarmonizer().harmonize(tmp_path/'a.csv', tmp_path/'out', quiet=True)
    assert run.notes == ['a.csv was taken for amazon_sponsored_products, but all its columns are known to amazon_sponsored_brands_display, too: say which it is (network=).']
    assert not DataHarmonizer().harmonize(tmp_path/'a.csv', tmp_path/'out', network='amazon_sponsored_products', quiet=True).notes
    (tmp_path/'a.csv').write_text(text.replace('campaignName', 'advertisedAsin'))
    assert not DataHarmonizer().harmonize(tmp_path/'a.csv', tmp_path/'out', quiet=True).notes
