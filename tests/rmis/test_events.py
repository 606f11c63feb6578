"Reports of single events: baskets, their items, and what keeps an event out."
import json
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rmn_lora.errors import ReportError
from rmn_lora.rmis.harmonize import DataHarmonizer, load_run
from rmn_lora.rmis.lanes import BATCH
from rmn_lora.rmis.schema import check

NOON = '2026-09-01T12:00:00Z'

def harmonize(tmp_path, events, text=None, **given):
    (tmp_path/'e.jsonl').write_text(text or '\n'.join(map(json.dumps, events)))
    run = DataHarmonizer(given={'topsort': given}).harmonize(tmp_path/'e.jsonl', tmp_path/'out', quiet=True)
    check(run.events, 'events')
    assert run.rows_in == run.rows_out + run.quarantined and run.delivery.collect().is_empty() and run.attributed.collect().is_empty()
    return run

# What becomes of these stands in golden/topsort_events.py: a promoted product is seen in a shop, a basket of two is bought, somebody clicks without an auction
GOLDEN = [
    {'id': '001', 'occurredAt': '2026-09-01T23:30:00-05:00', 'opaqueUserId': 'u1', 'resolvedBidId': 'WyJiX01', 'entity': {'type': 'product', 'id': 'p0'}, 'channel': 'instore', 'deviceType': 'mobile'},
    {'id': '002', 'occurredAt': NOON, 'opaqueUserId': 'u1', 'items': [{'productId': '0077', 'quantity': 2, 'unitPrice': 3.50, 'vendorId': 'v1'}, {'productId': '0078', 'unitPrice': 0.1}]},
    {'id': '003', 'occurredAt': NOON, 'opaqueUserId': 'u2', 'entity': {'type': 'product', 'id': 'p9'}, 'channel': 'onsite'}]

def test_a_run_of_events_is_found_again(tmp_path):
    run = harmonize(tmp_path, GOLDEN, currency='USD', event_type='click')
    assert run.files[0].events == 4 and load_run(tmp_path/'out').events.collect().equals(run.events.collect())

def test_what_nobody_says_is_unknown(tmp_path):
    seen = harmonize(tmp_path, GOLDEN).events.collect()
    assert Counter(seen['event_type'].cast(pl.String)) == {'unknown': 2, 'purchase': 2} and seen['currency'].null_count() == 4

@pytest.mark.parametrize(('change', 'column', 'why'), [
    ({'occurredAt': '2026-09-01 12:00:00'}, 'occurredAt', 'offset'), ({'occurredAt': None}, 'occurredAt', 'missing'), ({'id': ''}, 'id', 'missing'), ({'channel': 'billboard'}, 'channel', 'onsite'),
    ({'items': 'none'}, 'items', 'list'), ({'items': {'productId': '1'}}, 'items', 'list'), ({'items': [1, 2]}, 'items', 'list'), ({'items': [{'productId': {'a': 1}}]}, 'items', 'list'),
    ({'items': [{'productId': '1', 'unitPrice': 1}, {'productId': '2', 'unitPrice': 'x'}]}, 'items[].unitPrice', 'only one way'), ({'items': [{'productId': '1', 'quantity': 1.5}]}, 'items[].quantity', 'whole'),
    ({'items': [{'productId': '1', 'quantity': 0}]}, 'items[].quantity', 'less than 1'), ({'items': [{'productId': '1', 'quantity': -1}]}, 'items[].quantity', 'whole'), ({'items': [{'productId': '1', 'unitPrice': 1}, {'productId': '2', 'unitPrice': -0.5}]}, 'items[].unitPrice', 'less than 0')])
def test_one_bad_value_keeps_its_event_out_and_no_other(tmp_path, change, column, why):
    run = harmonize(tmp_path, [GOLDEN[1], GOLDEN[0] | change, GOLDEN[1] | {'id': '9'}])
    (line,at,reason,row), = run.quarantine.select('line', 'column', 'reason', 'row').collect().rows()
    assert (line, at) == (2, column) and why in reason and json.loads(row)['opaqueUserId'] == 'u1'
    assert run.events.collect()['source_row'].to_list() == [1, 1, 3, 3]

@settings(max_examples=40)
@given(st.lists(st.tuples(st.lists(st.tuples(st.integers(1, 9), st.decimals(0, 1000, places=2)), max_size=4), st.booleans()), min_size=1, max_size=12))
def test_no_item_is_lost(tmp_path_factory, events):
    folder = tmp_path_factory.mktemp('e')
    rows = [{'id': str(k), 'occurredAt': NOON, 'opaqueUserId': 'u', 'items': [{'productId': f'p{j}', 'quantity': q, 'unitPrice': float(p)} for j,(q,p) in enumerate(items)] if items or empty else None} for k,(items,empty) in enumerate(events)]
    got = harmonize(folder, rows).events.sort('source_row', 'item').collect()
    want = [(k, j + 1, q, p) for k,(items,_) in enumerate(events, 1) for j,(q,p) in enumerate(items or [(None, None)])]
    assert got.select('source_row', 'item', 'quantity', 'unit_price').rows() == want

def test_a_long_report_is_read_a_batch_at_a_time(tmp_path):
    lines = ''.join(json.dumps(GOLDEN[1] | {'id': f'e{k}'}) + '\n' for k in range(BATCH + 5))
    run = harmonize(tmp_path, None, lines + json.dumps(GOLDEN[0] | {'occurredAt': 'never'}))
    assert (run.rows_out, run.quarantined, run.events.select(pl.len()).collect().item()) == (BATCH + 5, 1, 2 * BATCH + 10)
    assert run.quarantine.collect()['line'].to_list() == [BATCH + 6]

def test_a_report_without_its_ids_is_refused(tmp_path):
    (tmp_path/'e.jsonl').write_text(json.dumps({'occurredAt': NOON, 'opaqueUserId': 'u', 'resolvedBidId': 'b', 'channel': 'onsite'}))
    with pytest.raises(ReportError, match='no column for event_id'): DataHarmonizer().harmonize(tmp_path/'e.jsonl', tmp_path/'out', network='topsort', quiet=True)
