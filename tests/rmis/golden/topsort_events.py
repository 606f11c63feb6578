"Topsort's events. A row is something that a shopper did; only purchases have items, only what was auctioned has a bid, and no money has a currency."

GOLDEN = {}

# A promoted product is seen in a shop, a basket of two is bought, somebody clicks without an auction
GOLDEN['a morning'] = dict(
    name='events.jsonl', given={'topsort': dict(currency='USD', event_type='click')},
    text='{"id": "001", "occurredAt": "2026-09-01T23:30:00-05:00", "opaqueUserId": "u1", "resolvedBidId": "WyJiX01", "entity": {"type": "product", "id": "p0"}, "channel": "instore", "deviceType": "mobile"}\n'
         '{"id": "002", "occurredAt": "2026-09-01T12:00:00Z", "opaqueUserId": "u1", "items": [{"productId": "0077", "quantity": 2, "unitPrice": 3.50, "vendorId": "v1"}, {"productId": "0078", "unitPrice": 0.1}]}\n'
         '{"id": "003", "occurredAt": "2026-09-01T12:00:00Z", "opaqueUserId": "u2", "entity": {"type": "product", "id": "p9"}, "channel": "onsite"}\n',
    events=[
        dict(source_row=1, item=1, event_id='001', event_type='click', event_time='2026-09-02 04:30:00+00:00', user_id='u1', auction_id='WyJiX01', sponsored=True, site_scope='in_store', device='mobile', currency='USD'),
        dict(source_row=2, item=1, event_id='002', event_type='purchase', event_time='2026-09-01 12:00:00+00:00', user_id='u1', sponsored=False, retailer_item_id='0077', seller_id='v1', quantity=2, unit_price='3.5', currency='USD'),
        dict(source_row=2, item=2, event_id='002', event_type='purchase', event_time='2026-09-01 12:00:00+00:00', user_id='u1', sponsored=False, retailer_item_id='0078', quantity=1, unit_price='0.1', currency='USD'),
        dict(source_row=3, item=1, event_id='003', event_type='click', event_time='2026-09-01 12:00:00+00:00', user_id='u2', sponsored=False, site_scope='onsite', retailer_item_id='p9', currency='USD')])

# A zip of purchases, a JSON array: a basket of three with one product twice, no quantity is one, no price is no price, and nobody says which currency; one that was sent again counts once
GOLDEN['baskets'] = dict(
    name='purchases.zip',
    text='''[
        {"id": "0010", "occurredAt": "2026-09-03T08:15:30.250+02:00", "opaqueUserId": "71303ce0-de89-496d-8270-6434589615e8", "channel": "onsite", "deviceType": "desktop", "items": [
            {"productId": "000123", "quantity": 3, "unitPrice": 12.05, "vendorId": "v-9"}, {"productId": "000123", "unitPrice": 12.05, "vendorId": "v-9"}, {"productId": "9007199254740993", "quantity": 1, "unitPrice": null}]},
        {"id": "0010", "occurredAt": "2026-09-03T08:15:30.250+02:00", "opaqueUserId": "71303ce0-de89-496d-8270-6434589615e8", "channel": "onsite", "deviceType": "desktop", "items": [
            {"productId": "000123", "quantity": 3, "unitPrice": 12.05, "vendorId": "v-9"}, {"productId": "000123", "unitPrice": 12.05, "vendorId": "v-9"}, {"productId": "9007199254740993", "quantity": 1, "unitPrice": null}]},
        {"id": "0011", "occurredAt": "2026-09-03T08:15:31Z", "opaqueUserId": "u3", "channel": "offsite", "deviceType": null, "items": [{"productId": "7", "quantity": 1, "unitPrice": 2.5, "vendorId": null}]}]''',
    events=[
        dict(source_row=1, item=1, event_id='0010', event_type='purchase', event_time='2026-09-03 06:15:30.250000+00:00', user_id='71303ce0-de89-496d-8270-6434589615e8', sponsored=False, site_scope='onsite', device='desktop', retailer_item_id='000123', seller_id='v-9', quantity=3, unit_price='12.05'),
        dict(source_row=1, item=2, event_id='0010', event_type='purchase', event_time='2026-09-03 06:15:30.250000+00:00', user_id='71303ce0-de89-496d-8270-6434589615e8', sponsored=False, site_scope='onsite', device='desktop', retailer_item_id='000123', seller_id='v-9', quantity=1, unit_price='12.05'),
        dict(source_row=1, item=3, event_id='0010', event_type='purchase', event_time='2026-09-03 06:15:30.250000+00:00', user_id='71303ce0-de89-496d-8270-6434589615e8', sponsored=False, site_scope='onsite', device='desktop', retailer_item_id='9007199254740993', quantity=1),
        dict(source_row=3, item=1, event_id='0011', event_type='purchase', event_time='2026-09-03 08:15:31+00:00', user_id='u3', sponsored=False, site_scope='offsite', retailer_item_id='7', quantity=1, unit_price='2.5')],
    superseded=[('purchases.zip', 2, 'purchases.zip', 1)])

# Impressions in the hour that a clock is set back: a bid that was won (its entity is then not looked at), a product that nobody paid for, and a moment without its offset
GOLDEN['impressions'] = dict(
    name='impressions.jsonl.gz', given={'topsort': dict(event_type='impression')},
    text='{"id": "i1", "occurredAt": "2026-10-25T02:30:00+02:00", "opaqueUserId": "u1", "resolvedBidId": "WyJiX02", "entity": {"type": "product", "id": "p1"}, "channel": "onsite", "deviceType": "mobile", "page": {"type": "search", "pageId": "/s"}}\n'
         '{"id": "i2", "occurredAt": "2026-10-25T02:30:00+01:00", "opaqueUserId": "u1", "resolvedBidId": null, "entity": {"type": "product", "id": "0002"}, "channel": "onsite", "deviceType": "mobile"}\n'
         '{"id": "i4", "occurredAt": "2026-10-25T03:00:00", "opaqueUserId": "u2", "entity": {"type": "product", "id": "p4"}, "channel": "onsite", "deviceType": "mobile"}\n',
    events=[
        dict(source_row=1, item=1, event_id='i1', event_type='impression', event_time='2026-10-25 00:30:00+00:00', user_id='u1', auction_id='WyJiX02', sponsored=True, site_scope='onsite', device='mobile'),
        dict(source_row=2, item=1, event_id='i2', event_type='impression', event_time='2026-10-25 01:30:00+00:00', user_id='u1', sponsored=False, site_scope='onsite', device='mobile', retailer_item_id='0002')],
    quarantined=[(3, 'not a moment with its offset, as 2026-09-30T12:00:00Z')])

# A click on a vendor's page: the entity's type says that its id is a vendor's, not a product's (openapi: Entity.type is product or vendor)
GOLDEN['a vendor'] = dict(
    name='clicks.json', given={'topsort': dict(event_type='click')}, fault='the id of an entity of the type vendor is taken for an item of the retailer',
    text='[{"id": "c1", "occurredAt": "2026-10-25T03:00:00+01:00", "opaqueUserId": "u2", "entity": {"type": "vendor", "id": "v-9"}, "channel": "onsite", "deviceType": "mobile"}]',
    events=[dict(source_row=1, item=1, event_id='c1', event_type='click', event_time='2026-10-25 02:00:00+00:00', user_id='u2', sponsored=False, site_scope='onsite', device='mobile', retailer_item_id=None, seller_id='v-9')])
