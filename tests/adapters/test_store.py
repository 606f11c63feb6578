"What the store promises about versions, names and what it refuses."
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from peft import PeftModel

from rmn_lora.adapters.store import KINDS, AdapterStore, adapter_version
from rmn_lora.errors import AdapterError, BaseModelError


@pytest.fixture
def store(tmp_path): return AdapterStore(tmp_path/'store')


def test_version_ignores_what_changes_no_answer(base, tmp_path, adapter, make_adapter):
    v, same = adapter_version(adapter), shutil.copytree(adapter, tmp_path/'same')
    path = same/'adapter_config.json'
    said = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(said.items())) | dict(base_model_name_or_path='elsewhere', target_modules=said['target_modules'][::-1])))
    assert adapter_version(same) == v
    path.write_text(json.dumps(said | dict(lora_alpha=said['lora_alpha']+1)))
    assert adapter_version(same) != v
    assert adapter_version(make_adapter(base, tmp_path/'other', seed=9)) != v


def test_publish_twice_is_once(store, base, adapter, tree):
    v = store.publish(adapter, 'a', 'task', base=base, lineage={'run': 'x'})
    before = tree(store.root)
    assert store.publish(adapter, 'a', 'task', base=base) == v and tree(store.root) == before
    assert v.base_digest == base.digest and v.lineage == {'run': 'x'} and store.resolve('a') == v
    with pytest.raises(AdapterError, match='is an adapter of the kind task'): store.publish(adapter, 'a', 'brand', base=base)


def test_published_folder_is_a_peft_folder(store, base, adapter):
    v = store.publish(adapter, 'a', 'task', base=base)
    model = PeftModel.from_pretrained(type(base.model)(base.model.config), v.path)
    assert model.peft_config['default'].r == 4
    with base.using(v) as one, pytest.raises(ZeroDivisionError): one.generate(['x'], 2); raise ZeroDivisionError


def test_same_id_and_version_never_has_other_content(store, base, adapter):
    v = store.publish(adapter, 'a', 'task', base=base)
    (v.path/'adapter.json').write_text(json.dumps(json.loads((v.path/'adapter.json').read_text()) | dict(version='sha256:'+'0'*64)))
    with pytest.raises(AdapterError): store.publish(adapter, 'a', 'task', base=base)


@pytest.mark.parametrize('name', ['', '.', '..', '../x', 'a/b', '/etc', 'A', '-a', '.a', 'a'*65, 'ä', 'a b', 'a\n', None, 5])
def test_bad_names(store, base, adapter, name):
    with pytest.raises(AdapterError, match='no valid name'): store.publish(adapter, name, 'task')
    assert not store.root.exists()
    store.publish(adapter, 'ok', 'task')
    with pytest.raises(AdapterError, match='no valid name'): store.alias(name, 'ok')
    with pytest.raises(AdapterError, match='no valid name'): store.resolve(name)


def test_links_are_refused(store, base, tmp_path, adapter):
    linked = shutil.copytree(adapter, tmp_path/'linked')
    (linked/'adapter_model.safetensors').unlink()
    (linked/'adapter_model.safetensors').symlink_to(adapter/'adapter_model.safetensors')
    with pytest.raises(AdapterError, match='link'): store.publish(linked, 'a', 'task')
    assert not store.root.exists()
    v = store.publish(adapter, 'a', 'task')
    moved = shutil.move(v.path, tmp_path/'outside')
    v.path.symlink_to(moved)
    for call in (lambda: store.resolve('a'), lambda: store.publish(adapter, 'a', 'task'), store.list):
        with pytest.raises(AdapterError, match='link'): call()


def test_no_debris_when_the_last_step_fails(store, base, adapter, monkeypatch, tree):
    store.publish(adapter, 'a', 'task')
    before = tree(store.root)
    with monkeypatch.context() as m:
        m.setattr(os, 'fsync', lambda fd: 1/0)
        with pytest.raises(ZeroDivisionError): store.publish(adapter, 'b', 'task')
    for bad in ({'x': object()}, {'x': float('nan')}):
        with pytest.raises(AdapterError, match='no JSON'): store.publish(adapter, 'b', 'task', lineage=bad)
    with pytest.raises(AdapterError, match='kind'): store.publish(adapter, 'b', 'shop')
    assert tree(store.root) == before


def test_other_base(store, base, tmp_path, adapter):
    said = shutil.copytree(adapter, tmp_path/'said')
    (said/'adapter.json').write_text('{"base_digest": "sha256:11"}')
    with pytest.raises(BaseModelError): store.publish(said, 'a', 'task', base=base)
    with pytest.raises(BaseModelError): store.publish(said, 'a', 'task', base_digest='sha256:22')
    v = store.publish(said, 'a', 'task')
    assert v.base_digest == 'sha256:11'
    with pytest.raises(BaseModelError, match='made for base'), base.using(v): pass


def test_names(store, base, tmp_path, adapter, make_adapter):
    other = make_adapter(base, tmp_path/'other', seed=5)
    a1, a2 = store.publish(adapter, 'a', 'task'), store.publish(other, 'a', 'task', move=False)
    b = store.publish(other, 'b', 'industry')
    assert store.resolve('a') == a1 and store.alias('a', a2.version) == a2 == store.resolve('a')
    assert a2.version == b.version and store.resolve(a1.version[:20]) == a1
    store.alias('live', 'b')
    assert store.resolve('live') == b and store.aliases()['live'] == ('b', b.version)
    for call in (lambda: store.alias('b', a1.version), lambda: store.publish(adapter, 'live', 'task'), lambda: store.resolve('sha256:'+'0'*64),
                 lambda: store.resolve('sha256:xyz'), lambda: store.resolve('nobody'), lambda: store.alias('x', 'nobody')):
        with pytest.raises(AdapterError): call()
    assert [v.kind for v in store.list()] == sorted((v.kind for v in store.list()), key=KINDS.index)
    assert len(store.list()) == 3 and store.resolve('b') == b


def test_many_at_once(store, base, tmp_path, make_adapter, tree):
    "Publishing and moving from many threads: every reader sees whole versions only."
    folders = [make_adapter(base, tmp_path/str(i), seed=i) for i in range(3)]
    def work(i):
        v = store.publish(folders[i % 3], 'a', 'task', base=base)
        assert store.resolve('a').version in versions
        return v
    versions = {adapter_version(f) for f in folders}
    with ThreadPoolExecutor(8) as pool: found = list(pool.map(work, range(24)))
    assert {v.version for v in found} == versions and len(store.list()) == 3
    assert not [p for p in tree(store.root) if 'incoming' in p]


@pytest.mark.parametrize('name', ['adapter_model.safetensors', 'adapter_config.json'])
def test_what_was_changed_after_publishing_is_refused(store, base, tmp_path, adapter, make_adapter, name):
    other, v = make_adapter(base, tmp_path/'other', seed=5, lora_alpha=4), store.publish(adapter, 'a', 'task')
    store.alias('live', 'a')
    shutil.copyfile(other/name, v.path/name)
    calls = dict(name=lambda: store.resolve('a'), alias=lambda: store.resolve('live'), version=lambda: store.resolve(v.version), again=lambda: store.publish(adapter, 'a', 'task'))
    for call in calls.values():
        with pytest.raises(AdapterError, match=f'{v.path}/adapter_model.safetensors.*is not what was published') as e: call()
        assert e.value.fix


@pytest.mark.parametrize('change', [dict(id='b'), dict(kind='shop'), dict(version=None), dict(version='sha256:'+'0'*64)])
def test_a_card_that_is_not_this_adapters_is_refused(store, adapter, change):
    v = store.publish(adapter, 'a', 'task')
    card = v.path/'adapter.json'
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    for call in (lambda: store.resolve('a'), store.list):
        with pytest.raises(AdapterError, match='adapter.json'): call()


@pytest.mark.parametrize('text', ['{}', '', '[]', '{"id": "a"}', '{"id": "../a", "version": "sha256:00000000"}', '{"id": "a", "version": "../../x"}', '{"id": 1, "version": null}'])
def test_a_broken_name_breaks_no_other(store, adapter, text):
    v = store.publish(adapter, 'a', 'task')
    (store.root/'.aliases'/'live.json').write_text(text)
    assert store.resolve('a') == v and store.publish(adapter, 'a', 'task') == v
    for call in (lambda: store.resolve('live'), store.aliases):
        with pytest.raises(AdapterError, match='live.json') as e: call()
        assert e.value.fix
    assert store.alias('live', 'a') == v == store.resolve('live')


def test_a_name_of_a_removed_version_says_so(store, adapter):
    v = store.publish(adapter, 'a', 'task')
    shutil.rmtree(v.path)
    with pytest.raises(AdapterError, match="'a' means a sha256:.* is no longer in the store") as e: store.resolve('a')
    assert e.value.fix
    assert store.publish(adapter, 'a', 'task') == v == store.resolve('a')


def test_the_copy_is_checked(store, base, adapter, monkeypatch, tmp_path):
    "Whoever swaps the file after the first look publishes nothing."
    from safetensors.torch import load_file, save_file
    import rmn_lora.adapters.store as module
    mine,real = shutil.copytree(adapter, tmp_path/'mine'),module.check_adapter
    def swapped(folder, known=None):
        real(folder, known)
        found = load_file(mine/'adapter_model.safetensors')
        save_file({k: t * float('nan') for k, t in found.items()}, mine/'adapter_model.safetensors')
    monkeypatch.setattr(module, 'check_adapter', lambda folder, known=None: swapped(folder, known) if folder == mine else real(folder, known))
    with pytest.raises(AdapterError, match='NaN'): store.publish(mine, 'a', 'task', base=base)
    assert not store.list()


def test_what_an_adapter_has_seen_is_not_forgotten(store, base, adapter):
    v = store.publish(adapter, 'a', 'task', base=base, lineage={'seen': ['x', 'y'], 'run': '1'})
    assert store.publish(adapter, 'a', 'task', base=base, lineage={'seen': ['y'], 'run': '2'}) == v
    with pytest.raises(AdapterError, match='another history'): store.publish(adapter, 'a', 'task', base=base, lineage={'seen': ['z']})


def test_a_stray_folder_hides_no_adapter(store, base, adapter):
    v = store.publish(adapter, 'a', 'task', base=base)
    (store.root/'junk/sha256-0000').mkdir(parents=True)
    (store.root/'junk/sha256-0001').write_text('')
    assert store.list() == [v]
    with pytest.raises(AdapterError, match='There are a.'): store.resolve('quite-another')
