"Walmart Display. The same names as in search mean exposure and all channels; orders are written as doubles."

GOLDEN = {}

# Store, pickup and delivery are parts of the total; acc has no word of ours
GOLDEN['campaigns'] = dict(
    name='walmart_display.csv',
    text='campaignExtId,campaignName,mediaType,date,numAdsShown,numAdsClicks,adSpend,attributedSales14days,attributedOrders14days,storeAttributedSales14days,pickupAttributedSales14days,deliveryAttributedSales14days,accAttributedFeaturedSales14days\n'
         '0077,Fall,OFFSITE,2026-09-01,5000,11,40.00,300.00,7.0,200.00,60.00,40.00,5.00\n',
    delivery=[dict(source_row=2, event_date='2026-09-01', campaign_id='0077', campaign_name='Fall', retailer='walmart', impressions=5000, clicks=11, spend='40', currency='USD')],
    attributed='''
        2 orders  7  14 click_or_view total    all      false unknown -
        2 sales 300  14 click_or_view total    all      false unknown USD
        2 sales 200  14 click_or_view total    in_store false unknown USD
        2 sales  60  14 click_or_view total    pickup   false unknown USD
        2 sales  40  14 click_or_view total    delivery false unknown USD
        2 sales   5  14 click_or_view promoted unknown  false unknown USD''')

# Thirty days in every channel, parts of an order among them; acc's orders are spelt with a small o; itemsets are no SKUs
GOLDEN['channels over 30 days'] = dict(
    name='walmart_display_30.csv.gz',
    text='campaignExtId,campaignName,date,numAdsShown,numAdsClicks,adSpend,attributedSales30days,attributedOrders30days,storeAttributedOrders30days,pickupAttributedOrders30days,deliveryAttributedOrders30days,accAttributedHaloSales30days,accAttributedorders30days,accAttributedorders14days\n'
         '0077,Fall,2026-09-02,5000,11,40.00,900.00,12.5,7.5,3.0,2.0,61.25,4.0,3.0\n'
         '0078,"Fall, again",2026-09-02,"1,200",0,0.00,0.0,0.0,0.0,,,,,\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-02', campaign_id='0077', campaign_name='Fall', retailer='walmart', impressions=5000, clicks=11, spend='40', currency='USD'),
        dict(source_row=3, event_date='2026-09-02', campaign_id='0078', campaign_name='Fall, again', retailer='walmart', impressions=1200, clicks=0, spend='0', currency='USD')],
    attributed='''
        2 sales  900    30 click_or_view total      all      false unknown USD
        2 orders  12.5  30 click_or_view total      all      false unknown -
        2 orders   7.5  30 click_or_view total      in_store false unknown -
        2 orders   3    30 click_or_view total      pickup   false unknown -
        2 orders   2    30 click_or_view total      delivery false unknown -
        2 sales   61.25 30 click_or_view brand_halo unknown  false unknown USD
        2 orders   4    30 click_or_view total      unknown  false unknown -
        2 orders   3    14 click_or_view total      unknown  false unknown -
        3 sales    0    30 click_or_view total      all      false unknown USD
        3 orders   0    30 click_or_view total      all      false unknown -
        3 orders   0    30 click_or_view total      in_store false unknown -''')

# Two reports of one campaign and day, each of one brand: rows that brand and category tell apart are not the same row told twice
GOLDEN['brands in two reports'] = dict(
    reports={
        'hearth.csv': 'campaignExtId,mediaType,brand,category,date,numAdsShown,numAdsClicks,adSpend,storeAttributedSales14days\n0077,ONSITE,Hearth,Kitchen,2026-09-03,100,1,1.00,9.00\n',
        'kiln.csv': 'campaignExtId,mediaType,brand,category,date,numAdsShown,numAdsClicks,adSpend,storeAttributedSales14days\n0077,ONSITE,Kiln,Kitchen,2026-09-03,200,2,2.00,8.00\n'},
    delivery=[
        dict(source_report='hearth.csv', source_row=2, event_date='2026-09-03', campaign_id='0077', retailer='walmart', impressions=100, clicks=1, spend='1', currency='USD'),
        dict(source_report='kiln.csv', source_row=2, event_date='2026-09-03', campaign_id='0077', retailer='walmart', impressions=200, clicks=2, spend='2', currency='USD')],
    attributed='''
        hearth.csv:2 sales 9 14 click_or_view total in_store false unknown USD
        kiln.csv:2   sales 8 14 click_or_view total in_store false unknown USD''')
