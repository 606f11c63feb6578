"Criteo Retail Media. Neither window nor currency nor match is in the file; one account spans many retailers; figures move until the 120th hour."

GOLDEN = {}

# Assisted sales are never attributed ones; spend has no currency until somebody gives it
GOLDEN['line items'] = dict(
    name='criteo.csv',
    text='date;accountId;campaignId;lineItemId;retailerName;pageTypeName;advProductId;impressions;clicks;invalidClicks;spend;attributedSales;attributedUnits;assistedSales\n'
         '2026-09-03;007;31;41;Carrefour;search;000123;500;4;1;3.20;18.00;2;99.00\n'
         '2026-09-03;007;31;42;Fnac;home;000124;;;;0.10;;;\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-03', account_id='007', campaign_id='31', ad_group_id='41', retailer='Carrefour', placement='search', retailer_item_id='000123', impressions=500, clicks=4, invalid_clicks=1, spend='3.2', currency=None),
        dict(source_row=3, event_date='2026-09-03', account_id='007', campaign_id='31', ad_group_id='42', retailer='Fnac', placement='home', retailer_item_id='000124', impressions=None, clicks=None, invalid_clicks=None, spend='0.1', currency=None)],
    attributed='''
        2 sales 18 - click_and_view unknown online false last_touch -
        2 units  2 - click_and_view unknown online false last_touch -''')

# Transactions by hour, with what the request and the account know: two hours of one product are two rows, the product bought is not the one advertised, and a week later the day has settled but a window of 30 days is still open
GOLDEN['transactions by hour'] = dict(
    name='criteo_transactions.json.gz',
    given={'criteo': dict(window_days=30, product_match='same_category', currency='EUR', timezone='Europe/Paris', as_of='2026-09-10')},
    text='''[
        {"date": "2026-09-03", "hour": 9, "accountId": "007", "campaignId": "31", "campaignName": "Rentrée", "lineItemId": "41", "lineItemName": "Cahiers", "retailerId": "1106", "retailerName": "Carrefour", "environment": "web",
         "keyword": "cahier", "searchTerm": "cahier a4", "advProductId": "0005900001", "advProductName": "Cahier A4", "advProductCategory": "Papeterie", "purchasedProductId": "0005900077", "creativeId": "0900",
         "impressions": 20, "clicks": 2, "grossClicks": 3, "spend": 0.84, "cpc": 0.42, "ctr": 0.1, "cpm": 42, "roas": 8.9, "attributedSales": 7.5, "attributedUnits": 3, "assistedUnits": 1, "exposedUsers": 15, "impressionShare": 0.2, "videosPlayedTo25": 0},
        {"date": "2026-09-03", "hour": 10, "accountId": "007", "campaignId": "31", "campaignName": "Rentrée", "lineItemId": "41", "lineItemName": "Cahiers", "retailerId": "1106", "retailerName": "Carrefour", "environment": "web",
         "keyword": "cahier", "searchTerm": "cahier a4", "advProductId": "0005900001", "advProductName": "Cahier A4", "advProductCategory": "Papeterie", "purchasedProductId": null, "creativeId": "0900",
         "impressions": 0, "clicks": 0, "grossClicks": 0, "spend": 0, "cpc": null, "ctr": null, "cpm": null, "roas": null, "attributedSales": 0, "attributedUnits": null, "assistedUnits": null, "exposedUsers": null, "impressionShare": null, "videosPlayedTo25": null}]''',
    delivery=[
        dict(source_row=1, event_date='2026-09-03', timezone='Europe/Paris', account_id='007', campaign_id='31', campaign_name='Rentrée', ad_group_id='41', ad_group_name='Cahiers', creative_id='0900', keyword_text='cahier', retailer='Carrefour',
             retailer_item_id='0005900001', impressions=20, clicks=2, spend='0.84', currency='EUR', as_of='2026-09-10', final=True),
        dict(source_row=2, event_date='2026-09-03', timezone='Europe/Paris', account_id='007', campaign_id='31', campaign_name='Rentrée', ad_group_id='41', ad_group_name='Cahiers', creative_id='0900', keyword_text='cahier', retailer='Carrefour',
             retailer_item_id='0005900001', impressions=0, clicks=0, spend='0', currency='EUR', as_of='2026-09-10', final=True)],
    attributed='''
        1 sales 7.5 30 click_and_view same_category online false last_touch EUR
        1 units 3   30 click_and_view same_category online false last_touch -
        2 sales 0   30 click_and_view same_category online false last_touch EUR''')

# The same day pulled twice, within the 120 hours and after them; a new column is appended at the end, as Criteo does; only one line item is told again
GOLDEN['the same day again'] = dict(
    reports={
        'criteo_early.csv': 'date,campaignId,lineItemId,retailerName,impressions,clicks,spend,attributedSales\n2026-09-03,31,41,Carrefour,500,4,3.20,18.00\n2026-09-03,31,42,Fnac,70,1,0.50,\n',
        'criteo_late.csv': 'date,campaignId,lineItemId,retailerName,impressions,clicks,spend,attributedSales,omnichannelReach\n2026-09-03,31,41,Carrefour,498,3,2.40,36.00,11\n'},
    given={'criteo_early.csv': dict(as_of='2026-09-04'), 'criteo_late.csv': dict(as_of='2026-09-09')},
    delivery=[
        dict(source_report='criteo_early.csv', source_row=3, event_date='2026-09-03', campaign_id='31', ad_group_id='42', retailer='Fnac', impressions=70, clicks=1, spend='0.5', as_of='2026-09-04', final=False),
        dict(source_report='criteo_late.csv', source_row=2, event_date='2026-09-03', campaign_id='31', ad_group_id='41', retailer='Carrefour', impressions=498, clicks=3, spend='2.4', as_of='2026-09-09', final=True)],
    attributed='criteo_late.csv:2 sales 36 - click_and_view unknown online false last_touch -',
    superseded=[('criteo_early.csv', 2, 'criteo_late.csv', 2)])
