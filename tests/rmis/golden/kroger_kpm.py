"Kroger Precision Marketing. UPCs lack their check digit; aROAS is of households, so it is nobody's ratio of the two columns beside it."

GOLDEN = {}

# UPCs without their check digit (these are 0 36000 29145 2 and 0 11110 41700 8)
GOLDEN['items'] = dict(
    name='kroger.csv',
    text='Date,Campaign Name,Placement,UPC,Impressions,Clicks,Spend,Attributed Sales,Attributed Units,Households Reached,aROAS\n'
         '2026-09-01,Fall,Search,0003600029145,100,2,$3.50,20.00,4,90,5.71\n2026-09-02,Fall,Search,1111041700,50,0,0,,,,\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-01', campaign_name='Fall', placement='Search', retailer='kroger', gtin14='00036000291452', impressions=100, clicks=2, spend='3.5', currency='USD'),
        dict(source_row=3, event_date='2026-09-02', campaign_name='Fall', placement='Search', retailer='kroger', gtin14='00011110417008', impressions=50, clicks=0, spend='0', currency='USD')],
    attributed='''
        2 sales 20 14 click unknown all false unknown USD
        2 units  4 14 click unknown all false unknown -''')

# A campaign of boosts: only ratios of households say how it went (aROAS, iROAS, redemptions), and no sales are made up from them
GOLDEN['ratios only'] = dict(
    name='kroger_campaigns.tsv',
    text='Date\tCampaign Name\tPlacement\tImpressions\tClicks\tSpend\tHouseholds Reached\taROAS\tiROAS\tRedemption Rate\n'
         '2026-09-01\tBoost – Fall\tEmail\t20,400\t310\t$1,020.00\t12,900\t4.20\t1.85\t3.1%\n'
         '2026-09-01\tBoost – Fall\tPush\t0\t0\t$0.00\t\t\t\t\n',
    delivery=[
        dict(source_row=2, event_date='2026-09-01', campaign_name='Boost – Fall', placement='Email', retailer='kroger', impressions=20400, clicks=310, spend='1020', currency='USD'),
        dict(source_row=3, event_date='2026-09-01', campaign_name='Boost – Fall', placement='Push', retailer='kroger', impressions=0, clicks=0, spend='0', currency='USD')],
    attributed='')

# Alternate UPCs in a workbook that took them for numbers (0 49000 02890 4 and 0 12000 16115 5); sales in the store and online are one figure; what is not there is not 0
GOLDEN['alternate UPCs'] = dict(
    name='kroger.xlsx',
    cells=[
        ['Date', 'Campaign Name', 'Alternate UPC', 'Impressions', 'Spend', 'Attributed Sales', 'Attributed Units'],
        ['2026-09-03', 'Soda', 4900002890, 700, 5.25, 88.4, 31],
        ['2026-09-03', 'Soda', 1200016115, 12, 0, 0, None]],
    delivery=[
        dict(source_row=2, event_date='2026-09-03', campaign_name='Soda', retailer='kroger', gtin14='00049000028904', impressions=700, clicks=None, spend='5.25', currency='USD'),
        dict(source_row=3, event_date='2026-09-03', campaign_name='Soda', retailer='kroger', gtin14='00012000161155', impressions=12, clicks=None, spend='0', currency='USD')],
    attributed='''
        2 sales 88.4 14 click unknown all false unknown USD
        2 units 31   14 click unknown all false unknown -
        3 sales  0   14 click unknown all false unknown USD''')
