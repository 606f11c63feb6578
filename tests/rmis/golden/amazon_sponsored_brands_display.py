"Amazon Sponsored Brands and Sponsored Display. No window is in the names (14 days), and how a campaign is paid decides what its sales follow."

GOLDEN = {}

# Sponsored Display: costType decides the basis row by row; where both are clicks, two columns are one quantity
GOLDEN['display campaigns'] = dict(
    name='amazon_sd.csv',
    text='date,campaignId,campaignName,costType,impressions,impressionsViews,clicks,cost,campaignBudgetCurrencyCode,sales,salesClicks,newToBrandSales,detailPageViews\n'
         '2026-09-01,9007199254740993,Retarget,VCPM,1000,640,4,8.00,USD,90.10,40.00,12.00,7\n'
         '2026-09-01,9007199254740995,Defend,CPC,500,,5,2.50,USD,40.00,40.00,,\n'
         '2026-09-01,9007199254740997,Odd,,10,,0,0,USD,1.00,,,\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-01', campaign_id='9007199254740993', campaign_name='Retarget', retailer='amazon', impressions=1000, viewable_impressions=640, clicks=4, spend='8', currency='USD'),
        dict(source_row=3, event_date='2026-09-01', campaign_id='9007199254740995', campaign_name='Defend', retailer='amazon', impressions=500, clicks=5, spend='2.5', currency='USD'),
        dict(source_row=4, event_date='2026-09-01', campaign_id='9007199254740997', campaign_name='Odd', retailer='amazon', impressions=10, clicks=0, spend='0', currency='USD')],
    attributed='''
        2 sales 90.1  14 click_or_view total online false last_touch USD
        2 sales 40    14 click         total online false last_touch USD
        2 sales 12    14 click_or_view total online true  last_touch USD
        3 sales 40    14 click         total online false last_touch USD
        4 sales 1     14 unknown       total online false last_touch USD
        2 detail_page_views 7 14 unknown unknown unknown - last_touch -''')

# Sponsored Brands' purchased products: other words (orders14d), nothing but purchases, and attributionType says which purchases a row counts
GOLDEN['purchased products'] = dict(
    name='sb_purchased.json.gz',
    text='''[
        {"date": "2026-09-05", "campaignId": 281474976710677999, "campaignName": "Brand", "attributionType": "Promoted", "purchasedAsin": "B0TEA00001", "campaignBudgetCurrencyCode": "CAD",
         "orders14d": 3, "sales14d": 45.30, "unitsSold14d": 4, "newToBrandSales14d": 15.10},
        {"date": "2026-09-05", "campaignId": 281474976710677999, "campaignName": "Brand", "attributionType": "Brand Halo", "purchasedAsin": "B0CUP00009", "campaignBudgetCurrencyCode": "CAD",
         "orders14d": 1, "sales14d": 20, "unitsSold14d": 1, "newToBrandSales14d": 0},
        {"date": "2026-09-05", "campaignId": 281474976710677999, "campaignName": "Brand", "attributionType": null, "purchasedAsin": "B0CUP00010", "campaignBudgetCurrencyCode": "CAD",
         "orders14d": 1, "sales14d": null, "unitsSold14d": null, "newToBrandSales14d": null}]''',
    delivery=[dict(source_row=n, event_date='2026-09-05', campaign_id='281474976710677999', campaign_name='Brand', retailer='amazon', currency='CAD') for n in (1, 2, 3)],
    attributed='''
        1 orders    3 14 click promoted   online false last_touch -
        1 sales  45.3 14 click promoted   online false last_touch CAD
        1 units     4 14 click promoted   online false last_touch -
        1 sales  15.1 14 click promoted   online true  last_touch CAD
        2 orders    1 14 click brand_halo online false last_touch -
        2 sales    20 14 click brand_halo online false last_touch CAD
        2 units     1 14 click brand_halo online false last_touch -
        2 sales     0 14 click brand_halo online true  last_touch CAD
        3 orders    1 14 click unknown    online false last_touch -''')

# Matched targets of Sponsored Display beside Sponsored Brands: what was promoted (two spellings), baskets and page views without a basis, searches and videos that no canonical metric means
GOLDEN['matched targets'] = dict(
    name='sd_targets.jsonl',
    text='{"date": "2026-09-06", "campaignId": 1, "costType": "vcpm", "matchedTargetAsin": "B0RIVAL001", "impressions": 800, "impressionsViews": 0, "viewabilityRate": 0, "clicks": 2, "cost": 3.2, "campaignBudgetCurrencyCode": "USD", "purchases": 2, "purchasesClicks": 1, "salesPromoted": 18.0, "salesPromotedClicks": 9, "unitsSold": 2, "newToBrandPurchases": 1, "newToBrandUnitsSold": 1, "addToCart": 5, "brandedSearches": 3, "videoCompleteViews": 120}\n'
         '{"date": "2026-09-06", "campaignId": 1, "costType": "vcpm", "matchedTargetAsin": "B0RIVAL002", "impressions": 1, "impressionsViews": null, "viewabilityRate": null, "clicks": 0, "cost": 0, "campaignBudgetCurrencyCode": "USD", "purchases": 0, "purchasesClicks": 0, "salesPromoted": null, "salesPromotedClicks": null, "unitsSold": null, "newToBrandPurchases": null, "newToBrandUnitsSold": null, "addToCart": 0, "brandedSearches": null, "videoCompleteViews": null}\n',
    delivery=[
        dict(source_row=1, event_date='2026-09-06', campaign_id='1', retailer='amazon', impressions=800, viewable_impressions=0, clicks=2, spend='3.2', currency='USD'),
        dict(source_row=2, event_date='2026-09-06', campaign_id='1', retailer='amazon', impressions=1, viewable_impressions=None, clicks=0, spend='0', currency='USD')],
    attributed='''
        1 orders 2 14 click_or_view total    online false last_touch -
        1 orders 1 14 click         total    online false last_touch -
        1 sales 18 14 click_or_view same_sku online false last_touch USD
        1 sales  9 14 click         same_sku online false last_touch USD
        1 units  2 14 click_or_view total    online false last_touch -
        1 orders 1 14 click_or_view total    online true  last_touch -
        1 units  1 14 click_or_view total    online true  last_touch -
        1 add_to_cart 5 14 unknown unknown unknown - last_touch -
        2 orders 0 14 click_or_view total    online false last_touch -
        2 orders 0 14 click         total    online false last_touch -
        2 add_to_cart 0 14 unknown unknown unknown - last_touch -''')

# Keywords of Sponsored Brands: keywordText, not keyword; viewableImpressions, not impressionsViews; the other match type of a keyword, in another report, is another row; a campaign without costType may count views, too
GOLDEN['keywords in two reports'] = dict(
    reports={
        'sb_broad.json': '[{"date": "2026-09-07", "campaignId": 7, "campaignName": "Brand", "adGroupId": 8, "adGroupName": "Tea", "keywordId": 281474976710677001, "keywordText": "tea", "matchType": "BROAD", "costType": "CPC", "impressions": 500, "viewableImpressions": 420, "clicks": 6, "cost": 3.3, "campaignBudgetCurrencyCode": "USD", "purchases": 2, "purchasesPromoted": 1, "sales": 30, "newToBrandSales": 0}]',
        'sb_exact.json': '[{"date": "2026-09-07", "campaignId": 7, "campaignName": "Brand", "adGroupId": 8, "adGroupName": "Tea", "keywordId": 281474976710677002, "keywordText": "tea", "matchType": "EXACT", "impressions": 60, "viewableImpressions": null, "clicks": 2, "cost": 1.9, "campaignBudgetCurrencyCode": "USD", "purchases": 0, "purchasesPromoted": null, "sales": 0, "newToBrandSales": null}]'},
    delivery=[
        dict(source_report='sb_broad.json', source_row=1, event_date='2026-09-07', campaign_id='7', campaign_name='Brand', ad_group_id='8', ad_group_name='Tea', keyword_text='tea', retailer='amazon', impressions=500, viewable_impressions=420, clicks=6, spend='3.3', currency='USD'),
        dict(source_report='sb_exact.json', source_row=1, event_date='2026-09-07', campaign_id='7', campaign_name='Brand', ad_group_id='8', ad_group_name='Tea', keyword_text='tea', retailer='amazon', impressions=60, viewable_impressions=None, clicks=2, spend='1.9', currency='USD')],
    attributed='''
        sb_broad.json:1 orders 2 14 click         total    online false last_touch -
        sb_broad.json:1 orders 1 14 click         same_sku online false last_touch -
        sb_broad.json:1 sales 30 14 click         total    online false last_touch USD
        sb_broad.json:1 sales  0 14 click         total    online true  last_touch USD
        sb_exact.json:1 orders 0 14 unknown total    online false last_touch -
        sb_exact.json:1 sales  0 14 unknown total    online false last_touch USD''')
