"Instacart Ads. The older export credits the last touch, the newer query API (dotted names) every touch; the window is a setting, in neither."

GOLDEN = {}

# The newer dotted names; linear attribution is another model; counts come as floats
GOLDEN['query API'] = dict(
    name='instacart.csv',
    text='event.date,campaign.id,ad_group.id,product.id,product.scan_code,event.spend,event.impressions,event.clicks,event.attributed_sales_linear,event.ntb_attributed_sales_linear\n'
         '2026-09-04,c-1,g-1,77,00860666000314,1.50,20.0,2.0,6.333333,0\n'
         '2026-09-05,c-1,g-1,77,860666000314,2,21.0,0.0,0,0\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-04', campaign_id='c-1', ad_group_id='g-1', retailer='instacart', retailer_item_id='77', gtin14='00860666000314', impressions=20, clicks=2, spend='1.5', currency='USD'),
        dict(source_row=3, event_date='2026-09-05', campaign_id='c-1', ad_group_id='g-1', retailer='instacart', retailer_item_id='77', gtin14='00860666000314', impressions=21, clicks=0, spend='2', currency='USD')],
    attributed='''
        2 sales 6.333333 - click total online false linear USD
        2 sales 0        - click total online true  linear USD
        3 sales 0        - click total online false linear USD
        3 sales 0        - click total online true  linear USD''')

# The older export: names and uuids, quantities that are units, the last touch, floats where counts are meant, and a share that nobody adds
GOLDEN['older export'] = dict(
    name='instacart_products.csv',
    text='date,status,campaign,campaign_uuid,ad_group,ad_group_uuid,product,product_size,upc,spend,attributed_sales,attributed_quantities,roas,impressions,clicks,ctr,average_cpc,ntb_attributed_sales,percent_ntb_attributed_sales,id\n'
         '2026-09-04,active,"Snacks, fall",0b4e5a1c-0000-4000-8000-000000000001,Bars,0b4e5a1c-0000-4000-8000-000000000002,Oat Bar,12 oz,00860666000314,12.75,51.00,17.0,4.0,900.0,15.0,0.0166,0.85,20.40,0.4,0099\n'
         '2026-09-04,paused,"Snacks, fall",0b4e5a1c-0000-4000-8000-000000000001,Bars,0b4e5a1c-0000-4000-8000-000000000002,Nut Bar,12 oz,00036000291452,0.0,,,,3.0,0.0,0.0,,,,0100\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-04', campaign_id='0b4e5a1c-0000-4000-8000-000000000001', campaign_name='Snacks, fall', ad_group_id='0b4e5a1c-0000-4000-8000-000000000002', ad_group_name='Bars', ad_id='0099', retailer='instacart', gtin14='00860666000314', impressions=900, clicks=15, spend='12.75', currency='USD'),
        dict(source_row=3, event_date='2026-09-04', campaign_id='0b4e5a1c-0000-4000-8000-000000000001', campaign_name='Snacks, fall', ad_group_id='0b4e5a1c-0000-4000-8000-000000000002', ad_group_name='Bars', ad_id='0100', retailer='instacart', gtin14='00036000291452', impressions=3, clicks=0, spend='0', currency='USD')],
    attributed='''
        2 sales 51   - click total online false last_touch USD
        2 units 17   - click total online false last_touch -
        2 sales 20.4 - click total online true  last_touch USD''')

# The query API once more, through a spreadsheet that took the codes for numbers, with the window that the account's settings say
GOLDEN['query API in a workbook'] = dict(
    name='instacart.xlsx', given={'instacart': dict(window_days=14)},
    cells=[
        ['event.date', 'campaign.id', 'ad_group.id', 'product.id', 'product.scan_code', 'event.spend', 'event.attributed_units_linear', 'event.attributed_sales_linear', 'event.roas_linear', 'event.impressions', 'event.clicks', 'event.ctr', 'event.cpc'],
        ['2026-09-04', 'c-1', 'g-1', 77, 860666000314, 1.5, 0.5, 3.25, 2.1667, 20, 2, 0.1, 0.75],
        ['2026-09-05', 'c-1', 'g-1', 77, 860666000314, 0, None, None, None, 0, 0, None, None]],
    delivery=[
        dict(source_row=2, event_date='2026-09-04', campaign_id='c-1', ad_group_id='g-1', retailer='instacart', retailer_item_id='77', gtin14='00860666000314', impressions=20, clicks=2, spend='1.5', currency='USD'),
        dict(source_row=3, event_date='2026-09-05', campaign_id='c-1', ad_group_id='g-1', retailer='instacart', retailer_item_id='77', gtin14='00860666000314', impressions=0, clicks=0, spend='0', currency='USD')],
    attributed='''
        2 units 0.5  14 click total online false linear -
        2 sales 3.25 14 click total online false linear USD''')
