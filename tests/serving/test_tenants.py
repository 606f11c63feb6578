"serving.tenants: what was not granted is denied, and nothing says why to whom it does not concern."
import base64, json, time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, strategies as st

from rmn_lora.errors import AccessError, CredentialError, DatabaseGoneError, TenantError
from rmn_lora.serving.tenants import SCOPES, Access, Credentials, Tenants
from rmn_lora.storage.access import Credential

SECRET = 'a secret of at least thirty-two bytes, for tests'
CLAIMS = dict(sub='ana',tenants=['acme'],scope='infer read',exp=int(time.time())+86_400)

@pytest.fixture
def keys(db):
    tenants = Tenants(db)
    for t in ('acme','birch'): tenants.register(t)
    return Credentials(db)

def refused(credentials, given):
    with pytest.raises(CredentialError) as e: credentials.verify(given)
    return str(e.value)

# --- keys

def test_a_key_speaks_for_its_tenants_and_does_what_it_may(keys):
    access = keys.verify('Bearer '+keys.issue(['acme','birch'],['infer']))
    assert access.tenants==('acme','birch') and access.tenant('birch')=='birch' and access.scopes=={'infer'}
    for wrong in (lambda: access.tenant(),lambda: access.tenant('cedar'),lambda: access.tenant('../acme'),lambda: access.tenant(''),*(lambda s=s: access.need(s) for s in SCOPES if s!='infer')):
        with pytest.raises(AccessError): wrong()

def test_a_key_is_kept_only_as_its_hash(keys, db):
    key = keys.issue(['acme'],name='site')
    with db.get_session(readonly=True) as session: row = session.query(Credential).one().to_dict()
    secret = key.split('_',2)[2]
    assert secret not in json.dumps(row) and len(row['digest'])==64 and 'digest' not in keys.keys()[0] and keys.keys()[0]['name']=='site'

def test_all_that_is_refused_is_refused_alike(keys):
    good,revoked,expired = (keys.issue(['acme'],days=d) for d in (None,None,-1))
    keys.revoke(revoked.split('_')[1])
    head,tail = good[:-1],good[-1]
    assert len({refused(keys,g) for g in (f'Bearer {revoked}',f'Bearer {expired}',f'Bearer {head}{"A" if tail!="A" else "B"}','Bearer rmn_'+'0'*12+'_'+'A'*43,f'Basic {good}','Bearer x.y.z',f'Bearer {good} {good}')})==1
    assert refused(keys,None)==refused(keys,'')==refused(keys,'Bearer ') and keys.verify(f'bearer  {good}')

def test_a_revoked_key_is_refused_by_every_process(keys, db):
    other,key = Credentials(db),keys.issue(['acme'])
    other.verify(f'Bearer {key}'); keys.revoke(key.split('_')[1])
    refused(keys,f'Bearer {key}')
    other._known.clock = lambda: time.monotonic()+1.01
    refused(other,f'Bearer {key}')

def test_while_the_database_is_gone_a_known_key_works_and_an_unknown_one_does_not(sqlite, monkeypatch):
    Tenants(sqlite).register('acme')
    keys = Credentials(sqlite)
    known,unseen = keys.issue(['acme']),keys.issue(['acme'])
    keys.verify(f'Bearer {known}')
    def gone(*_, **__): raise DatabaseGoneError('It is gone.')
    monkeypatch.setattr(sqlite,'get_session',gone)
    keys._known.clock = lambda: time.monotonic()+300
    assert keys.verify(f'Bearer {known}').tenants==('acme',)
    with pytest.raises(DatabaseGoneError): keys.verify(f'Bearer {unseen}')
    keys._known.clock = lambda: time.monotonic()+700
    with pytest.raises(DatabaseGoneError): keys.verify(f'Bearer {known}')

def test_rotation_hands_on_what_a_key_may_and_ends_it(keys):
    old = keys.issue(['birch'],['read','manage'],name='ops')
    new = keys.rotate(old.split('_')[1])
    refused(keys,f'Bearer {old}')
    assert keys.verify(f'Bearer {new}').scopes=={'read','manage'} and keys.verify(f'Bearer {new}').tenants==('birch',)
    newer = keys.rotate(new.split('_')[1],grace=60)
    assert keys.verify(f'Bearer {new}') and keys.verify(f'Bearer {newer}')
    with pytest.raises(CredentialError, match='revoked'): keys.revoke(newer.split('_')[1]); keys.rotate(newer.split('_')[1])
    for dead in (old,new): # Replaced, the one at once, the other within its grace
        with pytest.raises(CredentialError, match='replaced'): keys.rotate(dead.split('_')[1])
    lasting = keys.rotate(keys.issue(['acme'],days=9).split('_')[1],grace=5)
    assert next(k for k in keys.keys() if k['key_id']==lasting.split('_')[1])['expires_at']>keys.keys()[0]['created_at']

@pytest.mark.parametrize('wrong', [lambda k: k.issue(['acme'],['everything']),lambda k: k.issue([]),lambda k: k.issue('acme'),lambda k: k.revoke('nobody'),lambda k: k.rotate('nobody')])
def test_keys_that_cannot_be(keys, wrong):
    with pytest.raises(CredentialError): wrong(keys)

def test_no_key_for_a_tenant_that_nobody_registered(keys):
    with pytest.raises(TenantError): keys.issue(['cedar'])
    assert keys.keys()==[]

def test_what_is_remembered_is_bounded(keys):
    keys._known.remembered = 5
    for i in range(20): refused(keys,f'Bearer rmn_{i:012d}_{"A"*43}')
    assert len(keys._known._known)<=5

@given(st.text(max_size=120))
def test_no_header_brings_more_than_a_refusal(given): # Nothing is looked up for what has not the form of a key
    class Nothing: pass
    credentials = Credentials(Nothing(),jwt_key=SECRET)
    with pytest.raises(CredentialError): credentials.verify(given)

# --- tokens

def token(claims=CLAIMS, key=SECRET, algorithm='HS256', **headers): return 'Bearer '+jwt.encode(claims,key,algorithm,headers=headers or None)

def test_a_token_is_as_good_as_a_key(keys, db):
    access = Credentials(db,jwt_key=SECRET).verify(token())
    assert access==Access('ana',('acme',),frozenset({'infer','read'}))

@pytest.mark.parametrize('change', [dict(exp=1),dict(exp=None),dict(sub=None),dict(tenants='acme'),dict(tenants=[]),dict(tenants=['ACME']),dict(tenants=['a',5]),dict(tenants=None),dict(nbf=4_000_000_000)])
def test_tokens_that_do_not_hold(db, change):
    refused(Credentials(db,jwt_key=SECRET),token({k: v for k,v in (CLAIMS|change).items() if v is not None}))

def test_a_token_never_makes_a_master(db):
    assert Credentials(db,jwt_key=SECRET).verify(token(CLAIMS|dict(scope='admin infer nonsense'))).scopes=={'infer'}

def test_how_a_token_is_signed_is_not_for_it_to_say(db):
    private = rsa.generate_private_key(65537,2048)
    public = private.public_key().public_bytes(serialization.Encoding.PEM,serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    credentials = Credentials(db,jwt_key=public)
    assert credentials.verify(token(key=private,algorithm='RS256')).who=='ana'
    part = lambda d: base64.urlsafe_b64encode(json.dumps(d).encode()).rstrip(b'=').decode()
    import hashlib, hmac
    said = f'{part(dict(alg="HS256",typ="JWT"))}.{part(CLAIMS)}'
    forged = said+'.'+base64.urlsafe_b64encode(hmac.new(public.encode(),said.encode(),hashlib.sha256).digest()).rstrip(b'=').decode()
    refused(credentials,f'Bearer {forged}'); refused(credentials,f'Bearer {part(dict(alg="none"))}.{part(CLAIMS)}.'); refused(credentials,token(key=ec.generate_private_key(ec.SECP256R1()),algorithm='ES256'))
    refused(Credentials(db,jwt_key=SECRET),token(key=private,algorithm='RS256')); refused(Credentials(db),token())

def test_an_audience_is_asked_for_where_it_is_set(db):
    credentials = Credentials(db,jwt_key=SECRET,jwt_audience='rmn')
    refused(credentials,token()); refused(credentials,token(CLAIMS|dict(aud='other')))
    assert credentials.verify(token(CLAIMS|dict(aud=['rmn','x']))).who=='ana'

def test_a_short_secret_is_refused(db):
    with pytest.raises(CredentialError, match='32 bytes'): Credentials(db,jwt_key='short')

# --- tenants

def test_tenants_have_settings_of_their_own(db):
    tenants,other = Tenants(db),Tenants(db)
    tenants.register('acme','ACME',dict(limits={'/inference':(20,60)},keep_days=3))
    assert tenants.settings('acme').limits=={'/inference':(20,60)} and tenants.settings('nobody').keep_days is None
    assert [(t['tenant_id'],t['name'],t['settings']) for t in other.list()]==[('acme','ACME',dict(limits={'/inference':[20,60.]},keep_days=3.))]
    assert other.change('acme',dict(keep_days=0)).keep_days==0 and other.settings('acme').limits=={}
    with pytest.raises(TenantError, match='already'): other.register('acme')

@pytest.mark.parametrize('wrong', [dict(tenant_id='Acme'),dict(tenant_id=''),dict(tenant_id='a'*33),dict(tenant_id='../a'),dict(tenant_id='a.b'),dict(tenant_id=None),dict(settings=dict(limit=1)),dict(settings=dict(limits={'*':[0,60]})),
    dict(settings=dict(limits={'*':[1,0]})),dict(settings=dict(limits={'*':[1,1e9]})),dict(settings=dict(keep_days=-1))])
def test_tenants_that_cannot_be(db, wrong):
    with pytest.raises(TenantError): Tenants(db).register(**(dict(tenant_id='a')|wrong))
