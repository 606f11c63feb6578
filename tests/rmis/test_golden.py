"Reports typed by hand from the networks' documentation, with the canonical rows that a person expects beside them."
import gzip
import json
from datetime import date
from decimal import Decimal as D

import polars as pl
import pytest
from rmn_lora.rmis.harmonize import DataHarmonizer

CLICK = {'basis': 'click', 'channel': 'online', 'ntb': False}
GOLDEN = {}

# Amazon: a JSON array; ids are JSON numbers beyond 2^53, cost and spend are one quantity, empty means empty
GOLDEN['amazon_sponsored_products'] = dict(
    name='amazon.json.gz',
    text=json.dumps([
        {'date': '2026-09-01', 'campaignId': 281474976710677123, 'adGroupId': 5, 'advertisedAsin': 'B000000001', 'impressions': 1000, 'clicks': 10, 'cost': 12.3, 'spend': 12.3,
         'campaignBudgetCurrencyCode': 'EUR', 'sales7d': 40.1, 'sales14d': 55.05, 'attributedSalesSameSku14d': 50, 'purchases14d': 3, 'unitsSoldClicks14d': 4, 'costPerClick': 1.23},
        {'date': '2026-09-02', 'campaignId': 281474976710677123, 'adGroupId': 5, 'advertisedAsin': 'B000000002', 'impressions': 0, 'clicks': 0, 'cost': 0, 'spend': 0,
         'campaignBudgetCurrencyCode': 'EUR', 'sales7d': None, 'sales14d': 0, 'attributedSalesSameSku14d': 0, 'purchases14d': 0, 'unitsSoldClicks14d': 0, 'costPerClick': None}]),
    delivery=[
        dict(source_row=1, event_date=date(2026, 9, 1), campaign_id='281474976710677123', ad_group_id='5', retailer='amazon', retailer_item_id='B000000001', impressions=1000, clicks=10, spend=D('12.3'), currency='EUR'),
        dict(source_row=2, event_date=date(2026, 9, 2), campaign_id='281474976710677123', ad_group_id='5', retailer='amazon', retailer_item_id='B000000002', impressions=0, clicks=0, spend=D(0), currency='EUR')],
    attributed=[(r, m, v, w, 'click', p, 'online', False, 'last_touch', c) for r,m,v,w,p,c in (
        (1, 'sales', '40.1', 7, 'total', 'EUR'), (1, 'sales', '55.05', 14, 'total', 'EUR'), (1, 'sales', '50', 14, 'same_sku', 'EUR'), (1, 'orders', '3', 14, 'total', None), (1, 'units', '4', 14, 'total', None),
        (2, 'sales', '0', 14, 'total', 'EUR'), (2, 'sales', '0', 14, 'same_sku', 'EUR'), (2, 'orders', '0', 14, 'total', None), (2, 'units', '0', 14, 'total', None))])

# Walmart: online and in-store side by side, new-to-brand money under another word, windows in days
GOLDEN['walmart_search'] = dict(
    name='walmart.csv',
    text='date,campaignId,adGroupId,itemId,numAdsShown,numAdsClicks,adSpend,attributedSales14days,attributedSales30days,inStoreAttributedSales30days,ntbRevenue30days,otherSkuSales30days,attributedOrders14days\n'
         '2026-09-01,100,200,00055512345,"12,345",60,"$1,030.50",500.00,640.25,12.00,90.10,,7\n'
         '2026-09-01,100,200,55512346,10,1,(0.45),,,,,,\n',
    delivery=[
        dict(source_row=2, event_date=date(2026, 9, 1), campaign_id='100', ad_group_id='200', retailer='walmart', retailer_item_id='00055512345', impressions=12345, clicks=60, spend=D('1030.5'), currency='USD'),
        dict(source_row=3, event_date=date(2026, 9, 1), campaign_id='100', ad_group_id='200', retailer='walmart', retailer_item_id='55512346', impressions=10, clicks=1, spend=D('-0.45'), currency='USD')],
    attributed=[(2, m, v, w, 'click', 'total', ch, n, 'last_touch', c) for m,v,w,ch,n,c in (
        ('sales', '500', 14, 'online', False, 'USD'), ('sales', '640.25', 30, 'online', False, 'USD'), ('sales', '12', 30, 'in_store', False, 'USD'), ('sales', '90.1', 30, 'online', True, 'USD'), ('orders', '7', 14, 'online', False, None))])

# Criteo: neither window nor currency nor match in the file; assisted sales are never attributed ones
GOLDEN['criteo_retail_media'] = dict(
    name='criteo.csv',
    text='date;accountId;campaignId;lineItemId;retailerName;pageTypeName;advProductId;impressions;clicks;invalidClicks;spend;attributedSales;attributedUnits;assistedSales\n'
         '2026-09-03;007;31;41;Carrefour;search;000123;500;4;1;3.20;18.00;2;99.00\n'
         '2026-09-03;007;31;42;Fnac;home;000124;;;;0.10;;;\n',
    delivery=[
        dict(source_row=2, event_date=date(2026, 9, 3), account_id='007', campaign_id='31', ad_group_id='41', retailer='Carrefour', placement='search', retailer_item_id='000123', impressions=500, clicks=4, invalid_clicks=1, spend=D('3.2'), currency=None),
        dict(source_row=3, event_date=date(2026, 9, 3), account_id='007', campaign_id='31', ad_group_id='42', retailer='Fnac', placement='home', retailer_item_id='000124', impressions=None, clicks=None, invalid_clicks=None, spend=D('0.1'), currency=None)],
    attributed=[(2, 'sales', '18', None, 'click_and_view', 'unknown', 'online', False, 'last_touch', None), (2, 'units', '2', None, 'click_and_view', 'unknown', 'online', False, 'last_touch', None)])

# Instacart: the newer dotted names; linear attribution is another model; counts come as floats
GOLDEN['instacart_ads'] = dict(
    name='instacart.csv',
    text='event.date,campaign.id,ad_group.id,product.id,product.scan_code,event.spend,event.impressions,event.clicks,event.attributed_sales_linear,event.ntb_attributed_sales_linear\n'
         '2026-09-04,c-1,g-1,77,00860666000314,1.50,20.0,2.0,6.333333,0\n'
         '2026-09-05,c-1,g-1,77,860666000314,2,21.0,0.0,0,0\n',
    delivery=[
        dict(source_row=2, event_date=date(2026, 9, 4), campaign_id='c-1', ad_group_id='g-1', retailer='instacart', retailer_item_id='77', gtin14='00860666000314', impressions=20, clicks=2, spend=D('1.5'), currency='USD'),
        dict(source_row=3, event_date=date(2026, 9, 5), campaign_id='c-1', ad_group_id='g-1', retailer='instacart', retailer_item_id='77', gtin14='00860666000314', impressions=21, clicks=0, spend=D(2), currency='USD')],
    attributed=[(r, 'sales', v, None, 'click', 'total', 'online', n, 'linear', 'USD') for r,v,n in ((2, '6.333333', False), (2, '0', True), (3, '0', False), (3, '0', True))])

# Target: no date in the documented columns, so the day is unknown; which purchases count is not said either
GOLDEN['target_roundel'] = dict(
    name='target.tsv',
    text='\ufeffAdvertiser ID\tTCIN\tImpressions\tClicks\tSpend\tOrders\tSales\r\n5001\t01234567\t900\t9\t8.10\t2\t25.98\r\n5001\t87654321\t100\t1\t0.90\t-\tN/A\r\n',
    delivery=[
        dict(source_row=2, event_date=None, account_id='5001', retailer='target', retailer_item_id='01234567', impressions=900, clicks=9, spend=D('8.1'), currency='USD'),
        dict(source_row=3, event_date=None, account_id='5001', retailer='target', retailer_item_id='87654321', impressions=100, clicks=1, spend=D('0.9'), currency='USD')],
    attributed=[(2, 'orders', '2', 14, 'click', 'unknown', 'online', False, 'unknown', None), (2, 'sales', '25.98', 14, 'click', 'unknown', 'online', False, 'unknown', 'USD')])

# Uber: moments with an offset are days in UTC; the account's own currency; GTINs
GOLDEN['uber_retail_ads'] = dict(
    name='uber.jsonl',
    text='{"start_time": "2026-09-01T00:00:00Z", "ad_account_id": "a", "campaign_id": "c", "ad_group_id": "g", "item_gtin": "036000291452", "currency_code": "MXN", "impressions": 7, "clicks": 1, "ad_spend": 20.5, "units_sold_14d": 1, "sales_14d": 35}\n'
         '{"start_time": "2026-09-01T23:30:00-05:00", "ad_account_id": "a", "campaign_id": "c", "ad_group_id": "g", "item_gtin": "036000291452", "currency_code": "usd", "impressions": 8, "clicks": 0, "ad_spend": 1e-2}\n',
    delivery=[
        dict(source_row=1, event_date=date(2026, 9, 1), timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', retailer='uber', gtin14='00036000291452', impressions=7, clicks=1, spend=D('20.5'), currency='MXN'),
        dict(source_row=2, event_date=date(2026, 9, 2), timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', retailer='uber', gtin14='00036000291452', impressions=8, clicks=0, spend=D('0.01'), currency='USD')],
    attributed=[(1, 'units', '1', 14, 'click', 'total', 'online', False, 'unknown', None), (1, 'sales', '35', 14, 'click', 'total', 'online', False, 'unknown', 'MXN')])

# Sponsored Brands and Display: no window in the names, and how a campaign is paid decides what its sales follow; where both are clicks, two columns are one quantity
GOLDEN['amazon_sponsored_brands_display'] = dict(
    name='amazon_sd.csv',
    text='date,campaignId,campaignName,costType,impressions,impressionsViews,clicks,cost,campaignBudgetCurrencyCode,sales,salesClicks,newToBrandSales,detailPageViews\n'
         '2026-09-01,9007199254740993,Retarget,VCPM,1000,640,4,8.00,USD,90.10,40.00,12.00,7\n'
         '2026-09-01,9007199254740995,Defend,CPC,500,,5,2.50,USD,40.00,40.00,,\n'
         '2026-09-01,9007199254740997,Odd,,10,,0,0,USD,1.00,,,\n',
    delivery=[
        dict(source_row=2, event_date=date(2026, 9, 1), campaign_id='9007199254740993', campaign_name='Retarget', retailer='amazon', impressions=1000, viewable_impressions=640, clicks=4, spend=D(8), currency='USD'),
        dict(source_row=3, event_date=date(2026, 9, 1), campaign_id='9007199254740995', campaign_name='Defend', retailer='amazon', impressions=500, viewable_impressions=None, clicks=5, spend=D('2.5'), currency='USD'),
        dict(source_row=4, event_date=date(2026, 9, 1), campaign_id='9007199254740997', campaign_name='Odd', retailer='amazon', impressions=10, viewable_impressions=None, clicks=0, spend=D(0), currency='USD')],
    attributed=[(r, 'sales', v, 14, b, 'total', 'online', n, 'last_touch', 'USD') for r,v,b,n in (
        (2, '90.1', 'click_or_view', False), (2, '40', 'click', False), (2, '12', 'click_or_view', True), (3, '40', 'click', False), (4, '1', 'unknown', False))]
        + [(2, 'detail_page_views', '7', 14, 'unknown', 'unknown', 'unknown', None, 'last_touch', None)])

# Amazon DSP: clicks are clickThroughs, the cost has the fees in it, total* is the whole brand, the zone is a column
GOLDEN['amazon_dsp'] = dict(
    name='dsp.csv',
    text='date,advertiserId,orderId,lineItemId,creativeID,orderCurrency,advertiserTimezone,impressions,viewableImpressions,measurableImpressions,clickThroughs,totalCost,supplyCost,amazonPlatformFee,purchases14d,purchasesViews14d,sales14d,totalSales14d\n'
         '2026-09-01,A1,577000000000000001,5,6,EUR,Europe/Berlin,"2,000",1500,1900,3,10.500001,9.00,1.50,2,1,30.00,75.50\n',
    delivery=[dict(source_row=2, event_date=date(2026, 9, 1), timezone='Europe/Berlin', account_id='A1', campaign_id='577000000000000001', ad_group_id='5', creative_id='6', retailer='amazon', impressions=2000, viewable_impressions=1500,
                   measurable_impressions=1900, clicks=3, spend=D('10.500001'), spend_basis='incl_fees', currency='EUR')],
    attributed=[(2, m, v, 14, b, p, 'online', False, 'last_touch', c) for m,v,b,p,c in (
        ('orders', '2', 'click_or_view', 'promoted', None), ('orders', '1', 'view', 'promoted', None), ('sales', '30', 'click_or_view', 'promoted', 'EUR'), ('sales', '75.5', 'click_or_view', 'brand_halo', 'EUR'))])

# Walmart Display: the same names as in search mean exposure and all channels; orders are written as doubles; acc has no word of ours
GOLDEN['walmart_display'] = dict(
    name='walmart_display.csv',
    text='campaignExtId,campaignName,mediaType,date,numAdsShown,numAdsClicks,adSpend,attributedSales14days,attributedOrders14days,storeAttributedSales14days,pickupAttributedSales14days,deliveryAttributedSales14days,accAttributedFeaturedSales14days\n'
         '0077,Fall,OFFSITE,2026-09-01,5000,11,40.00,300.00,7.0,200.00,60.00,40.00,5.00\n',
    delivery=[dict(source_row=2, event_date=date(2026, 9, 1), campaign_id='0077', campaign_name='Fall', retailer='walmart', impressions=5000, clicks=11, spend=D(40), currency='USD')],
    attributed=[(2, 'orders', '7', 14, 'click_or_view', 'total', 'all', False, 'unknown', None)] + [(2, 'sales', v, 14, 'click_or_view', p, ch, False, 'unknown', 'USD') for v,p,ch in (
        ('300', 'total', 'all'), ('200', 'total', 'in_store'), ('60', 'total', 'pickup'), ('40', 'total', 'delivery'), ('5', 'promoted', 'unknown'))])

# Kroger: UPCs without their check digit (these are 0 36000 29145 2 and 0 11110 41700 8)
GOLDEN['kroger_kpm'] = dict(
    name='kroger.csv',
    text='Date,Campaign Name,Placement,UPC,Impressions,Clicks,Spend,Attributed Sales,Attributed Units,Households Reached,aROAS\n'
         '2026-09-01,Fall,Search,0003600029145,100,2,$3.50,20.00,4,90,5.71\n2026-09-02,Fall,Search,1111041700,50,0,0,,,,\n',
    delivery=[
        dict(source_row=2, event_date=date(2026, 9, 1), campaign_name='Fall', placement='Search', retailer='kroger', gtin14='00036000291452', impressions=100, clicks=2, spend=D('3.5'), currency='USD'),
        dict(source_row=3, event_date=date(2026, 9, 2), campaign_name='Fall', placement='Search', retailer='kroger', gtin14='00011110417008', impressions=50, clicks=0, spend=D(0), currency='USD')],
    attributed=[(2, 'sales', '20', 14, 'click', 'unknown', 'all', False, 'unknown', 'USD'), (2, 'units', '4', 14, 'click', 'unknown', 'all', False, 'unknown', None)])

# CitrusAd: a table of campaigns without a day; the window is the retailer's setting; one company serves many retailers
GOLDEN['epsilon_citrusad'] = dict(
    name='citrus.csv',
    text='Campaign,Impressions,Clicks,Ad Spend,Conversions,Unit Sales,Sales Revenue\n"Tea, loose",700,5,4.25,2,3,18.90\n',
    delivery=[dict(source_row=2, event_date=None, campaign_name='Tea, loose', retailer=None, impressions=700, clicks=5, spend=D('4.25'), currency=None)],
    attributed=[(2, m, v, None, 'click', 'total', 'online', False, 'unknown', None) for m,v in (('orders', '2'), ('units', '3'), ('sales', '18.9'))])

# Target's Kiosk: Sales and Orders are those of Roundel Media Studio by name only
KIOSK = dict(
    name='kiosk.csv',
    text='Flight/Campaign,Media,Date,Impressions,Clicks,Adjusted Actualized Spend,Sales,Orders,Units Sold\nFall,Display,2026-09-01,100,3,5.50,100.00,2,3\n',
    delivery=[dict(source_row=2, event_date=date(2026, 9, 1), campaign_name='Fall', ad_group_name='Display', retailer='target', impressions=100, clicks=3, spend=D('5.5'), currency='USD')],
    attributed=[(2, m, v, 14, 'mixed', 'unknown', 'all', False, 'unknown', c) for m,v,c in (('sales', '100', 'USD'), ('orders', '2', None), ('units', '3', None))])

COLUMNS = ['source_row', 'metric', 'value', 'window_days', 'basis', 'product_match', 'channel', 'ntb', 'model', 'currency']

@pytest.mark.parametrize(('network', 'golden'), [*GOLDEN.items(), ('target_roundel', KIOSK)])
def test_golden_report(network, golden, tmp_path):
    path = tmp_path/golden['name']
    path.write_bytes(gzip.compress(golden['text'].encode()) if path.suffix == '.gz' else golden['text'].encode())
    run = DataHarmonizer().harmonize(path, tmp_path/'out', quiet=True)
    assert run.files[0].network == network and run.quarantined == 0, run.reasons()
    delivery = run.delivery.sort('source_row').collect().to_dicts()
    for got,want in zip(delivery, golden['delivery'], strict=True):
        assert {k: got[k] for k in want} == want
        given = {'source_report', 'network', 'network_product', 'site_scope', 'report_key', 'source_row_hash'}
        assert all(v is None for k,v in got.items() if k not in want and k not in given), 'a field was made up'
    rows = run.attributed.select(COLUMNS).with_columns(pl.col(pl.Enum).cast(pl.String)).collect().rows()
    key = lambda r: tuple(map(str, r))
    assert sorted(rows, key=key) == sorted(((r[0], r[1], D(r[2]), *r[3:]) for r in golden['attributed']), key=key)
