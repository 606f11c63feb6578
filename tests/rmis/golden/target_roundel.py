"Target Roundel. Roundel Media Studio counts online purchases after a click, Kiosk all channels; Sales and Orders are the same words in both. Restated for 14 days."

GOLDEN = {}

# Roundel Media Studio: no date in the documented columns, so the day is unknown; which purchases count is not said either
GOLDEN['Roundel Media Studio'] = dict(
    name='target.tsv',
    text='\ufeffAdvertiser ID\tTCIN\tImpressions\tClicks\tSpend\tOrders\tSales\r\n5001\t01234567\t900\t9\t8.10\t2\t25.98\r\n5001\t87654321\t100\t1\t0.90\t-\tN/A\r\n',
    delivery=[
        dict(source_row=2, account_id='5001', retailer='target', retailer_item_id='01234567', impressions=900, clicks=9, spend='8.1', currency='USD'),
        dict(source_row=3, account_id='5001', retailer='target', retailer_item_id='87654321', impressions=100, clicks=1, spend='0.9', currency='USD')],
    attributed='''
        2 orders  2    14 click unknown online false unknown -
        2 sales  25.98 14 click unknown online false unknown USD''')

# Kiosk: Sales and Orders are those of Roundel Media Studio by name only
GOLDEN['Kiosk'] = dict(
    name='kiosk.csv',
    text='Flight/Campaign,Media,Date,Impressions,Clicks,Adjusted Actualized Spend,Sales,Orders,Units Sold\nFall,Display,2026-09-01,100,3,5.50,100.00,2,3\n',
    delivery=[dict(source_row=2, event_date='2026-09-01', campaign_name='Fall', ad_group_name='Display', retailer='target', impressions=100, clicks=3, spend='5.5', currency='USD')],
    attributed='''
        2 sales 100 14 mixed unknown all false unknown USD
        2 orders  2 14 mixed unknown all false unknown -
        2 units   3 14 mixed unknown all false unknown -''')

# Roundel Media Studio restated: each file is of one day, which is given; nine days on, the figures still move, after fourteen they are final, and the first file's item that is not told again stays as it was
GOLDEN['Roundel Media Studio, restated'] = dict(
    reports={
        'rms_0910.csv': 'Advertiser ID,TCIN,Impressions,Clicks,Spend,Orders,Sales\n5001,01234567,900,9,8.10,2,25.98\n5001,00000042,10,0,0.00,0,0.00\n',
        'rms_0916.csv': 'Advertiser ID,TCIN,Impressions,Clicks,Spend,Orders,Sales\n5001,01234567,900,8,7.20,3,38.97\n'},
    given={'rms_0910.csv': dict(event_date='2026-09-01', as_of='2026-09-10'), 'rms_0916.csv': dict(event_date='2026-09-01', as_of='2026-09-16')},
    delivery=[
        dict(source_report='rms_0910.csv', source_row=3, event_date='2026-09-01', account_id='5001', retailer='target', retailer_item_id='00000042', impressions=10, clicks=0, spend='0', currency='USD', as_of='2026-09-10', final=False),
        dict(source_report='rms_0916.csv', source_row=2, event_date='2026-09-01', account_id='5001', retailer='target', retailer_item_id='01234567', impressions=900, clicks=8, spend='7.2', currency='USD', as_of='2026-09-16', final=True)],
    attributed='''
        rms_0910.csv:3 orders  0    14 click unknown online false unknown -
        rms_0910.csv:3 sales   0    14 click unknown online false unknown USD
        rms_0916.csv:2 orders  3    14 click unknown online false unknown -
        rms_0916.csv:2 sales  38.97 14 click unknown online false unknown USD''',
    superseded=[('rms_0910.csv', 2, 'rms_0916.csv', 2)])

# Kiosk as a workbook without a day: amounts as people write them, a billing adjustment that is negative, a second medium of one flight, and a total that is no row
GOLDEN['Kiosk in a workbook'] = dict(
    name='kiosk.xlsx',
    cells=[
        ['Flight/Campaign', 'Media', 'Impressions', 'Clicks', 'Adjusted Actualized Spend', 'Sales', 'Orders', 'Units Sold'],
        ['Holiday', 'Programmatic', 120000, 310, '$1,204.50', '$9,880.00', 410, 655],
        ['Holiday', 'Social', 0, None, '($35.25)', None, 0, None],
        ['Total', None, 120000, 310, '$1,169.25', '$9,880.00', 410, 655]],
    delivery=[
        dict(source_row=2, campaign_name='Holiday', ad_group_name='Programmatic', retailer='target', impressions=120000, clicks=310, spend='1204.5', currency='USD'),
        dict(source_row=3, campaign_name='Holiday', ad_group_name='Social', retailer='target', impressions=0, clicks=None, spend='-35.25', currency='USD')],
    attributed='''
        2 sales 9880 14 mixed unknown all false unknown USD
        2 orders 410 14 mixed unknown all false unknown -
        2 units  655 14 mixed unknown all false unknown -
        3 orders   0 14 mixed unknown all false unknown -''',
    quarantined=[(4, 'a row of totals')])
