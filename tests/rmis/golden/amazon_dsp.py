"Amazon DSP. Clicks are clickThroughs, the cost has the fees in it, total* is the whole brand, and the zone is a column."

GOLDEN = {}

GOLDEN['line items by day'] = dict(
    name='dsp.csv',
    text='date,advertiserId,orderId,lineItemId,creativeID,orderCurrency,advertiserTimezone,impressions,viewableImpressions,measurableImpressions,clickThroughs,totalCost,supplyCost,amazonPlatformFee,purchases14d,purchasesViews14d,sales14d,totalSales14d\n'
         '2026-09-01,A1,577000000000000001,5,6,EUR,Europe/Berlin,"2,000",1500,1900,3,10.500001,9.00,1.50,2,1,30.00,75.50\n',
    delivery=[dict(source_row=2, event_date='2026-09-01', timezone='Europe/Berlin', account_id='A1', campaign_id='577000000000000001', ad_group_id='5', creative_id='6', retailer='amazon', impressions=2000, viewable_impressions=1500,
                   measurable_impressions=1900, clicks=3, spend='10.500001', spend_basis='incl_fees', currency='EUR')],
    attributed='''
        2 orders  2   14 click_or_view promoted   online false last_touch -
        2 orders  1   14 view          promoted   online false last_touch -
        2 sales  30   14 click_or_view promoted   online false last_touch EUR
        2 sales  75.5 14 click_or_view brand_halo online false last_touch EUR''')

# A summary of a week: its days are intervalStart and intervalEnd; creativeAdId is not the creative's id; every fee is part of totalCost already; new to brand for the promoted and for the brand
GOLDEN['summary of creatives'] = dict(
    name='dsp_summary.json',
    text='''[
        {"intervalStart": "2026-09-07", "intervalEnd": "2026-09-13", "advertiserId": "4250000000001", "orderId": "577000000000000002", "lineItemId": "590000000000000003", "creativeID": "0600", "creativeAdId": "777",
         "orderCurrency": "USD", "advertiserTimezone": "America/Los_Angeles", "impressions": 120000, "viewableImpressions": 81000, "measurableImpressions": 110000, "viewabilityRate": 0.736, "clickThroughs": 95, "CTR": 0.00079, "eCPM": 4.5,
         "totalCost": 540, "supplyCost": 400, "amazonAudienceFee": 50, "amazonPlatformFee": 40, "3PFees": 20, "agencyFee": 30, "totalFee": 140,
         "purchasesClicks14d": 2, "totalPurchases14d": 31, "unitsSold14d": 12, "totalUnitsSold14d": 44, "newToBrandProductSales14d": 80.25, "totalNewToBrandProductSales14d": 160.5, "newToBrandPurchases14d": 5,
         "dpv14d": 300, "atc14d": 41, "ROAS14d": 1.9, "offAmazonConversions14d": 3}]''',
    delivery=[dict(source_row=1, event_date='2026-09-07', period_end='2026-09-13', timezone='America/Los_Angeles', account_id='4250000000001', campaign_id='577000000000000002', ad_group_id='590000000000000003', creative_id='0600',
                   retailer='amazon', impressions=120000, viewable_impressions=81000, measurable_impressions=110000, clicks=95, spend='540', spend_basis='incl_fees', currency='USD')],
    attributed='''
        1 orders   2    14 click         promoted   online false last_touch -
        1 orders  31    14 click_or_view brand_halo online false last_touch -
        1 units   12    14 click_or_view promoted   online false last_touch -
        1 units   44    14 click_or_view brand_halo online false last_touch -
        1 sales   80.25 14 click_or_view promoted   online true  last_touch USD
        1 sales  160.5  14 click_or_view brand_halo online true  last_touch USD
        1 orders   5    14 click_or_view promoted   online true  last_touch -
        1 detail_page_views 300 14 unknown unknown unknown - last_touch -
        1 add_to_cart        41 14 unknown unknown unknown - last_touch -''')

# As the console saves it for Excel (UTF-16, tabs): invalid impressions are beside the impressions and not in them; yen have no cents; what was not measured is empty, what did not happen is 0
GOLDEN['invalid impressions'] = dict(
    name='dsp_console.tsv', encoding='utf-16',
    text='date\tadvertiserId\torderId\tlineItemId\torderCurrency\tadvertiserTimezone\timpressions\tinvalidImpressions\tviewableImpressions\tmeasurableImpressions\tclickThroughs\ttotalCost\tsales14d\tpurchases14d\n'
         '2026-09-01\t88\t577000000000000009\t1\tJPY\tAsia/Tokyo\t15000\t210\t9000\t14000\t30\t48000\t120000\t12\n'
         '2026-09-01\t88\t577000000000000009\t2\tJPY\tAsia/Tokyo\t300\t\t\t0\t0\t900\t0\t0\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-01', timezone='Asia/Tokyo', account_id='88', campaign_id='577000000000000009', ad_group_id='1', retailer='amazon', impressions=15000, invalid_impressions=210, viewable_impressions=9000, measurable_impressions=14000, clicks=30, spend='48000', spend_basis='incl_fees', currency='JPY'),
        dict(source_row=3, event_date='2026-09-01', timezone='Asia/Tokyo', account_id='88', campaign_id='577000000000000009', ad_group_id='2', retailer='amazon', impressions=300, invalid_impressions=None, viewable_impressions=None, measurable_impressions=0, clicks=0, spend='900', spend_basis='incl_fees', currency='JPY')],
    attributed='''
        2 sales 120000 14 click_or_view promoted online false last_touch JPY
        2 orders    12 14 click_or_view promoted online false last_touch -
        3 sales      0 14 click_or_view promoted online false last_touch JPY
        3 orders     0 14 click_or_view promoted online false last_touch -''')

# A period that ends before it begins is no period: the row is set aside, in the words of the rule that the table would break
GOLDEN['a period that ends before it begins'] = dict(
    name='dsp_backwards.csv', fault='a row whose period_end is before its event_date is let through, and the table then breaks its own rule',
    text='intervalStart,intervalEnd,advertiserId,orderId,lineItemId,orderCurrency,advertiserTimezone,impressions,clickThroughs,totalCost,sales14d\n'
         '2026-09-07,2026-09-13,1,2,3,USD,America/New_York,10,1,1.00,5.00\n2026-09-07,2026-09-01,1,2,4,USD,America/New_York,10,1,1.00,5.00\n',
    delivery=[dict(source_row=2, event_date='2026-09-07', period_end='2026-09-13', timezone='America/New_York', account_id='1', campaign_id='2', ad_group_id='3', retailer='amazon', impressions=10, clicks=1, spend='1', spend_basis='incl_fees', currency='USD')],
    attributed='2 sales 5 14 click_or_view promoted online false last_touch USD',
    quarantined=[(3, 'period_end is before event_date')])
