"What tests of the server share."
import contextlib, json, os, shutil, signal, subprocess, sys, time
from pathlib import Path

import httpx, pytest
from starlette.testclient import TestClient

from rmn_lora.adapters.store import platform_store
from rmn_lora.serving.api import create_app
from rmn_lora.settings import load_settings
from rmn_lora.storage.database import Database, migrate

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

class Here:
    "A server in this process, and keys to it."
    def __init__(self, folder:Path, tenants=('acme','birch'), **more):
        self.folder,self.store = folder,folder/'adapters'
        shutil.copytree(platform_store().root, self.store, ignore=shutil.ignore_patterns('__pycache__','*.py'))
        self.db = Database(f'sqlite:///{folder}/server.db')
        migrate(self.db)
        settings = load_settings()
        settings = settings.model_copy(update=dict(serving=settings.serving.model_copy(update=dict(calls=100_000)|more.pop('serving',{}))))
        self.app = create_app('embedded', self.store, 'cpu', db=self.db, settings=settings, **more)
        self.server = self.app.state.server
        self.runtime = self.server.runtime
        for t in tenants: self.runtime.tenants.register(t)
        every = ('infer','read','record','manage')
        self.keys = {t: self.server.credentials.issue([t],every) for t in tenants}|dict(operator=self.server.credentials.issue(None,(*every,'admin')))

    def ask(self, method, path, who='acme', tenant=None, **more):
        headers = {} if who is None else {'Authorization': f'Bearer {self.keys.get(who,who)}'}
        return self.client.request(method, path, headers=headers|({} if tenant is None else {'X-Tenant-ID': tenant})|more.pop('headers',{}), **more)
    def infer(self, text='spend=1.50', who='acme', tenant=None, headers=None, **more):
        return self.ask('POST','/inference',who,tenant,headers=headers or {},json=dict(messages=[dict(role='user',content=text)],max_new_tokens=6)|more)

@contextlib.contextmanager
def started(folder, **more):
    here = Here(folder, **more)
    with TestClient(here.app, 'http://localhost', raise_server_exceptions=False) as here.client: yield here
    here.db.close()

@pytest.fixture(scope='module')
def begin(tmp_path_factory):
    "Starts servers in this process."
    with contextlib.ExitStack() as stack: yield lambda **more: stack.enter_context(started(tmp_path_factory.mktemp('server'),**more))

@pytest.fixture(scope='module')
def here(begin): return begin()

class Apart:
    "A server in a process of its own."
    def __init__(self, folder:Path, *options:str, database='', **settings):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder/'settings.ini').touch()
        environ = {k: v for k,v in os.environ.items() if not k.startswith('RMN_')}|dict(RMN_ROOT=str(folder), RMN_STORAGE_URL=database or f'sqlite:///{folder}/server.db', HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1')|{k if k.isupper() else f'RMN_SERVING_{k.upper()}': str(v) for k,v in settings.items()}
        self.log = open(folder/'log','ab')
        self.process = subprocess.Popen([sys.executable,'-m','rmn_lora.serving','--port','0',*(options or ('--insecure-local',))], env=environ, cwd=folder, stdout=self.log, stderr=self.log)
        try: self.url = self._url()
        except BaseException:
            self.process.kill(); self.process.wait(); self.log.close()
            raise
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def _url(self):
        for _ in range(1200):
            said = [line.split()[-1] for line in (self.folder/'log').read_text(errors='replace').splitlines() if line.startswith('Listening:')]
            if len(said)>self.starts(): return said[-1]
            if self.process.poll() is not None: raise AssertionError((self.folder/'log').read_text(errors='replace')[-3000:])
            time.sleep(.1)
        raise AssertionError('the server did not start')
    def starts(self): return int((self.folder/'starts').read_text()) if (self.folder/'starts').exists() else 0
    def lines(self):
        "What it wrote, a line a request."
        return [json.loads(line) for line in (self.folder/'log').read_text(errors='replace').splitlines() if line.startswith('{')]
    def infer(self, text='spend=1.50', headers=None, **more):
        return self.client.post('/inference', headers=headers or {}, json=dict(messages=[dict(role='user',content=text)],adapters=['task_tools'],max_new_tokens=6)|more)
    def stop(self, how=signal.SIGTERM, seconds=40):
        (self.folder/'starts').write_text(str(self.starts()+1))
        if self.process.poll() is None: self.process.send_signal(how)
        try: return self.process.wait(seconds)
        finally:
            self.process.kill()
            self.log.close()

@pytest.fixture(scope='module')
def launch():
    "Starts servers in processes of their own, and sees to it that they end."
    begun = []
    def start(*options, folder, **more):
        begun.append(Apart(folder,*options,**more))
        return begun[-1]
    yield start
    for a in begun:
        a.process.kill(); a.process.wait(); a.log.close(); a.client.close()

@pytest.fixture
def apart(launch, tmp_path):
    "The same, in a folder of the test's own."
    return lambda *options, folder=tmp_path/'server', **more: launch(*options, folder=folder, **more)
