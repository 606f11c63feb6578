"What tests of the server share."
import os

import pytest

@pytest.fixture
def redis_url():
    redis = pytest.importorskip('redis', reason='redis is not installed')
    worker = int(os.environ.get('PYTEST_XDIST_WORKER','gw0').removeprefix('gw')) # Each has a database of its own
    url = f'{os.environ.get("RMN_TEST_REDIS","redis://127.0.0.1:6379")}/{8+worker%8}'
    try: redis.Redis.from_url(url).ping()
    except redis.exceptions.RedisError: pytest.skip(f'no Redis answers at {url}')
    client = redis.Redis.from_url(url)
    yield url
    for k in client.scan_iter('rmn*'): client.delete(k)
