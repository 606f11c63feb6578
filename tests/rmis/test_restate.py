"The same row told twice: the later report holds, the same again counts once, a contradiction is set aside."
from collections import defaultdict

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rmn_lora.errors import ReportError
from rmn_lora.rmis.comparable import comparable
from rmn_lora.rmis.harmonize import DataHarmonizer, date_in, load_run
from rmn_lora.rmis.schema import check

HEAD = 'date,campaignId,itemId,numAdsShown,numAdsClicks,adSpend,attributedSales14days\n'

def line(day, campaign, clicks, sales='1.00', date='2026-09-{:02}'): return f'{date.format(day)},{campaign},5,100,{clicks},1.50,{sales}\n'

def harmonize(folder, reports, as_of=None, **how):
    "Reports by name; they are read in the order of their names."
    for name,text in reports.items(): (folder/name).write_text(text if text.startswith(('date', 'Campaign')) else HEAD + text)
    given = {n: {'as_of': d} for n,d in (as_of or {}).items() if d}
    run = DataHarmonizer(given=given | how.pop('given', {}), **how).harmonize([folder/n for n in sorted(reports)], folder/'out', quiet=True)
    assert run.rows_in == run.rows_out + run.quarantined + run.superseded_rows
    assert run.rows_out == run.delivery.select(pl.len()).collect().item() and run.superseded_rows == run.superseded.select(pl.len()).collect().item() and run.quarantined == run.quarantine.select(pl.len()).collect().item()
    check(run.delivery)
    check(run.attributed, 'attributed')
    assert run.attributed.join(run.delivery, on=['source_report', 'source_row'], how='anti').collect().is_empty()
    assert load_run(folder/'out').counts().equals(run.counts())
    return run

def told(run): return sorted(run.delivery.select('source_report', 'source_row', 'clicks').collect().rows())
def aside(run): return sorted(run.quarantine.select('source_report', 'line', 'reason').collect().rows())
def replaced(run): return sorted(run.superseded.collect().rows())

def test_the_report_that_was_pulled_later_holds(tmp_path):
    run = harmonize(tmp_path, {'a.csv': line(1, 1, 10) + line(2, 1, 20), 'b.csv': line(2, 1, 19) + line(3, 1, 30)}, {'a.csv': '2026-09-03', 'b.csv': '2026-09-04'})
    assert told(run) == [('a.csv', 2, 10), ('b.csv', 2, 19), ('b.csv', 3, 30)] and replaced(run) == [('a.csv', 3, 'b.csv', 2)]
    assert run.equation().endswith('+ 1 superseded')

def test_a_report_that_was_read_first_may_have_been_pulled_later(tmp_path):
    run = harmonize(tmp_path, {'a.csv': line(2, 1, 19), 'b.csv': line(2, 1, 20)}, {'a.csv': '2026-09-04', 'b.csv': '2026-09-03'})
    assert told(run) == [('a.csv', 2, 19)] and replaced(run) == [('b.csv', 2, 'a.csv', 2)]

@pytest.mark.parametrize('as_of', [None, {'a.csv': '2026-09-30', 'b.csv': '2026-09-30'}])
def test_the_same_file_twice_changes_nothing(tmp_path, as_of):
    text = line(1, 1, 10) + line(2, 1, 20)
    run = harmonize(tmp_path, {'a.csv': text, 'b.csv': text}, as_of)
    assert told(run) == [('a.csv', 2, 10), ('a.csv', 3, 20)] and replaced(run) == [('b.csv', 2, 'a.csv', 2), ('b.csv', 3, 'a.csv', 3)] and not aside(run)

def test_the_same_row_in_another_notation_is_the_same_row(tmp_path):
    run = harmonize(tmp_path, {'a.csv': line(1, 1, 10), 'b.csv': line(1, 1, 10, '" $1.00 "', '2026/09/{:02}')})
    assert told(run) == [('a.csv', 2, 10)] and len(replaced(run)) == 1

@pytest.mark.parametrize(('as_of', 'why'), [(None, 'nobody said'), ({'a.csv': '2026-09-30', 'b.csv': '2026-09-30'}, 'both were pulled on 2026-09-30'), ({'a.csv': '2026-09-30'}, 'nobody said')])
@pytest.mark.parametrize('other', [line(1, 1, 11), line(1, 1, 10, '2.00'), line(1, 1, 10, '')])
def test_a_contradiction_is_set_aside_and_named(tmp_path, as_of, why, other):
    run = harmonize(tmp_path, {'a.csv': line(1, 1, 10), 'b.csv': other}, as_of)
    (report,at,reason), = aside(run)
    assert (report, at) == ('b.csv', 2) and reason.startswith('differs from a.csv, line 2') and why in reason
    assert told(run) == [('a.csv', 2, 10)]

def test_rows_that_one_report_does_not_tell_apart_stand_or_fall_together(tmp_path):
    two = line(1, 1, 10) + line(1, 1, 11)
    run = harmonize(tmp_path, {'a.csv': two, 'b.csv': line(1, 1, 12) + line(1, 1, 13)}, {'a.csv': '2026-09-03', 'b.csv': '2026-09-04'})
    assert told(run) == [('b.csv', 2, 12), ('b.csv', 3, 13)]
    assert told(harmonize(tmp_path, {'a.csv': two}))[1:] == [('a.csv', 3, 11)]

SP = 'date,campaignId,advertisedAsin,searchTerm,impressions,clicks,cost,sales7d,purchases7d\n'

def test_a_column_that_is_not_carried_tells_rows_apart(tmp_path):
    rows = [f'2026-09-01,1,B0,{term},10,{k},1.00,2.00,1\n' for k,term in enumerate(('tea', 'green tea'))]
    run = harmonize(tmp_path, {'a.csv': SP + rows[0], 'b.csv': SP + rows[1]})
    assert len(told(run)) == 2 and not replaced(run) and not run.notes

def test_a_renamed_campaign_is_the_same_campaign(tmp_path):
    head = SP.replace('searchTerm', 'campaignName')
    run = harmonize(tmp_path, {'a.csv': head + '2026-09-01,1,B0,Fall,10,1,1.00,2.00,1\n', 'b.csv': head + '2026-09-01,1,B0,Autumn,10,1,1.00,2.00,1\n'}, {'a.csv': '2026-09-02', 'b.csv': '2026-09-03'})
    assert run.delivery.collect()['campaign_name'].to_list() == ['Autumn']

def test_another_grain_is_told(tmp_path):
    run = harmonize(tmp_path, {'a.csv': SP + '2026-09-01,1,B0,tea,10,1,1.00,2.00,1\n', 'b.csv': SP.replace('searchTerm,', '') + '2026-09-01,1,B0,10,1,1.00,2.00,1\n'})
    assert len(told(run)) == 2 and run.notes == ['a.csv and b.csv tell the same days at different grain (searchTerm only in one): do not add them.']
    assert run.notes[0] in run.summary()

CITRUS = 'Campaign,Impressions,Clicks,Ad Spend,Conversions,Unit Sales,Sales Revenue\n'

def test_rows_without_a_day_are_never_taken_for_each_other(tmp_path):
    month = CITRUS + 'Tea,700,5,4.25,2,3,18.90\n'
    run = harmonize(tmp_path, {'a.csv': month, 'b.csv': month.replace('700', '900'), 'c.csv': month})
    assert [r[:2] for r in told(run)] == [('a.csv', 2), ('b.csv', 2)] and replaced(run) == [('c.csv', 2, 'a.csv', 2)]
    days = {n: {'event_date': d, 'as_of': '2026-10-01'} for n,d in (('a.csv', '2026-08-01'), ('b.csv', '2026-09-01'))}
    assert len(told(harmonize(tmp_path, {'a.csv': month, 'b.csv': month}, given=days))) == 2

EVENT = '{{"id": "{}", "occurredAt": "2026-09-01T12:00:00Z", "opaqueUserId": "{}", "resolvedBidId": null, "entity": {{"id": "p"}}, "items": [{{"productId": "1", "quantity": {}}}], "channel": "onsite"}}\n'

def test_an_event_that_is_sent_twice_counts_once(tmp_path):
    (tmp_path/'a.jsonl').write_text(EVENT.format('e1', 'u', 1) + EVENT.format('e2', 'u', 1) + EVENT.format('e1', 'u', 1))
    (tmp_path/'b.jsonl').write_text(EVENT.format('e2', 'u', 2) + EVENT.format('e3', 'u', 1) + EVENT.format('e1', 'u', 1))
    run = DataHarmonizer().harmonize([tmp_path/'a.jsonl', tmp_path/'b.jsonl'], tmp_path/'out', quiet=True)
    assert run.events.sort('event_id').select('event_id', 'source_report', 'source_row').collect().rows() == [('e1', 'a.jsonl', 1), ('e2', 'a.jsonl', 2), ('e3', 'b.jsonl', 2)]
    assert replaced(run) == [('a.jsonl', 3, 'a.jsonl', 1), ('b.jsonl', 3, 'a.jsonl', 1)]
    assert aside(run) == [('b.jsonl', 1, 'differs from a.jsonl, line 2: an event with the same id was sent before, and says something else')]
    assert (run.rows_in, run.rows_out, run.quarantined, run.superseded_rows) == (6, 3, 1, 2)

@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([None, 1, 2, 3]), st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(0, 2)), max_size=5)), min_size=1, max_size=4))
def test_what_is_left_is_what_a_person_would_leave(tmp_path_factory, files):
    "Rows (day, campaign, clicks) in reports that were pulled on some day, or nobody knows when."
    folder = tmp_path_factory.mktemp('r')
    names = [f'{k}.csv' for k in range(len(files))]
    run = harmonize(folder, {n: HEAD + ''.join(line(*row) for row in rows) for n,(_,rows) in zip(names, files)}, {n: f'2026-10-0{d}' if d else None for n,(d,_) in zip(names, files)})
    tells = defaultdict(dict) # key → report → its rows
    for k,(_,rows) in enumerate(files):
        for at,(day,campaign,clicks) in enumerate(rows, 2): tells[day, campaign].setdefault(k, []).append((at, clicks))
    stay,differ = [], []
    for reports in tells.values():
        pulled = {k: files[k][0] for k in reports}
        newest = list(pulled) if None in pulled.values() else [k for k in pulled if pulled[k] == max(pulled.values())]
        holds = min(newest)
        stay += [(names[holds], at, clicks) for at,clicks in reports[holds]]
        says = {k: sorted(c for _,c in reports[k]) for k in reports}
        differ += [(names[k], at) for k in newest if says[k] != says[holds] for at,_ in reports[k]]
    assert told(run) == sorted(stay) and [r[:2] for r in aside(run)] == sorted(differ)

@pytest.mark.parametrize(('path', 'day'), [('x/2026-09-30/w.csv', '2026-09-30'), ('w_20260930.csv', '2026-09-30'), ('2025-01-01/w_2026-09-30.csv', '2026-09-30'), ('w_99999999.csv', None), ('w_20261399.csv', None), ('120260930.csv', None), ('w.csv', None)])
def test_the_date_in_a_name(path, day): assert str(date_in(path)) == str(day)

def test_the_day_of_a_report_may_stand_in_its_name(tmp_path):
    run = harmonize(tmp_path, {'w_2026-09-03.csv': line(1, 1, 10), 'w_2026-09-04.csv': line(1, 1, 11)}, as_of=None) # nobody said that names tell
    assert len(aside(run)) == 1
    run = DataHarmonizer(as_of='name').harmonize(tmp_path/'w_*.csv', tmp_path/'out', quiet=True)
    assert told(run) == [('w_2026-09-04.csv', 2, 11)] and run.counts()['as_of'].to_list() == ['2026-09-03', '2026-09-04']

def test_what_is_given_for_no_report_is_refused(tmp_path):
    with pytest.raises(ReportError, match="'b.csv', which is none"): harmonize(tmp_path, {'a.csv': line(1, 1, 1)}, {'b.csv': '2026-09-01'})

def test_a_later_report_that_tells_less_is_told_of(tmp_path):
    run = harmonize(tmp_path, {'a.csv': line(1, 1, 10), 'b.csv': HEAD.replace(',attributedSales14days', '') + line(1, 1, 11)[:-6] + '\n'}, {'a.csv': '2026-09-03', 'b.csv': '2026-09-04'})
    assert told(run) == [('b.csv', 2, 11)] and run.notes == ['b.csv replaces rows of a.csv, and does not tell their attributedSales14days.']

def dayless(*names): return [f'{n} has no Date: its rows have no day.' for n in names]

def test_reports_without_days_that_share_names_are_told_of(tmp_path):
    month = CITRUS + 'Tea,700,5,4.25,2,3,18.90\nCoffee,10,1,1.00,0,0,0\n'
    run = harmonize(tmp_path, {'a.csv': month, 'b.csv': month.replace('700', '900'), 'c.csv': month, 'd.csv': CITRUS + 'Cocoa,700,5,4.25,2,3,18.90\n'})
    assert run.notes == [*dayless('a.csv', 'b.csv', 'c.csv', 'd.csv'), 'a.csv and b.csv have no dates and share 2 rows by name; both were kept, so their figures add up. If they cover the same period, leave one out; else give each its date (event_date).']
    days = {n: {'event_date': d, 'as_of': '2026-10-01'} for n,d in (('a.csv', '2026-08-01'), ('b.csv', '2026-09-01'), ('c.csv', '2026-07-01'), ('d.csv', '2026-07-01'))}
    assert harmonize(tmp_path, {'a.csv': month, 'b.csv': month.replace('700', '900')}, given={n: days[n] for n in ('a.csv', 'b.csv')}).notes == []

PERIOD = 'startDate,endDate,campaignId,impressions,clicks,cost,campaignBudgetCurrencyCode,sales14d\n'
def period(first, last, campaign=1): return f'2026-08-{first:02},2026-08-{last:02},{campaign},100,{last},1.50,USD,1.00\n'

@pytest.mark.parametrize(('a', 'b', 'warned'), [
    ([(1, 31)], [(1, 15)], 'a.csv and b.csv tell periods that overlap: do not add them.'),
    ([(1, 7), (8, 14)], [(10, 20)], 'a.csv and b.csv tell periods that overlap: do not add them.'),
    ([(1, 7), (8, 14)], [(15, 21), (22, 28)], None),
    ([(1, 31), (1, 15)], [], 'a.csv tells periods that overlap: do not add its rows.')])
def test_periods_that_overlap_are_told_and_not_compared(tmp_path, a, b, warned):
    for name,some in (('a.csv', a), ('b.csv', b)):
        if some: (tmp_path/name).write_text(PERIOD + ''.join(period(*p) for p in some))
    run = DataHarmonizer(as_of='2026-10-31').harmonize(sorted(tmp_path.glob('*.csv')), tmp_path/'out', network='amazon_sponsored_products', quiet=True)
    assert run.notes == [warned] * bool(warned)
    if warned:
        for again in (run, load_run(tmp_path/'out')):
            with pytest.raises(ReportError, match=warned[:20]): comparable(again)
    else: assert comparable(run).spend == 6

def test_a_table_without_days_beside_one_with_them_is_told(tmp_path):
    campaigns = 'Campaign,Impressions,Clicks,Ad Spend,Conversions,Unit Sales,Sales Revenue\n'
    (tmp_path/'a.csv').write_text(campaigns + 'Fall,10,1,5.00,1,1,20\n')
    (tmp_path/'b.csv').write_text('Date,' + campaigns + '2026-09-01,Fall,10,1,5.00,1,1,20\n')
    run = DataHarmonizer().harmonize([tmp_path/'a.csv', tmp_path/'b.csv'], tmp_path/'out', quiet=True)
    assert run.notes == [*dayless('a.csv'), 'a.csv has no dates, and b.csv has: do not add them, unless they cover different periods (then give the first its date, event_date).']

def test_two_accounts_with_campaigns_of_one_name(tmp_path):
    head = 'Date,Campaign Name,UPC,Impressions,Clicks,Spend,Attributed Sales\n'
    for name,spend in (('a.csv', 1), ('b.csv', 7)): (tmp_path/name).write_text(head + ''.join(f'2026-09-0{d},Always On,3600029145,10,1,{spend}.00,2.00\n' for d in range(1, 5)))
    def run(**given): return DataHarmonizer(given={n: {'as_of': d} | given.get(n[0], {}) for n,d in (('a.csv', '20260930'), ('b.csv', '2026-10-01'))}).harmonize([tmp_path/'a.csv', tmp_path/'b.csv'], tmp_path/'out', quiet=True)
    assert (lost := run()).superseded_rows == 4 and lost.notes == ['b.csv replaces 4 rows of a.csv, 4 of them with other figures. If they are of two accounts or retailers, give each its own (account_id, retailer).']
    both = run(a={'account_id': 'A'}, b={'account_id': 'B'})
    assert both.rows_out == 8 and not both.notes and sorted(both.delivery.collect()['account_id'].unique()) == ['A', 'B']
    assert 'account_id of kroger_kpm is given as 7' in run(a={'account_id': 7}).refused['a.csv']

def test_the_later_pull_holds_however_its_day_is_written(tmp_path):
    run = harmonize(tmp_path, {'a.csv': line(1, 1, 5), 'b.csv': line(1, 1, 7)}, as_of={'a.csv': '20260930', 'b.csv': '2026-10-05'})
    assert told(run) == [('b.csv', 2, 7)] and [f.as_of for f in run.files] == ['2026-09-30', '2026-10-05']
