"The number that can be presented: found by force here, and by the workbench."
import zipfile
from datetime import date
from decimal import Decimal as D

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rmn_lora.errors import ReportError
from rmn_lora.rmis.comparable import KIND, comparable, settled, write_workbook
from rmn_lora.rmis.harmonize import DataHarmonizer, HarmonizeRun
from rmn_lora.rmis.lanes import FileResult
from rmn_lora.rmis.schema import ATTRIBUTED, DELIVERY

LIKE = dict(window_days=14, basis='click', product_match='total', channel='online', ntb=False, model='last_touch', currency='USD', final=True)
WALMART = 'date,campaignId,itemId,numAdsShown,numAdsClicks,adSpend,attributedSales14days,attributedSales30days\n'
AMAZON = 'date,campaignId,advertisedAsin,impressions,clicks,cost,campaignBudgetCurrencyCode,sales7d,sales14d,purchases14d\n'
UBER = 'start_time,ad_account_id,campaign_id,ad_group_id,item_gtin,currency_code,impressions,clicks,ad_spend,units_sold_14d,sales_14d\n'

def run_of(tmp_path, rows):
    "A run from rows: network, spend, currency, and claims (value, changes of LIKE)."
    for t in ('delivery', 'attributed'): (tmp_path/t).mkdir(parents=True, exist_ok=True)
    delivery = [dict(source_report='r', source_row=k, network=n, event_date=date(2026, 9, 1), spend=None if s is None else D(s), currency=c) for k,(n,s,c,_) in enumerate(rows)]
    claims = [dict(source_report='r', source_row=k, network=n, event_date=date(2026, 9, 1), metric='sales', value=D(v)) | LIKE | {'currency': c} | change for k,(n,_,c,told) in enumerate(rows) for v,change in told]
    for t,data,schema in (('delivery', delivery, DELIVERY), ('attributed', claims, ATTRIBUTED)):
        pl.DataFrame([{c: r.get(c) for c in schema} for r in data], schema=schema).write_parquet(tmp_path/t/'r.parquet')
    return HarmonizeRun(tmp_path, [FileResult('r', 'r', as_of='2026-12-01')])

NETWORKS = ['amazon_sponsored_products', 'walmart_search', 'criteo_retail_media']
CHANGES = st.fixed_dictionaries({}, optional={'window_days': st.sampled_from([7, 14, None]), 'basis': st.sampled_from(['click', 'unknown']), 'ntb': st.sampled_from([False, True, None]), 'final': st.sampled_from([True, False, None])})

def what(change): return tuple(v for c,v in (LIKE | change).items() if c not in ('currency', 'final'))

@settings(max_examples=80)
@given(st.lists(st.tuples(st.sampled_from(NETWORKS), st.none() | st.integers(0, 50), st.sampled_from(['USD', 'USD', 'EUR']), st.lists(st.tuples(st.integers(0, 99), CHANGES), max_size=3, unique_by=lambda t: tuple(sorted(t[1].items(), key=str)))), min_size=1, max_size=8))
def test_no_other_kind_covers_more(tmp_path_factory, rows):
    rows = [(n, s, c, list({what(change): (v, change) for v,change in told}.values())) for n,s,c,told in rows] # one value for what is told
    found = comparable(run_of(tmp_path_factory.mktemp('c'), rows))
    by_currency = {c: sum(r[1] or 0 for r in rows if r[2] == c) for c in {r[2] for r in rows}}
    assert found.all_spend == by_currency[found.currency] == max(by_currency.values())
    sums = {}
    for network,spend,currency,told in rows:
        for value,change in told:
            kind = LIKE | {'currency': currency} | change
            if None in kind.values() or 'unknown' in kind.values() or kind['ntb'] or currency != found.currency: continue
            if spend is None: continue # what was sold in a row that tells no spend is no part of a ratio
            s = sums.setdefault(tuple(kind[c] for c in KIND), [0, 0, set()])
            s[0] += spend; s[1] += value; s[2].add(network)
    for network,currency,w in {(n, found.currency, what(change)) for n,_,_,told in rows for _,change in told}: # rows that leave blank what others of the network tell
        mine = [(s or 0, [change for _,change in told if what(change) == w]) for n,s,c,told in rows if (n, c) == (network, currency)]
        finals = {(LIKE | change[0])['final'] for _,change in mine if change}
        kind = LIKE | dict(zip([c for c in LIKE if c not in ('currency', 'final')], w)) | {'currency': currency, 'final': finals.pop() if len(finals) == 1 else None}
        if (key := tuple(kind[c] for c in KIND)) in sums and any(n == network and c == currency and (LIKE | change)['final'] == kind['final'] and what(change) == w for n,s,c,told in rows for _,change in told if s is not None): sums[key][0] += sum(s for s,change in mine if not change)
    if not sums: assert found.kind is None and found.networks == [] and found.ratio is None
    else:
        mine = sums[tuple(found.kind[c] for c in KIND)]
        assert [found.spend, found.value, found.networks] == [mine[0], mine[1], sorted(mine[2])] and mine[0] == max(s[0] for s in sums.values())
        assert found.ratio == (pytest.approx(mine[1] / mine[0]) if mine[0] else None)
    assert found.others['spend'].sum() + found.spend == sum(r[1] or 0 for r in rows) # every unit of spend is inside, or told of
    found.summary(), repr(found)

def harmonize(tmp_path, **reports):
    how = {k: reports.pop(k) for k in ('as_of', 'given') if k in reports}
    for name,text in reports.items(): (tmp_path/f'{name}.csv').write_text(text)
    return DataHarmonizer(**how).harmonize([tmp_path/f'{n}.csv' for n in reports], tmp_path/'out', quiet=True)

def test_a_ratio_is_never_averaged_and_the_usual_window_is_taken(tmp_path):
    run = harmonize(tmp_path, as_of='2026-12-01', w=WALMART + '2026-09-01,1,5,100,10,10.00,40.00,50.00\n', a=AMAZON + '2026-09-01,1,B0,100,10,90.00,USD,80.00,90.00,9\n')
    found = comparable(run)
    assert (found.kind['window_days'], found.value, found.spend, found.ratio, found.share) == (14, 130, 100, 1.3, 1.0) and found.others.is_empty()
    assert found.naive == 1.4 # 50 and 90
    orders = comparable(run, 'orders')
    assert (orders.networks, orders.value, orders.spend) == (['amazon_sponsored_products'], 9, 90) and orders.others['tells'].to_list() == ['no such figure']
    assert 'orders per USD 0.10' in orders.summary()[2]

def test_sales_without_spend_are_left_out_and_told_of(tmp_path):
    found = comparable(harmonize(tmp_path, as_of='2026-12-01', w=WALMART + '2026-09-01,1,5,100,10,10.00,40.00,50.00\n2026-09-01,1,6,100,10,,7.00,9.00\n'))
    assert (found.value, found.spend, found.unpaid, found.ratio, found.naive) == (40, 10, 7, 4., 5.9)
    assert '  7.00 more of sales stands in rows that tell no spend, and is left out' in found.summary()
    nothing = comparable(harmonize(tmp_path, as_of='2026-12-01', w=WALMART.replace('adSpend', 'other') + '2026-09-01,1,5,100,10,10.00,40.00,50.00\n'))
    assert nothing.kind is None and nothing.summary()[-1] == 'No sales can be compared: no row tells both a figure and what was spent.'

def test_what_the_others_need(tmp_path):
    run = harmonize(tmp_path, as_of='2026-12-01', given={'criteo': {'window_days': 30, 'currency': 'USD'}}, w=WALMART.replace('14days', '3days') + '2026-09-01,1,5,100,10,10.00,40.00,50.00\n',
        a=AMAZON + '2026-09-01,1,B0,100,10,90.00,USD,80.00,90.00,9\n', u=UBER + '2026-09-01T00:00:00Z,1,1,1,036000291452,MXN,1,1,5.00,1,2.00\n',
        c='date,accountId,campaignId,lineItemId,impressions,clicks,spend,attributedSales,attributedUnits\n2026-09-01,1,2,3,10,1,3.00,4.00,1\n')
    need = {r['network']: r for r in comparable(run).others.rows(named=True)}
    assert need['walmart_search']['to join'] == 'window days: export it with attributedSales14days'
    assert need['criteo_retail_media']['differs in'].startswith('window days 30, not 14; basis click and view, not click') and 'window days: request 14; basis: request click; product match: it offers only' in need['criteo_retail_media']['to join']
    assert 'another currency' in need['uber_retail_ads']['to join'] and need['uber_retail_ads']['currency'] == 'MXN'

@pytest.mark.parametrize(('as_of', 'final'), [(None, ['2026-08-01']), ('2026-09-30', ['2026-08-01', '2026-09-10']), ('2026-09-23', ['2026-08-01'])])
def test_what_is_not_final_is_not_presented(tmp_path, as_of, final):
    "Without as_of only what was final on the last day that the report tells; 14 days and 3 for restatement."
    days = ['2026-08-01', '2026-09-10']
    run = harmonize(tmp_path, as_of=as_of, w=WALMART.replace(',attributedSales30days', '') + ''.join(f'{d},1,5,100,10,10.00,40.00\n' for d in days))
    found = comparable(run)
    assert found.value == 40 * len(final) and found.kind['final'] is True
    if len(final) == 1: assert ('final: ' + ('say when' if as_of is None else 'pull it again')) in found.others['to join'][0]

def test_a_dialect_of_ones_own_is_advised_by(tmp_path):
    from rmn_lora.rmis.dialects import Column, Dialect
    own = Dialect(network='shop', title='Shop', requestable={'window_days': (7, 14)}, currency={'value': 'USD', 'status': 'inferred'}, model={'value': 'last_touch', 'status': 'inferred'}, restated_days={'value': 1, 'status': 'inferred'}, columns=tuple(
        Column(name=n, field=f, unit=u, status='inferred', **more) for n,f,u,more in (('day', 'event_date', 'date', {}), ('costs', 'spend', 'currency', {}), ('turnover', 'attributed.sales', 'currency', dict(window_days='request', basis='click', product_match='total', channel='online', ntb=False)))))
    (tmp_path/'s.csv').write_text('day,costs,turnover\n2026-09-01,5.00,9.00\n')
    (tmp_path/'w.csv').write_text(WALMART + '2026-09-01,1,5,100,10,10.00,40.00,50.00\n')
    harmonizer = DataHarmonizer(as_of='2026-12-01', dialects=[own], given={'shop': {'window_days': 7}})
    found = comparable(harmonizer.harmonize([tmp_path/'s.csv', tmp_path/'w.csv'], tmp_path/'out', quiet=True), dialects=harmonizer.dialects)
    assert found.others.row(0, named=True)['to join'] == 'window days: request 14'

def test_without_a_currency_there_is_nothing(tmp_path):
    run = harmonize(tmp_path, c='date,accountId,campaignId,lineItemId,impressions,clicks,spend,attributedSales,attributedUnits\n2026-09-01,1,2,3,10,1,3.00,4.00,1\n')
    with pytest.raises(ReportError, match='currency of its spend'): comparable(run)

def test_the_workbook_runs_nothing_and_crosses_out_what_cannot_be_presented(tmp_path):
    found = comparable(run_of(tmp_path, [('amazon_sponsored_products', 10, 'USD', [(30, {})]), ('walmart_search', 5, 'USD', [(9, {'window_days': 30})])]))
    found.others = found.others.with_columns(pl.lit('=HYPERLINK("x")').alias('tells'))
    path = write_workbook(found, tmp_path/'c.xlsx')
    with zipfile.ZipFile(path) as z: text = {n: z.read(n).decode() for n in z.namelist()}
    assert '<strike' in text['xl/styles.xml'] and not any('<f>' in t or 'hyperlink' in t.lower() for n,t in text.items() if 'sheet' in n)
    sheets = pl.read_excel(path, sheet_id=0, has_header=False)
    assert list(sheets) == ['Comparable', 'Others', 'Kinds']
    assert sheets['Comparable'].to_series().to_list() == found.summary()
    assert sheets['Others'].row(1)[3] == '=HYPERLINK("x")' and float(sheets['Others'].row(1)[2]) == 5
    with pytest.raises(ReportError, match='xlsx'): write_workbook(found, tmp_path/'c.csv')

def test_reports_of_another_grain_are_not_added(tmp_path):
    daily = AMAZON + '2026-09-01,1,B0,100,10,90.00,USD,80.00,90.00,9\n'
    run = harmonize(tmp_path, as_of='2026-12-01', a=daily, b=daily.replace('advertisedAsin', 'advertisedAsin,keywordId').replace('B0', 'B0,k'))
    with pytest.raises(ReportError, match='different grain'): comparable(run)
    with pytest.raises(ReportError, match='No metric'): comparable(run, 'profit')

def test_spend_without_a_figure_counts_and_is_told_of(tmp_path):
    "A row that spent and tells no sales: the ratio is not that of the others."
    run = harmonize(tmp_path, as_of='2026-12-01', w=WALMART.replace(',attributedSales30days', '') + '2026-09-01,1,5,100,10,10.00,40.00\n2026-09-01,1,6,100,10,30.00,\n2026-09-02,1,5,100,10,60.00,\n')
    found = comparable(run)
    assert (found.value, found.spend, found.blank, found.ratio, found.share) == (40, 100, 90, .4, 1) and found.others.is_empty()
    assert found.summary()[-1].strip() == '90.00 of it was spent in rows that leave sales blank; of the others alone it is 4.00'
    assert found.kinds.select('rows', 'spend', 'blank').row(0) == (1, 100, 90)

def test_a_blank_counts_only_where_its_report_tells_that_figure(tmp_path):
    three = WALMART.replace('14days,attributedSales30', '3days,attributedSales14')
    run = harmonize(tmp_path, as_of='2026-12-01', a=WALMART.replace(',attributedSales30days', '') + '2026-09-01,1,5,100,10,10.00,40.00\n',
        b=three.replace('3days', '3days') + '2026-09-02,1,5,100,10,5.00,1.00,2.00\n2026-09-03,1,5,100,10,7.00,,2.00\n', c=three.replace(',attributedSales14days', '') + '2026-09-04,1,5,100,10,90.00,3.00\n2026-09-04,1,6,100,10,9.00,\n')
    sums = {r['window_days']: (r['spend'], r['blank'], r['value']) for r in comparable(run).kinds.rows(named=True)}
    assert sums == {3: (111, 16, 4), 14: (22, 0, 44)}

def test_a_blank_of_a_day_that_is_not_final_is_not_final(tmp_path):
    text = WALMART.replace(',attributedSales30days', '') + '2026-08-01,1,5,100,10,10.00,40.00\n2026-08-01,1,6,100,10,1.00,\n2026-09-20,1,5,100,10,60.00,\n2026-09-21,1,5,100,10,5.00,7.00\n'
    found = comparable(harmonize(tmp_path, as_of='2026-09-30', w=text))
    assert {r['final']: (r['spend'], r['blank']) for r in found.kinds.rows(named=True)} == {True: (11, 1), False: (65, 60)}
    found = comparable(harmonize(tmp_path, w=text))
    assert {r['final']: (r['spend'], r['blank']) for r in found.kinds.rows(named=True)} == {True: (11, 1), None: (65, 60)}

def test_where_another_column_decides_a_blank_is_not_covered(tmp_path):
    run = harmonize(tmp_path, as_of='2026-12-01', s='date,campaignId,costType,impressions,clicks,cost,campaignBudgetCurrencyCode,sales,newToBrandSales\n2026-09-01,1,CPC,1,1,10,USD,40,\n2026-09-01,2,CPC,1,1,30,USD,,\n2026-09-01,3,VCPM,1,1,5,USD,9,\n')
    found = comparable(run)
    assert (found.value, found.spend, found.blank, found.all_spend) == (40, 10, 0, 45) and found.others['spend'].sum() == 35

def test_what_a_period_tells_is_final_by_its_last_day(tmp_path):
    (tmp_path/'a.csv').write_text('startDate,endDate,campaignId,impressions,clicks,cost,campaignBudgetCurrencyCode,sales14d\n2026-08-01,2026-08-31,1,100,5,1.50,USD,1.00\n')
    run = DataHarmonizer().harmonize(tmp_path/'a.csv', tmp_path/'out', network='amazon_sponsored_products', quiet=True)
    assert settled(run).collect()['final'].to_list() == [None]

def test_what_to_do_is_told_of_the_metric_asked_for(tmp_path):
    rows = [('amazon_sponsored_products', 10, 'USD', [(1, {})]), ('walmart_search', 5, 'USD', [(1, {'window_days': 30})])]
    run = run_of(tmp_path, rows)
    pl.read_parquet(tmp_path/'attributed/r.parquet').with_columns(metric=pl.lit('orders').cast(ATTRIBUTED['metric'])).write_parquet(tmp_path/'attributed/r.parquet')
    assert 'attributedOrders14days' in comparable(run, 'orders').others['to join'][0]
