"Dialects are checked data, and a header is recognised by what only one network says."
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rmn_lora.errors import ReportError
from rmn_lora.rmis.dialects import Column, Dialect, column_faults, detect, list_dialects, load_dialect

SIX = ['amazon_sponsored_products', 'criteo_retail_media', 'instacart_ads', 'target_roundel', 'uber_retail_ads', 'walmart_search']

def test_the_six_are_there_and_every_column_says_who_says_so():
    assert set(SIX) <= set(list_dialects())
    for d in map(load_dialect, list_dialects()):
        assert all(c.source in d.sources for c in d.columns), d.network
        assert all(c.window_days for c in d.columns if c.field.startswith('attributed.') and c.unit != 'other'), d.network

@pytest.mark.parametrize(('alias', 'network'), [('amazon', SIX[0]), ('criteo', SIX[1]), ('instacart', SIX[2]), ('target', SIX[3]), ('uber', SIX[4]), ('walmart', SIX[5])])
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
@given(st.sampled_from(SIX), st.data())
def test_a_good_part_of_a_header_is_recognised_in_any_order(network, data):
    names = [c.name for c in load_dialect(network).columns if not c.name.startswith(('event.', 'product.', 'campaign.', 'ad_group.'))]
    some = data.draw(st.permutations(names))[:max(8, len(names) * 2 // 3)]
    assert detect(some).network == network

def test_a_dialect_of_ones_own_is_recognised_beside_the_shipped():
    own = Dialect(network='corner_shop', title='Corner shop', columns=tuple(Column(name=n, field=f, unit=u, status='inferred') for n,f,u in (('q1', 'event_date', 'date'), ('q2', 'spend', 'cents'), ('q3', 'clicks', 'count'))))
    every = [*map(load_dialect, list_dialects()), own]
    assert detect(['q3', 'q2', 'q1'], every).network == 'corner_shop'
    with pytest.raises(ReportError, match='corner_shop knows 0 of 2'): detect(['x', 'y'], every)
