"The whole documentation, tried at random: no fault of the server, no answer that is not documented."
import os

import pytest, schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from rmn_lora.serving.tenants import Credentials, Tenants
from rmn_lora.storage.database import Database, migrate

NOT_IN_THE_SCHEMA = [schemathesis.checks.positive_data_acceptance] # That shares add up to 1, say, a schema cannot tell
EXAMPLES = int(os.environ.get('RMN_FUZZ_EXAMPLES','8'))

@pytest.fixture(scope='module')
def key(tmp_path_factory, launch):
    "A server, and a key of those who run it."
    folder = tmp_path_factory.mktemp('fuzz')/'server'
    folder.mkdir()
    with Database(f'sqlite:///{folder}/server.db') as db:
        migrate(db); Tenants(db).register('acme')
        key = Credentials(db).issue(None,('infer','read','record','manage','admin'))
    server = launch('--quiet',folder=folder,calls=1_000_000,RMN_ENGINE_KV_MB=24) # Room for short answers only
    return server,key

def test_every_route(key):
    server,own = key
    told,tried = [],0
    for operation in (r.ok() for r in schemathesis.openapi.from_url(f'{server.url}/openapi.json').get_all_operations()):
        @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.explicit,Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def tries(case):
            if isinstance(case.body,dict): case.body.pop('deadline',None) # 504 is documented, and right for a deadline of a nanosecond
            case.call_and_validate(headers={'Authorization': f'Bearer {own}','X-Tenant-ID':'acme'}, timeout=30, excluded_checks=NOT_IN_THE_SCHEMA)
        tried += 1
        try: tries()
        except (Exception,BaseExceptionGroup) as e: told.append(f'{operation.label}: {e}'[:3000])
    assert not told, '\n\n'.join(told)
    assert tried>30

def test_it_is_still_there_and_has_not_failed(key):
    server,own = key
    said = server.client.get('/health',headers={'Authorization': f'Bearer {own}'}).json()
    assert said['status']=='ok' and said['engine']['deaths']==0 and said['engine']['running']==0
    assert server.client.get('/metrics',headers={'Authorization': f'Bearer {own}'}).json()['total_errors']==0
