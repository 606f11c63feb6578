"Walmart Sponsored Search. Impressions are numAdsShown, windows end in `days`, and in-store sales stand beside online ones."

GOLDEN = {}

# Items: online and in-store side by side, new-to-brand money under another word
GOLDEN['items'] = dict(
    name='walmart.csv',
    text='date,campaignId,adGroupId,itemId,numAdsShown,numAdsClicks,adSpend,attributedSales14days,attributedSales30days,inStoreAttributedSales30days,ntbRevenue30days,otherSkuSales30days,attributedOrders14days\n'
         '2026-09-01,100,200,00055512345,"12,345",60,"$1,030.50",500.00,640.25,12.00,90.10,,7\n'
         '2026-09-01,100,200,55512346,10,1,(0.45),,,,,,\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-01', campaign_id='100', ad_group_id='200', retailer='walmart', retailer_item_id='00055512345', impressions=12345, clicks=60, spend='1030.5', currency='USD'),
        dict(source_row=3, event_date='2026-09-01', campaign_id='100', ad_group_id='200', retailer='walmart', retailer_item_id='55512346', impressions=10, clicks=1, spend='-0.45', currency='USD')],
    attributed='''
        2 sales  500    14 click total online   false last_touch USD
        2 sales  640.25 30 click total online   false last_touch USD
        2 sales   12    30 click total in_store false last_touch USD
        2 sales   90.1  30 click total online   true  last_touch USD
        2 orders   7    14 click total online   false last_touch -''')

# Keywords, as the gzip CSV of a snapshot: a category's path stands where a keyword does, three-day windows, baskets of the advertised SKU, and the brand's revenue of the first version of the report
GOLDEN['keywords'] = dict(
    name='walmart_keywords.csv.gz',
    text='date,campaignId,adGroupId,adGroup,biddedKeywords,numAdsShown,numAdsClicks,adSpend,attributedSales3days,attributedUnits3days,advertisedSkuSales3days,advertisedSkuUnits3days,otherSkuSales3days,otherSkuUnits3days,ntbOrders3days,ntbUnits3days,advertisedAddToCart3days,brandClickRevenue3days\n'
         '2026-09-02,100,200,Kettles,"kettle, electric",90,4,2.46,59.94,3,39.96,2,19.98,1,1,1,6,59.94\n'
         '2026-09-02,100,200,Kettles,Home/Kitchen/Kettles,31,0,0.00,0,0,0,0,0,0,0,0,0,0\n'
         '2026-09-02,100,201,Cups,cup,5,,,,,,,,,,,,\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-02', campaign_id='100', ad_group_id='200', ad_group_name='Kettles', keyword_text='kettle, electric', retailer='walmart', impressions=90, clicks=4, spend='2.46', currency='USD'),
        dict(source_row=3, event_date='2026-09-02', campaign_id='100', ad_group_id='200', ad_group_name='Kettles', keyword_text='Home/Kitchen/Kettles', retailer='walmart', impressions=31, clicks=0, spend='0', currency='USD'),
        dict(source_row=4, event_date='2026-09-02', campaign_id='100', ad_group_id='201', ad_group_name='Cups', keyword_text='cup', retailer='walmart', impressions=5, clicks=None, spend=None, currency='USD')],
    attributed='''
        2 sales 59.94 3 click total      online false last_touch USD
        2 units     3 3 click total      online false last_touch -
        2 sales 39.96 3 click same_sku   online false last_touch USD
        2 units     2 3 click same_sku   online false last_touch -
        2 sales 19.98 3 click other_sku  online false last_touch USD
        2 units     1 3 click other_sku  online false last_touch -
        2 orders    1 3 click total      online true  last_touch -
        2 units     1 3 click total      online true  last_touch -
        2 sales 59.94 3 click brand_halo online false last_touch USD
        3 sales     0 3 click total      online false last_touch USD
        3 units     0 3 click total      online false last_touch -
        3 sales     0 3 click same_sku   online false last_touch USD
        3 units     0 3 click same_sku   online false last_touch -
        3 sales     0 3 click other_sku  online false last_touch USD
        3 units     0 3 click other_sku  online false last_touch -
        3 orders    0 3 click total      online true  last_touch -
        3 units     0 3 click total      online true  last_touch -
        3 sales     0 3 click brand_halo online false last_touch USD
        2 add_to_cart 6 3 unknown same_sku unknown - last_touch -
        3 add_to_cart 0 3 unknown same_sku unknown - last_touch -''')

# The item's in-store columns, which only the adItem report has, in a zip; a seller's SKU is no item id; names may hold commas, quotes and other scripts
GOLDEN['in store'] = dict(
    name='walmart_ad_item.zip',
    text='date,campaignId,adGroupId,itemId,skuId,itemName,brand,numAdsShown,numAdsClicks,adSpend,inStoreAttributedSales14days,inStoreAdvertisedSales14days,inStoreOtherSales14days,inStoreOrders14days,inStoreUnitsSold14days,attributedUnits30days,ntbRevenue14days,clickThruRate\n'
         '2026-09-03,100,200,5551234567,SKU-0007,"Kettle 1.7 L, ""Té""",Hearth,1000,20,9.90,120.50,100.00,20.50,4,5,7,33.30,0.02\n'
         '2026-09-03,100,200,5551234568,SKU-0008,Cup,Hearth,0,0,0,,,,0,,,,\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-03', campaign_id='100', ad_group_id='200', retailer='walmart', retailer_item_id='5551234567', impressions=1000, clicks=20, spend='9.9', currency='USD'),
        dict(source_row=3, event_date='2026-09-03', campaign_id='100', ad_group_id='200', retailer='walmart', retailer_item_id='5551234568', impressions=0, clicks=0, spend='0', currency='USD')],
    attributed='''
        2 sales 120.5 14 click total     in_store false last_touch USD
        2 sales 100   14 click same_sku  in_store false last_touch USD
        2 sales  20.5 14 click other_sku in_store false last_touch USD
        2 orders 4    14 click total     in_store false last_touch -
        2 units  5    14 click total     in_store false last_touch -
        2 units  7    30 click total     online   false last_touch -
        2 sales 33.3  14 click total     online   true  last_touch USD
        3 orders 0    14 click total     in_store false last_touch -''')

# Two reports of one keyword and day, one of each match type, are not the same row told twice; pulled again, only its own is replaced
GOLDEN['match types in three reports'] = dict(
    reports={
        'broad.csv': 'date,campaignId,adGroupId,biddedKeywords,matchType,numAdsShown,numAdsClicks,adSpend,attributedSales14days\n2026-09-04,100,200,kettle,broad,900,20,9.10,0.00\n',
        'exact.csv': 'date,campaignId,adGroupId,biddedKeywords,matchType,numAdsShown,numAdsClicks,adSpend,attributedSales14days\n2026-09-04,100,200,kettle,exact,80,4,2.46,59.94\n',
        'exact_again.csv': 'date,campaignId,adGroupId,biddedKeywords,matchType,numAdsShown,numAdsClicks,adSpend,attributedSales14days\n2026-09-04,100,200,kettle,exact,80,4,2.46,79.92\n'},
    given={'broad.csv': dict(as_of='2026-10-20'), 'exact.csv': dict(as_of='2026-10-20'), 'exact_again.csv': dict(as_of='2026-10-21')},
    delivery=[
        dict(source_report='broad.csv', source_row=2, event_date='2026-09-04', campaign_id='100', ad_group_id='200', keyword_text='kettle', retailer='walmart', impressions=900, clicks=20, spend='9.1', currency='USD', as_of='2026-10-20', final=True),
        dict(source_report='exact_again.csv', source_row=2, event_date='2026-09-04', campaign_id='100', ad_group_id='200', keyword_text='kettle', retailer='walmart', impressions=80, clicks=4, spend='2.46', currency='USD', as_of='2026-10-21', final=True)],
    attributed='''
        broad.csv:2       sales  0    14 click total online false last_touch USD
        exact_again.csv:2 sales 79.92 14 click total online false last_touch USD''',
    superseded=[('exact.csv', 2, 'exact_again.csv', 2)])
