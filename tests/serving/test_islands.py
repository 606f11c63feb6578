"A tenant is an island: adapters, names, experiments, figures, errors."
import json, shutil
from urllib.parse import quote

import numpy as np, pytest
from hypothesis import given, settings, strategies as st
from safetensors.torch import load_file, save_file

from rmn_lora.serving.island import Island

def folder(here, name='task_tools'): return here.runtime.manager.store.look_up(name).path
def upload(here, id, who='acme', kind='task', change=None, config=None, files=None):
    path = folder(here)
    weights,said = (path/'adapter_model.safetensors').read_bytes(),json.loads((path/'adapter_config.json').read_text())
    if change:
        tensors = load_file(path/'adapter_model.safetensors'); change(tensors)
        save_file(tensors,here.folder/'changed.safetensors'); weights = (here.folder/'changed.safetensors').read_bytes()
    return here.ask('POST','/adapters',who,data=dict(id=id,kind=kind),files=files or dict(config=('adapter_config.json',json.dumps(said|(config or {}))),weights=('adapter_model.safetensors',weights)))
def smaller(tensors):
    for k in tensors: tensors[k] = tensors[k]*.999

def names(here, who): return {a['id'] for a in here.ask('GET','/adapters',who).json()['adapters']}

def test_a_tenants_adapter_is_its_own(here):
    made = upload(here,'voice',change=smaller).json()
    assert made['name']=='voice' and 'voice' in names(here,'acme') and 'voice' not in names(here,'birch') and 'acme.voice' in names(here,'operator')
    r = here.infer(adapters=['voice']).json()
    assert r['composition']['adapters'][0]['version']==made['version'] and r['composition']['adapters'][0]['id']=='voice'
    told = [here.infer(who='birch',adapters=[n]) for n in ('voice','acme.voice',made['version'],'nobody')]
    assert [t.status_code for t in told]==[404]*4 and len({t.json()['detail'].replace(n,'') for t,n in zip(told,('voice','acme.voice',made['version'],'nobody'))})==1 # In the same words as what is not there
    assert 'acme' not in ''.join(t.text for t in (told[0],told[3]))
    assert here.ask('GET','/aliases','birch').json().keys()=={'task_tools','task_tools_first'}

def test_ones_own_before_everybodys(here):
    made = upload(here,'task_tools','birch',change=lambda t: [t.__setitem__(k,t[k]*1.001) for k in t]).json()
    by = {w: here.ask('POST','/inference',w,json=dict(messages=[dict(content='x')],task='tools',max_new_tokens=2)).json()['composition']['adapters'][0]['version'] for w in ('acme','birch')}
    assert by['birch']==made['version']!=by['acme']

def test_what_it_is_told_is_in_its_own_names(here):
    made(here,'named',variants=[dict(variant_id='a',adapter_ids=['voice'],traffic_percentage=.5),dict(variant_id='b',adapter_ids=['task_tools'],traffic_percentage=.5)])
    r = here.infer('named',adapters=['voice'],user_id='ana').json()
    said = here.ask('GET',f'/answers/{r["id"]}').text+here.ask('GET',f'/answers/{r["id"]}/why').text+here.ask('POST','/ab-testing/experiments/named/start').text+here.ask('GET','/ab-testing/experiments/namde').text+here.ask('POST','/ab-testing/experiments/named/promote').text
    assert 'acme/' not in said and 'acme.' not in said and 'named' in said
    here.ask('POST','/ab-testing/experiments/named/stop')

def test_what_the_other_would_have_said_is_of_the_versions_of_that_time(here):
    here.ask('PUT','/aliases/moving',json=dict(version='task_tools_first'))
    made(here,'moved',variants=[dict(variant_id='a',adapter_ids=['moving'],traffic_percentage=.5),dict(variant_id='b',adapter_ids=['task_tools'],traffic_percentage=.5)])
    ids = [here.infer(f'spend={i}.50',adapters=['moving'],user_id=f'm{i}',max_new_tokens=12).json()['id'] for i in range(8)]
    def others(): return [here.ask('GET',f'/answers/{i}/why').json()['others']['moved'] for i in ids]
    before = others()
    assert {k for o in before for k in o}=={'a','b'}
    here.ask('POST','/composition/swap',json=dict(old_adapter_id='moving',new_adapter_id='task_tools'))
    assert others()==before
    here.ask('POST','/ab-testing/experiments/moved/stop')

def test_a_task_is_ones_own_before_everybodys(here):
    own = upload(here,'tools','birch',change=lambda t: [t.__setitem__(k,t[k]*1.002) for k in t]).json()['version']
    r = here.ask('POST','/inference','birch',json=dict(messages=[dict(content='x')],task='tools',max_new_tokens=1)).json()
    listed = {a['version']: a['names'] for a in here.ask('GET','/adapters','birch').json()['adapters']}
    everybodys = here.ask('GET','/aliases','operator').json()['task_tools']['version']
    assert listed[own]==['tools'] and r['composition']['adapters'][0]['version']!=everybodys

def test_what_is_everybodys_moves_for_those_who_run_the_server_only(here):
    move = dict(old_adapter_id='task_tools_first',new_adapter_id='task_tools')
    assert here.ask('POST','/composition/swap','acme',json=move).status_code==403 and here.ask('POST','/composition/rollback','acme',json=dict(adapter_id='task_tools_first')).status_code==403
    assert here.ask('PUT','/aliases/mine',json=dict(version='task_tools_first')).json()['id']=='task_tools'
    assert here.ask('POST','/composition/swap','acme',json=dict(old_adapter_id='mine',new_adapter_id='task_tools')).status_code==200
    assert here.ask('PUT','/aliases/mine',json=dict(version='task_tools_first')).status_code==200
    assert 'mine' in here.ask('GET','/aliases').json() and 'mine' not in here.ask('GET','/aliases','birch').json()
    assert here.ask('PUT','/aliases/birch.mine',json=dict(version='task_tools')).status_code==404

def nan(t): t[next(iter(t))][0,0] = float('nan')
def huge(t):
    for k in t: t[k] = t[k]*1e6
def fewer(t): t.pop(next(iter(t)))
def narrow(t): k = next(iter(t)); t[k] = t[k][:,:-1].contiguous()

@pytest.mark.parametrize('wrong', [dict(change=nan), dict(change=huge), dict(change=fewer), dict(change=narrow), dict(config=dict(use_dora=True)), dict(config=dict(bias='all')), dict(config=dict(modules_to_save=['lm_head'])),
    dict(files=dict(config=('c','{}'),weights=('w',b'\x80\x04pickle'))), dict(files=dict(config=('c','no json'),weights=('w',b''))), dict(kind='wizard')])
def test_a_bad_upload_is_refused_and_leaves_nothing(here, wrong):
    before = sorted(p.relative_to(here.store) for p in here.store.rglob('*'))
    r = upload(here,'bad',**wrong)
    assert r.status_code==422 and r.json()['detail'] and sorted(p.relative_to(here.store) for p in here.store.rglob('*'))==before
    assert here.infer(adapters=['bad']).status_code==404

TRAVERSALS = ['../task_tools','..%2ftask_tools','%2e%2e%2ftask_tools','/etc/passwd','//etc/passwd','..\\task_tools','task_tools/../task_tools','.aliases','.incoming-x','task_tools\x00','task_tools%00','\u202etask_tools','ｔask_tools','task_tools/','TASK_TOOLS','acme/../task_tools','~root','file:///etc/passwd','sha256:','sha256:../../x','sha256:zz'+'0'*60,'a'*96,'link','*','task_*','con','.']

@pytest.mark.parametrize('evil', TRAVERSALS)
def test_adapters_by_id_only(here, evil, tmp_path):
    link = here.store/'link'
    if not link.is_symlink(): (here.folder/'outside').mkdir(exist_ok=True); shutil.copytree(folder(here),here.folder/'outside'/folder(here).name,dirs_exist_ok=True); link.symlink_to(here.folder/'outside')
    try:
        for who in ('acme','operator'):
            tenant = 'acme' if who=='operator' else None
            asked = [here.infer(who=who,tenant=tenant,adapters=[evil]), here.ask('POST','/composition/swap',who,tenant,json=dict(old_adapter_id=evil,new_adapter_id='task_tools')), here.ask('POST','/composition/prefetch',who,tenant,json=dict(adapter_ids=[evil])),
                here.ask('PUT','/aliases/'+quote(evil,safe=''),who,tenant,json=dict(version=evil)), here.ask('POST','/composition/rollback',who,tenant,json=dict(adapter_id=evil))]
            assert all(r.status_code in (404,405,422,307,409) for r in asked), [(r.status_code,r.text[:200]) for r in asked]
        hinted = here.ask('POST','/inference',json=dict(messages=[dict(content='x')],task=evil,max_new_tokens=1))
        assert hinted.status_code==422 or hinted.json()['unmatched']==[evil] or evil=='TASK_TOOLS'
    finally: link.unlink(missing_ok=True)

@given(st.text(max_size=70))
@settings(max_examples=300)
def test_a_name_is_a_name_of_the_tenants_or_nothing(here, name):
    island = Island(here.runtime.manager,'birch')
    try: full = island.full(name)
    except Exception as e: assert type(e).__name__=='NoAdapterError'; return
    assert full in here.runtime.manager.store.aliases() and ('.' not in full or full.startswith('birch.'))

# --- experiments and figures

def made(here, id='tools', who='acme', **more):
    v = [dict(variant_id='v1',adapter_ids=['task_tools_first'],traffic_percentage=.5),dict(variant_id='v2',adapter_ids=['task_tools'],traffic_percentage=.5)]
    r = here.ask('POST','/ab-testing/experiments',who,json=dict(experiment_id=id,variants=v)|more)
    assert r.status_code==200, r.text
    return here.ask('POST',f'/ab-testing/experiments/{id}/start',who)

def test_an_experiment_is_the_tenants_own(here):
    made(here); made(here,who='birch') # Under the same id
    asked = dict(adapters=['task_tools_first'],max_new_tokens=2)
    seen = {here.infer(f'row {i}',user_id=f'u{i}',**asked).json()['variants']['tools'] for i in range(12)}
    assert seen=={'v1','v2'}
    counted = here.ask('GET','/ab-testing/experiments/tools/results').json()
    assert counted['impressions']==12 and here.ask('GET','/ab-testing/experiments/tools/results','birch').json()['impressions']==0
    assert [e['experiment_id'] for e in here.ask('GET','/ab-testing/experiments','birch').json()]==['tools']
    assert here.ask('GET','/ab-testing/experiments/tols','birch').json()['detail'].count('acme')==0
    assert here.ask('GET','/ab-testing/experiments','operator').json()==[] # Those of tenants are theirs; X-Tenant-ID selects them
    assert here.ask('GET','/ab-testing/experiments/tools','operator','acme').json()['history'][0]['action']=='create'

def test_a_user_keeps_the_variant_from_the_cache_too(here):
    one = [here.infer('same',user_id='ana',adapters=['task_tools_first'],max_new_tokens=3) for _ in range(3)]
    assert [r.headers['x-cache'] for r in one]==['MISS','HIT','HIT'] and len({str(r.json()['variants']) for r in one})==1
    before = here.ask('GET','/ab-testing/experiments/tools/results').json()['impressions']
    here.infer('same',user_id='ana',adapters=['task_tools_first'],max_new_tokens=3)
    assert here.ask('GET','/ab-testing/experiments/tools/results').json()['impressions']==before+1

def test_figures_are_the_tenants_own(here):
    here.infer('a',who='birch',adapters=['task_tools_first'],max_new_tokens=2)
    a = {w: here.ask('GET','/analytics/top-performers?metric=total_requests&limit=50',w).json() for w in ('acme','birch','operator')}
    ids = {w: {m['adapter_id'] for m in found} for w,found in a.items()}
    assert not any('\x1f' in i or i.startswith(('acme','birch')) for w in ('acme','birch') for i in ids[w])
    total = {w: {m['adapter_id']: m['total_requests'] for m in found} for w,found in a.items()}
    assert total['operator']['task_tools']>=total['acme']['task_tools']>0 and total['birch']['task_tools']>0 and 'birch.task_tools' in total['operator'] # birch has one of its own
    assert here.ask('GET','/analytics/adapters/task_tools','birch').json()['total_requests']==total['operator']['birch.task_tools'] # Of the one that it means

def test_outcomes_come_later(here):
    made(here,'late',outcomes='later',variants=[dict(variant_id='a',adapter_ids=['task_tools'],traffic_percentage=.5),dict(variant_id='b',adapter_ids=['task_tools_first'],traffic_percentage=.5)])
    answers = [here.infer(f'late {i}',user_id=f'w{i}',adapters=['task_tools'],max_new_tokens=2) for i in range(6)]
    assert all('x-cache' not in a.headers for a in answers) and here.ask('GET','/ab-testing/experiments/late/results').json()['impressions']==0
    for a in answers[:4]:
        for _ in range(2): assert here.ask('POST','/ab-testing/outcomes',json=dict(experiment_id='late',key=a.json()['id'],success=True)).status_code==200
    assert here.ask('GET','/ab-testing/experiments/late/results').json()['impressions']==4
    assert here.ask('POST','/ab-testing/outcomes',json=dict(experiment_id='late',key='nothing',success=True)).status_code==404
    here.ask('POST','/ab-testing/experiments/late/stop',json=dict(why='done'))

def test_a_tenant_promotes_its_own_names_only(here):
    assert here.ask('POST','/ab-testing/experiments/tools/promote').status_code==403 # task_tools_first is everybody's
    assert here.ask('POST','/ab-testing/experiments/tools/start').status_code==409
    assert here.ask('POST','/ab-testing/experiments/tools/rollback','operator','acme').status_code in (403,409)

def test_promotion_moves_the_tenants_name_and_back(here):
    here.ask('PUT','/aliases/ours',json=dict(version='task_tools_first'))
    made(here,'ours',min_sample_size=20,planned=400,variants=[dict(variant_id='old',adapter_ids=['ours'],traffic_percentage=.5),dict(variant_id='new',adapter_ids=['task_tools'],traffic_percentage=.5)])
    assert here.ask('POST','/ab-testing/experiments/ours/promote').status_code==409 # No winner yet
    rng = np.random.default_rng(0)
    for i in range(300):
        v = here.ask('POST','/ab-testing/assign',json=dict(experiment_id='ours',user_id=f'p{i}')).json()['variant_id']
        here.runtime.experiments.record_impression('acme/ours',v,bool(rng.random()<dict(old=.5,new=.95)[v]),user_id=f'p{i}')
    assert here.ask('POST','/ab-testing/impressions',json=dict(experiment_id='ours',variant_id='new',success=True,user_id='last',key='k')).json()==dict(recorded=True)
    assert here.ask('GET','/ab-testing/experiments/ours/results').json()['winner']=='new'
    now = lambda: here.ask('GET','/aliases').json()['ours']['version']
    before = now()
    moved = here.ask('POST','/ab-testing/experiments/ours/promote',json=dict(why='it won'))
    assert moved.status_code==200 and moved.json()['swaps'][0]['name']=='ours' and now()!=before
    assert here.ask('POST','/ab-testing/experiments/ours/rollback').status_code==200 and now()==before
