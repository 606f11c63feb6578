"The seed's calls of the server, as they stand there; only the address is the server's."
import shlex

import pytest

CURLS = r'''
curl http://localhost:8000/analytics/adapters/amazon_v1
curl http://localhost:8000/analytics/top-performers?metric=success_rate&limit=5
curl -X POST http://localhost:8000/ab-testing/experiments -H "Content-Type: application/json" -d '{"experiment_id": "amazon_v1_vs_v2", "name": "Test new Amazon adapter", "variants": [{"variant_id": "v1", "adapter_ids": ["amazon_v1"], "traffic_percentage": 0.5}, {"variant_id": "v2", "adapter_ids": ["amazon_v2"], "traffic_percentage": 0.5}]}'
curl -X POST http://localhost:8000/ab-testing/experiments/amazon_v1_vs_v2/start
curl http://localhost:8000/ab-testing/experiments/amazon_v1_vs_v2/results
curl -X POST http://localhost:8000/composition/swap -H "Content-Type: application/json" -d '{"old_adapter_id": "amazon_v1", "new_adapter_id": "amazon_v2", "warm_swap": true}'
curl http://localhost:8000/composition/stats
curl http://localhost:8000/health
curl http://localhost:8000/metrics
curl http://localhost:8000/analytics/top-performers?limit=3
'''.strip().splitlines()

@pytest.fixture(scope='module')
def insecure(begin):
    here = begin(insecure=True)
    store = here.runtime.manager.store
    for name,alias in (('amazon_v1','task_tools_first'),('amazon_v2','task_tools')): store.publish(store.look_up(alias).path, name, 'task', base=here.runtime.manager.base)
    return here

def curl(client, line):
    "A request as curl makes it."
    words,method,headers,body,url = shlex.split(line)[1:],'GET',{},None,''
    while words:
        w = words.pop(0)
        if w=='-X': method = words.pop(0)
        elif w=='-H': k,_,v = words.pop(0).partition(': '); headers[k] = v
        elif w=='-d': body = words.pop(0)
        else: url = w
    return client.request(method, url.replace('http://localhost:8000',''), headers=headers, content=body)

def test_every_curl_of_the_seed_works(insecure):
    answers = [curl(insecure.client,line) for line in CURLS]
    assert [a.status_code for a in answers]==[200]*len(CURLS)
    adapter,_,_,_,results,swap,stats,health,metrics,_ = (a.json() for a in answers)
    assert {'adapter_id','success_rate','avg_latency_ms','p95_latency_ms','avg_user_rating','total_requests'}<=adapter.keys() and adapter['adapter_id']=='amazon_v1'
    assert {'winner','statistical_tests','variants','intervals'}<=results.keys() and results['variants'].keys()=={'v1','v2'}
    assert swap['name']=='amazon_v1' and swap['before']!=swap['after']
    assert {'cached_compositions','cache_hit_rate','avg_composition_time_ms','total_compositions'}<=stats.keys() and health['ready']
    assert {'total_requests','total_errors','error_rate','cache_hits','cache_misses','cache_hit_rate','avg_response_time_ms','min_response_time_ms','max_response_time_ms','uptime_seconds'}<=metrics.keys()

def test_a_planning_request_is_answered_and_counted(insecure):
    r = insecure.client.post('/inference', headers={'X-Tenant-ID': 'tenant_example'}, json=dict(messages=[dict(role='user', content='Allocate $2.5M budget')], task='planning', retailer_id='amazon'))
    assert r.status_code==200 and r.json()['unmatched']==['amazon','planning'] and r.json()['text']

def test_the_question_is_answered_from_the_cache_the_second_time(insecure):
    asked = dict(messages=[dict(role='user', content='What is LiquidAI?')], max_new_tokens=4)
    first,second = (insecure.client.post('/inference',json=asked) for _ in range(2))
    assert (first.headers['X-Cache'],second.headers['X-Cache'])==('MISS','HIT') and first.content==second.content and second.headers['X-Cache-Age']=='0'

def test_answers_are_selected(insecure):
    r = insecure.client.post('/active-learning/select', json=dict(candidates=[dict(prompt=f'row {i}', model_output=str(i), score=i/10) for i in range(10)], method='entropy', batch_size=3))
    assert r.status_code==200 and len(r.json())==3 and {'example_id','prompt','model_output','uncertainty_score','diversity_score','priority','task_type','reason'}<=r.json()[0].keys()

def test_what_is_recorded_shows(insecure):
    for ms in (100.,200.): assert insecure.client.post('/analytics/record', json=dict(adapter_id='amazon_v9', adapter_type='retailer', latency_ms=ms, success=True, task_type='mapping')).json()==dict(recorded=True)
    assert insecure.client.get('/analytics/adapters/amazon_v9').json()['total_requests']==2
    both = insecure.client.get('/analytics/comparison?adapter_ids=amazon_v9,amazon_v1').json()
    assert both['adapters'].keys()=={'amazon_v9','amazon_v1'}

def test_a_tenant_registers(insecure):
    made = insecure.client.post('/tenants/register', json=dict(tenant_id='acme_foods', name='Acme Foods')).json()
    assert made['tenant_id']=='acme_foods' and made['api_key'].startswith('rmn_')
