"Amazon Sponsored Products. The API gives gzipped JSON arrays; windows of 1, 7, 14 and 30 days are in the names and overlap."
import json

GOLDEN = {}

# Advertised products: ids are JSON numbers beyond 2^53, cost and spend are one quantity, empty means empty
GOLDEN['advertised products'] = dict(
    name='amazon.json.gz',
    text=json.dumps([
        {'date': '2026-09-01', 'campaignId': 281474976710677123, 'adGroupId': 5, 'advertisedAsin': 'B000000001', 'impressions': 1000, 'clicks': 10, 'cost': 12.3, 'spend': 12.3,
         'campaignBudgetCurrencyCode': 'EUR', 'sales7d': 40.1, 'sales14d': 55.05, 'attributedSalesSameSku14d': 50, 'purchases14d': 3, 'unitsSoldClicks14d': 4, 'costPerClick': 1.23},
        {'date': '2026-09-02', 'campaignId': 281474976710677123, 'adGroupId': 5, 'advertisedAsin': 'B000000002', 'impressions': 0, 'clicks': 0, 'cost': 0, 'spend': 0,
         'campaignBudgetCurrencyCode': 'EUR', 'sales7d': None, 'sales14d': 0, 'attributedSalesSameSku14d': 0, 'purchases14d': 0, 'unitsSoldClicks14d': 0, 'costPerClick': None}]),
    delivery=[
        dict(source_row=1, event_date='2026-09-01', campaign_id='281474976710677123', ad_group_id='5', retailer='amazon', retailer_item_id='B000000001', impressions=1000, clicks=10, spend='12.3', currency='EUR'),
        dict(source_row=2, event_date='2026-09-02', campaign_id='281474976710677123', ad_group_id='5', retailer='amazon', retailer_item_id='B000000002', impressions=0, clicks=0, spend='0', currency='EUR')],
    attributed='''
        1 sales  40.1   7 click total    online false last_touch EUR
        1 sales 55.05  14 click total    online false last_touch EUR
        1 sales    50  14 click same_sku online false last_touch EUR
        1 orders    3  14 click total    online false last_touch -
        1 units     4  14 click total    online false last_touch -
        2 sales     0  14 click total    online false last_touch EUR
        2 sales     0  14 click same_sku online false last_touch EUR
        2 orders    0  14 click total    online false last_touch -
        2 units     0  14 click total    online false last_touch -''')

# Search terms: two rows that only the term tells apart, every window, the other SKUs that only seven days have, and ratios and shares that are nobody's sums
GOLDEN['search terms'] = dict(
    name='sp_search_terms.json',
    text='''[
        {"date": "2026-10-31", "campaignId": 333, "campaignName": "Tea – Exact", "adGroupId": 44, "keywordId": 281474976710699, "keywordType": "EXACT", "matchType": "EXACT",
         "targeting": "green tea", "searchTerm": "green tea 100 bags", "impressions": 40, "clicks": 3, "spend": 1.05, "costPerClick": 0.35, "clickThroughRate": 0.075,
         "campaignBudgetCurrencyCode": "GBP", "campaignBudgetAmount": 25, "campaignBudgetType": "DAILY_BUDGET", "portfolioId": 9,
         "purchases1d": 1, "sales1d": 4.99, "unitsSoldClicks1d": 1, "purchasesSameSku1d": 0, "attributedSalesSameSku1d": 0.0, "unitsSoldSameSku1d": 0,
         "purchases7d": 2, "sales7d": 9.98, "salesOtherSku7d": 4.99, "unitsSoldOtherSku7d": 1,
         "purchases30d": 3, "sales30d": 14.97, "unitsSoldClicks30d": 3, "purchasesSameSku30d": 2, "attributedSalesSameSku30d": 9.98, "unitsSoldSameSku30d": 2,
         "acosClicks14d": 0.0702, "roasClicks14d": 14.25, "topOfSearchImpressionShare": 31.2},
        {"date": "2026-10-31", "campaignId": 333, "campaignName": "Tea – Exact", "adGroupId": 44, "keywordId": 281474976710699, "keywordType": "EXACT", "matchType": "EXACT",
         "targeting": "green tea", "searchTerm": "green tea", "impressions": 7, "clicks": 0, "spend": 0, "costPerClick": null, "clickThroughRate": 0,
         "campaignBudgetCurrencyCode": "GBP", "purchases7d": 0, "acosClicks14d": null, "roasClicks14d": null}]''',
    delivery=[
        dict(source_row=1, event_date='2026-10-31', campaign_id='333', campaign_name='Tea – Exact', ad_group_id='44', retailer='amazon', impressions=40, clicks=3, spend='1.05', currency='GBP'),
        dict(source_row=2, event_date='2026-10-31', campaign_id='333', campaign_name='Tea – Exact', ad_group_id='44', retailer='amazon', impressions=7, clicks=0, spend='0', currency='GBP')],
    attributed='''
        1 orders    1   1 click total     online false last_touch -
        1 sales  4.99   1 click total     online false last_touch GBP
        1 units     1   1 click total     online false last_touch -
        1 orders    0   1 click same_sku  online false last_touch -
        1 sales     0   1 click same_sku  online false last_touch GBP
        1 units     0   1 click same_sku  online false last_touch -
        1 orders    2   7 click total     online false last_touch -
        1 sales  9.98   7 click total     online false last_touch GBP
        1 sales  4.99   7 click other_sku online false last_touch GBP
        1 units     1   7 click other_sku online false last_touch -
        1 orders    3  30 click total     online false last_touch -
        1 sales 14.97  30 click total     online false last_touch GBP
        1 units     3  30 click total     online false last_touch -
        1 orders    2  30 click same_sku  online false last_touch -
        1 sales  9.98  30 click same_sku  online false last_touch GBP
        1 units     2  30 click same_sku  online false last_touch -
        2 orders    0   7 click total     online false last_touch -''')

# A summary: no date but startDate and endDate, so a row is of a month; a seller's SKU is text of its own; a column that no guide lists is left alone
GOLDEN['summary'] = dict(
    name='sp_summary.csv.gz',
    text='startDate,endDate,campaignId,adGroupId,adId,advertisedAsin,advertisedSku,impressions,clicks,cost,campaignBudgetCurrencyCode,purchasesSameSku14d,unitsSoldSameSku14d,sales30d,retailerNote\n'
         '2026-08-01,2026-08-31,0123,9,281474976710700001,B0TEA00001,TEA-01,90000,810,"1,215.40",USD,40,52,"3,104.00",checked\n'
         '2026-08-01,2026-08-31,0123,9,281474976710700002,B0TEA00002,,0,0,0.00,USD,,,,\n',
    delivery=[
        dict(source_row=2, event_date='2026-08-01', period_end='2026-08-31', campaign_id='0123', ad_group_id='9', ad_id='281474976710700001', retailer='amazon', retailer_item_id='B0TEA00001', impressions=90000, clicks=810, spend='1215.4', currency='USD'),
        dict(source_row=3, event_date='2026-08-01', period_end='2026-08-31', campaign_id='0123', ad_group_id='9', ad_id='281474976710700002', retailer='amazon', retailer_item_id='B0TEA00002', impressions=0, clicks=0, spend='0', currency='USD')],
    attributed='''
        2 orders   40  14 click same_sku online false last_touch -
        2 units    52  14 click same_sku online false last_touch -
        2 sales  3104  30 click total    online false last_touch USD''')

# Purchased products: no impressions and no cost, so both are unknown and not 0; every window of the other SKUs; a second report of the same ad differs in what was bought, so it is no restatement of the first
GOLDEN['purchased products'] = dict(
    reports={
        'bought_cup.json': '''[{"date": "2026-09-04", "campaignId": 333, "campaignName": "Tea", "adGroupId": 44, "adGroupName": "Leaves", "advertisedAsin": "B0TEA00001", "advertisedSku": "TEA-01", "keywordId": 5, "keyword": "loose tea", "keywordType": "PHRASE", "matchType": "PHRASE",
            "purchasedAsin": "B0CUP00009", "campaignBudgetCurrencyCode": "USD", "purchasesOtherSku1d": 0, "purchasesOtherSku7d": 1, "salesOtherSku1d": 0, "salesOtherSku7d": 12.5, "salesOtherSku14d": 25, "unitsSoldOtherSku30d": 2}]''',
        'bought_pot.json': '''[{"date": "2026-09-04", "campaignId": 333, "campaignName": "Tea", "adGroupId": 44, "adGroupName": "Leaves", "advertisedAsin": "B0TEA00001", "advertisedSku": "TEA-01", "keywordId": 5, "keyword": "loose tea", "keywordType": "PHRASE", "matchType": "PHRASE",
            "purchasedAsin": "B0POT00003", "campaignBudgetCurrencyCode": "USD", "purchasesOtherSku1d": 1, "purchasesOtherSku7d": 1, "salesOtherSku1d": 40, "salesOtherSku7d": 40, "salesOtherSku14d": null, "unitsSoldOtherSku30d": 1}]'''},
    delivery=[dict(source_report=n, source_row=1, event_date='2026-09-04', campaign_id='333', campaign_name='Tea', ad_group_id='44', ad_group_name='Leaves', keyword_text='loose tea', retailer='amazon', retailer_item_id='B0TEA00001', impressions=None, clicks=None, spend=None, currency='USD')
              for n in ('bought_cup.json', 'bought_pot.json')],
    attributed='''
        bought_cup.json:1 orders  0    1 click other_sku online false last_touch -
        bought_cup.json:1 orders  1    7 click other_sku online false last_touch -
        bought_cup.json:1 sales   0    1 click other_sku online false last_touch USD
        bought_cup.json:1 sales  12.5  7 click other_sku online false last_touch USD
        bought_cup.json:1 sales  25   14 click other_sku online false last_touch USD
        bought_cup.json:1 units   2   30 click other_sku online false last_touch -
        bought_pot.json:1 orders  1    1 click other_sku online false last_touch -
        bought_pot.json:1 orders  1    7 click other_sku online false last_touch -
        bought_pot.json:1 sales  40    1 click other_sku online false last_touch USD
        bought_pot.json:1 sales  40    7 click other_sku online false last_touch USD
        bought_pot.json:1 units   1   30 click other_sku online false last_touch -''')

# A report that pandas has been at: a missing id made every id of the column a float, and 17 digits are more than a float holds
GOLDEN['ids as floats'] = dict(
    name='sp_pandas.json', fault='a JSON number with a point or an exponent is rounded to a float before it is read as an id',
    text='''[
        {"date": "2026-09-01", "campaignId": 281474976710677123.0, "adGroupId": 5.0, "advertisedAsin": "B000000001", "impressions": 10, "clicks": 1, "cost": 1, "campaignBudgetCurrencyCode": "USD", "sales7d": 2},
        {"date": "2026-09-01", "campaignId": 2.8147497671067712e+17, "adGroupId": 5.0, "advertisedAsin": "B000000001", "impressions": 10, "clicks": 1, "cost": 1, "campaignBudgetCurrencyCode": "USD", "sales7d": 2},
        {"date": "2026-09-01", "campaignId": 333.0, "adGroupId": null, "advertisedAsin": "B000000001", "impressions": 10, "clicks": 1, "cost": 1, "campaignBudgetCurrencyCode": "USD", "sales7d": 2}]''',
    delivery=[dict(source_row=3, event_date='2026-09-01', campaign_id='333', retailer='amazon', retailer_item_id='B000000001', impressions=10, clicks=1, spend='1', currency='USD')],
    attributed='3 sales 2 7 click total online false last_touch USD',
    quarantined=[(1, 'a spreadsheet has rounded this id'), (2, 'a spreadsheet has rounded this id')])
