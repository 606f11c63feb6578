"Epsilon CitrusAd. Tables by campaign or by period; the window is the retailer's setting; one company serves many retailers in many currencies."

GOLDEN = {}

# A table of campaigns without a day
GOLDEN['campaigns'] = dict(
    name='citrus.csv',
    text='Campaign,Impressions,Clicks,Ad Spend,Conversions,Unit Sales,Sales Revenue\n"Tea, loose",700,5,4.25,2,3,18.90\n',
    delivery=[dict(source_row=2, campaign_name='Tea, loose', impressions=700, clicks=5, spend='4.25', currency=None)],
    attributed='''
        2 orders  2   - click total online false unknown -
        2 units   3   - click total online false unknown -
        2 sales  18.9 - click total online false unknown -''')

# One period of 24 hours, with what the retailer's settings say: the dollars are Australian, the window is 30 days; the last row is a total, and 0 is not empty
GOLDEN['a period of 24 hours'] = dict(
    name='citrus_day.csv', given={'citrus_day.csv': dict(event_date='2026-09-01', window_days=30, currency='AUD', timezone='Australia/Sydney')},
    text='Campaign,Impressions,Clicks,Ad Spend,Conversions,Unit Sales,Sales Revenue\n'
         '0042,"12,000",85,"$1,034.50",21,30,"$2,214.00"\nTea,9,0,$0.00,0,,\nTotal,"12,009",85,"$1,034.50",21,30,"$2,214.00"\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-01', timezone='Australia/Sydney', campaign_name='0042', impressions=12000, clicks=85, spend='1034.5', currency='AUD'),
        dict(source_row=3, event_date='2026-09-01', timezone='Australia/Sydney', campaign_name='Tea', impressions=9, clicks=0, spend='0', currency='AUD')],
    attributed='''
        2 orders   21 30 click total online false unknown -
        2 units    30 30 click total online false unknown -
        2 sales  2214 30 click total online false unknown AUD
        3 orders    0 30 click total online false unknown -''',
    quarantined=[(4, 'a row of totals')])

# A French retailer's table: semicolons, decimal commas and spaces between thousands, euros that are given; without sales columns there are no sales
GOLDEN['decimal commas'] = dict(
    name='citrus_fr.csv', encoding='cp1252', given={'citrus': dict(currency='EUR')},
    text='Campaign;Impressions;Clicks;Ad Spend;Conversions\nThé d\u2019été;12\u00a0400;31;1\u00a0020,75 €;4\nCafé;0;0;0,00 €;0\n',
    delivery=[
        dict(source_row=2, campaign_name='Thé d\u2019été', impressions=12400, clicks=31, spend='1020.75', currency='EUR'),
        dict(source_row=3, campaign_name='Café', impressions=0, clicks=0, spend='0', currency='EUR')],
    attributed='''
        2 orders 4 - click total online false unknown -
        3 orders 0 - click total online false unknown -''')
