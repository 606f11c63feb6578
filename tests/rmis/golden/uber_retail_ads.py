"Uber's retail ads. Moments are UTC, money is the account's own currency, items are GTINs."

GOLDEN = {}

# Products: moments with an offset are days in UTC; a currency may be written small
GOLDEN['product performance'] = dict(
    name='uber.jsonl',
    text='{"start_time": "2026-09-01T00:00:00Z", "ad_account_id": "a", "campaign_id": "c", "ad_group_id": "g", "item_gtin": "036000291452", "currency_code": "MXN", "impressions": 7, "clicks": 1, "ad_spend": 20.5, "units_sold_14d": 1, "sales_14d": 35}\n'
         '{"start_time": "2026-09-01T23:30:00-05:00", "ad_account_id": "a", "campaign_id": "c", "ad_group_id": "g", "item_gtin": "036000291452", "currency_code": "usd", "impressions": 8, "clicks": 0, "ad_spend": 1e-2}\n',
    delivery=[
        dict(source_row=1, event_date='2026-09-01', timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', retailer='uber', gtin14='00036000291452', impressions=7, clicks=1, spend='20.5', currency='MXN'),
        dict(source_row=2, event_date='2026-09-02', timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', retailer='uber', gtin14='00036000291452', impressions=8, clicks=0, spend='0.01', currency='USD')],
    attributed='''
        1 units  1 14 click total online false unknown -
        1 sales 35 14 click total online false unknown MXN''')

# The report of advertisers (GR_ADVERTISER_METRICS) has no item: orders where the product report has units, cost models, and averages that nobody sums
GOLDEN['advertiser metrics'] = dict(
    name='uber_advertisers.csv',
    text='start_time,ad_account_id,campaign_id,ad_group_id,currency_code,ad_campaign_cost_model,ad_group_cost_model,impressions,clicks,ad_spend,orders_14d,sales_14d,roas_14d,avg_cost_per_click,avg_cost_per_mille,click_through_rate,cost_per_order_14d\n'
         '2026-09-01T00:00:00Z,0a1b,0c2d,0e3f,BRL,CPC,CPC,4000,52,61.40,9,512.90,8.35,1.18,15.35,0.013,6.82\n'
         '2026-09-02T00:00:00Z,0a1b,0c2d,0e3f,BRL,CPC,CPC,0,0,0.00,0,0.00,,,,,\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-01', timezone='UTC', account_id='0a1b', campaign_id='0c2d', ad_group_id='0e3f', retailer='uber', impressions=4000, clicks=52, spend='61.4', currency='BRL'),
        dict(source_row=3, event_date='2026-09-02', timezone='UTC', account_id='0a1b', campaign_id='0c2d', ad_group_id='0e3f', retailer='uber', impressions=0, clicks=0, spend='0', currency='BRL')],
    attributed='''
        2 orders  9   14 click total online false unknown -
        2 sales 512.9 14 click total online false unknown BRL
        3 orders  0   14 click total online false unknown -
        3 sales   0   14 click total online false unknown BRL''')

# GTINs of 8, 13 and 14 digits, one whose check digit is wrong, and yen; ratios are left behind
GOLDEN['every length of GTIN'] = dict(
    name='uber_products.csv.gz',
    text='start_time,ad_account_id,campaign_id,ad_group_id,item_gtin,currency_code,impressions,clicks,ad_spend,units_sold_14d,sales_14d,roas_14d,cost_per_click,click_through_rate\n'
         '2026-09-01T00:00:00Z,a,c,g,96385074,JPY,10,1,150,1,1200,8,150,0.1\n'
         '2026-09-01T00:00:00Z,a,c,g,4006381333931,JPY,20,0,0,0,0,,,0\n'
         '2026-09-01T00:00:00Z,a,c,g,10012345678902,JPY,30,,,,,,,\n'
         '2026-09-01T00:00:00Z,a,c,g,4006381333932,JPY,40,1,90,0,0,0,90,0.025\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-01', timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', retailer='uber', gtin14='00000096385074', impressions=10, clicks=1, spend='150', currency='JPY'),
        dict(source_row=3, event_date='2026-09-01', timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', retailer='uber', gtin14='04006381333931', impressions=20, clicks=0, spend='0', currency='JPY'),
        dict(source_row=4, event_date='2026-09-01', timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', retailer='uber', gtin14='10012345678902', impressions=30, clicks=None, spend=None, currency='JPY')],
    attributed='''
        2 units    1 14 click total online false unknown -
        2 sales 1200 14 click total online false unknown JPY
        3 units    0 14 click total online false unknown -
        3 sales    0 14 click total online false unknown JPY''',
    quarantined=[(5, 'not a GTIN, or its check digit is wrong')])

# Placements (day_of is a day with a midnight, as text): a level of each is told, two reports that only the second level tells apart are two rows, and figures by the day of the order are not those by the day of the click
GOLDEN['placements in two reports'] = dict(
    reports={n: 'day_of,ad_account_id,campaign_id,ad_group_id,currency_code,placement_l1,placement_l2,keyword,impressions,clicks,ad_spend,orders_7d_on_order_date\n' + row for n,row in (
        ('feed.csv', '2026-09-03 00:00:00,a,c,g,USD,Browse,Home Feed,,600,3,4.50,1\n'), ('filtered.csv', '2026-09-03 00:00:00,a,c,g,USD,Browse,Filtered Feed,,90,0,0,0\n2026-09-03 00:00:00,a,c,g,USD,Search,Results,iced tea,40,2,2.20,1\n'))},
    delivery=[
        dict(source_report='feed.csv', source_row=2, event_date='2026-09-03', timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', placement='Browse', retailer='uber', impressions=600, clicks=3, spend='4.5', currency='USD'),
        dict(source_report='filtered.csv', source_row=2, event_date='2026-09-03', timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', placement='Browse', retailer='uber', impressions=90, clicks=0, spend='0', currency='USD'),
        dict(source_report='filtered.csv', source_row=3, event_date='2026-09-03', timezone='UTC', account_id='a', campaign_id='c', ad_group_id='g', placement='Search', keyword_text='iced tea', retailer='uber', impressions=40, clicks=2, spend='2.2', currency='USD')])
