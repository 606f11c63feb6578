"Every route, and everybody who may ask it: the default is to deny."
import re


from rmn_lora.serving.guards import Needs
from rmn_lora.serving.middleware import PUBLIC
from rmn_lora.serving.tenants import SCOPES

def operations(here):
    "Every route of the application: (method, path, scope, whether only for operators)."
    found = []
    for r in [*here.app.routes,*(r for router in here.app.state.routers for r in router.routes)]:
        for method in sorted((getattr(r,'methods',None) or set())-{'HEAD'}):
            need = next((d.dependency for d in getattr(r,'dependencies',()) if isinstance(d.dependency,Needs)),None)
            found.append((method,r.path,need.scope if need else None,need.operator if need else False))
    return found

def example(here, method, path):
    "A request for a route as its documentation shows it."
    schema = here.app.openapi()
    operation = schema['paths'][path][method.lower()]
    def resolved(s): return schema['components']['schemas'][s['$ref'].rsplit('/',1)[1]] if '$ref' in s else s
    values = {p['name']: (p.get('schema',{}).get('examples') or p.get('examples') or p['schema'].get('items',{}).get('examples') or [p['schema'].get('default')])[0] for p in operation.get('parameters',()) if p['in']!='header' and (p['in']=='path' or p.get('required'))}
    url = re.sub(r'\{(\w+)\}',lambda m: str(values.pop(m[1])),path)
    body = operation.get('requestBody',{}).get('content',{})
    more = dict(params={k: v for k,v in values.items() if v is not None})
    if 'application/json' in body:
        s = resolved(body['application/json']['schema'])
        s = next((resolved(x) for x in s.get('anyOf',()) if '$ref' in x),s)
        more['json'] = s['examples'][0]
    return url,more

def test_every_route_says_what_it_needs(here):
    documented = {(m.upper(),path) for path,by in here.app.openapi()['paths'].items() for m in by}
    assert documented<={(method,path) for method,path,*_ in operations(here)} and len(documented)>35 # None is missing here
    for method,path,scope,_ in operations(here):
        assert scope in SCOPES or path in PUBLIC, f'{method} {path} is open to everybody'

def test_every_route_is_documented_with_an_example(here):
    for method,path,scope,_ in operations(here):
        if scope is None and path!='/health': continue
        if path=='/adapters' and method=='POST': continue # A form with files
        example(here,method,path)
        operation = here.app.openapi()['paths'][path][method.lower()]
        assert operation['description'] and {'401','403','422','429','500','503'}<=set(operation['responses'])

def test_every_example_works(begin):
    here = begin(insecure=True,tenants=())
    order = ('/tenants/register','/inference','/ab-testing/experiments','/ab-testing/experiments/{experiment_id}/{action}','/ab-testing/impressions','/composition/swap','/composition/rollback','/keys')
    todo = sorted(((m.upper(),path) for path,by in here.app.openapi()['paths'].items() for m in by if (m,path)!=('post','/adapters')), key=lambda x: (order.index(x[1]) if x[1] in order else len(order),x[0]=='DELETE'))
    answered = None
    for method,path in todo:
        url,more = example(here,method,path)
        if path=='/ab-testing/outcomes': # Of an impression that waits
            here.ask('POST','/ab-testing/impressions',None,json=dict(experiment_id=more['json']['experiment_id'],variant_id='v1',success=None,key=more['json']['key']))
        if '{answer_id}' in path: url = path.replace('{answer_id}',answered)
        if '{key_id}' in path: url = path.replace('{key_id}',here.server.credentials.issue(None).split('_')[1])
        r = here.ask(method,url,None,**more)
        assert r.status_code==200, (method,path,r.text)
        if path=='/inference': answered = r.json()['id']

def test_without_keys_it_is_asked_as_this_machine_only(begin):
    here = begin(insecure=True)
    def ask(host): return here.ask('GET','/adapters',None,headers={'Host': host}).status_code
    assert [ask(h) for h in ('localhost','127.0.0.1:8000','[::1]:8000')]==[200]*3
    assert [ask(h) for h in ('evil.example','127.0.0.1.evil.example','localhost.evil.example:8000','')]==[403]*4

SHORT_OF = ('infer','read','record','manage','admin')

def test_each_route_against_each_credential(here):
    issue,expired = here.server.credentials.issue,here.server.credentials.issue(['acme'],SHORT_OF,days=1e-9)
    revoked = issue(['acme'],SHORT_OF); here.server.credentials.revoke(revoked.split('_')[1])
    wrong = 'rmn_0123456789ab_'+'A'*43
    lacking = {s: issue(['acme'],[x for x in SHORT_OF if x!=s]) for s in SHORT_OF}
    for method,path,scope,operator in operations(here):
        if scope is None: continue
        url,more = (path,dict(files=dict(config=b'',weights=b''),data=dict(id='x',kind='task'))) if (method,path)==('POST','/adapters') else example(here,method,path)
        def ask(who, tenant=None, method=method, url=url, more=more): return here.ask(method,url,who,tenant,**more).status_code
        assert [ask(w) for w in (None,wrong,revoked,expired,'Basic x')]==[401]*5, (method,path)
        assert ask(lacking[scope])==403, (method,path)
        assert ask('acme','birch')==403, (method,path)
        if operator: assert ask('acme')==403, (method,path)
        elif scope!='admin': assert ask('acme') not in (401,403,500), (method,path)
        if (method,path) not in (('DELETE','/keys/{key_id}'),): assert ask('operator','acme') not in (401,403,500), (method,path)

def test_what_is_public_is_there_without_a_key(here):
    for path in sorted(PUBLIC-{'/redoc','/docs/oauth2-redirect'}): assert here.ask('GET',path,None).status_code==200
    assert set(here.ask('GET','/health',None).json())=={'status','live','ready'} # Nothing about the machine
    assert 'database' in here.ask('GET','/health','operator').json() and 'database' not in here.ask('GET','/health','acme').json()

def test_the_documentation_asks_nothing_of_the_network(here):
    page = here.ask('GET','/docs',None).text
    assert re.findall(r'(?:src|href)="([^"]+)"',page) and not re.findall(r'(?:src|href)="(?:https?:)?//',page)
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"',page): assert here.ask('GET',asset,None).status_code==200

def test_a_header_is_no_credential(here):
    assert here.ask('GET','/adapters',None,'acme').status_code==401
    assert here.ask('GET','/adapters','operator','no such tenant!').status_code==403

def test_tokens(begin, tmp_path):
    import jwt
    (tmp_path/'secret').write_text('s'*40)
    there = begin(serving=dict(jwt_key=str(tmp_path/'secret')))
    def token(**claims): return jwt.encode(dict(sub='ana',exp=4_000_000_000,tenants=['acme'],scope='infer read')|claims,'s'*40,'HS256')
    assert there.ask('GET','/me',token()).json()==dict(who='ana',tenants=['acme'],scopes=['infer','read'],tenant='acme')
    assert there.ask('GET','/adapters',token(),'birch').status_code==403
    assert there.ask('GET','/me',token(exp=1)).status_code==there.ask('GET','/me',jwt.encode(dict(sub='ana'),'t'*40,'HS256')).status_code==401
    assert there.ask('GET','/keys',token(scope='admin read')).status_code==403 # No token makes an operator
