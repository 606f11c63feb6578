"The pipelines that train, from end to end on the embedded model, small: what they must show, not how good it is."
import json, shutil
from pathlib import Path
import pytest, torch
from bs4 import BeautifulSoup
from rmn_lora.adapters.base import base_digest, load_base
from rmn_lora.adapters.compose import compose
from rmn_lora.adapters.store import AdapterStore
from rmn_lora.errors import PipelineError
from rmn_lora.pipelines import run_pipeline
from rmn_lora.training.dataset import load_parts, load_rows
from rmn_lora.training.rows import export_jsonl, row_digest
from rmn_lora.training.sft import LoraRecipe, rows_hash, train_adapter

DATA = Path(__file__).resolve().parents[2]/'data'

def test_demo(project): # there is no data folder here, so it writes the samples itself
    run = run_pipeline('demo', rows=640, recipe='quick', n=32, requests=200)
    r = run.results
    assert r['rows_in'] == r['rows_out'] + r['quarantined'] == 3900 and r['comparable']['networks'][0] == 'alpenmarkt'
    assert r['report_base']['estimate'] <= .05 and r['call_base']['estimate'] <= .05
    assert r['call_retailer_task']['n'] == 32
    assert (r['experiment']['decision'], r['experiment']['winner']) == ('winner', 'present version') and r['experiment']['success']['n'] == 200
    assert r['queue']['n'] == 10 and r['queue']['wrong']/10 >= 2*r['queue']['all_wrong']/200
    report = BeautifulSoup(run.report.read_text(), 'html.parser')
    assert len([i for i in report('img') if i['src'].startswith('data:image/png')]) == 4
    for text in ('What is Aktion?', 'What can be presented: ROAS', 'alpenmarkt', 'Refused to add', 'window_days', 'is published', 'not enough evidence yet', 'present version succeeds more often than first version', str(run.report), 'rmn-lora run train_adapter'): assert text in report.text
    assert 'IProgress' not in report.text
    assert AdapterStore(project/'adapters').resolve('demo_opaque').lineage['run'] == run.folder.name

def test_train_from_a_report_and_evaluate(project):
    shutil.copy(DATA/'walmart_search.csv', project)
    run = run_pipeline('train_adapter', source='walmart_search.csv', recipe='quick', test=32)
    r = run.results
    assert (r['adapter'], r['kind']) == ('walmart_search', 'retailer')
    assert r['after']['estimate'] >= r['before']['estimate'] and r['after']['n'] == r['before']['n'] <= 32
    store, rows = AdapterStore(project/'adapters'), load_rows('walmart_search.csv')
    v = store.resolve('walmart_search')
    assert store.evaluated(compose(v.base_digest, [v]).identity), 'who was measured is not untested'
    new = [x for x in rows if row_digest(x) not in v.lineage['seen']]
    assert r['train_rows'] < len(rows) - len(new), 'also the rows that chose the checkpoint were seen'
    run = run_pipeline('evaluate_adapters', adapters=['walmart_search'], source='walmart_search.csv')
    seen = run.results
    assert seen['versions'] == {'walmart_search': r['version']} and seen['unknown'] == []
    assert (seen['rows'], seen['left_out']) == (len(new), len(rows) - len(new)) and seen['exact']['walmart_search']['n'] == len(new) > 0
    assert f'{len(rows) - len(new)} were left out' in BeautifulSoup(run.report.read_text(), 'html.parser').text
    export_jsonl([x for x in rows if row_digest(x) in v.lineage['seen']], project/'seen.jsonl')
    with pytest.raises(PipelineError, match="evaluate_adapters: All .* rows of 'seen.jsonl' trained"): run_pipeline('evaluate_adapters', adapters=['walmart_search'], source='seen.jsonl')
    other = shutil.copytree(v.path, project/'other')
    config = json.loads((other/'adapter_config.json').read_text())
    (other/'adapter_config.json').write_text(json.dumps(config | dict(lora_alpha=1)))
    other_version = store.publish(other, 'rows', 'retailer').version
    store.publish(v.path, 'base', 'retailer')
    run = run_pipeline('evaluate_adapters', adapters=['base', 'rows', v.version], source='walmart_search.csv', n=2)
    assert set(run.results['exact']) == {'base model', 'base', 'rows', v.version, f'base + rows + {v.version}'}, 'no name takes the place of another'
    assert run.results['versions'] == {'base': v.version, 'rows': other_version, v.version: v.version}
    assert (run.results['rows'], run.results['left_out']) == (2, seen['left_out']) and run.results['unknown'] == ['rows'], 'a version is known by its content under any name'
    assert 'rows does not say which rows it has seen' in BeautifulSoup(run.report.read_text(), 'html.parser').text

@pytest.fixture
def other_base(project):
    "A base like the embedded one, with other weights."
    base = load_base()
    torch.manual_seed(0)
    for w in base.model.parameters(): w.data += .02*w.data.std()*torch.randn_like(w)
    base.model.save_pretrained(project/'other'); base.tokenizer.save_pretrained(project/'other')
    return project/'other'

def test_rebase(project, other_base):
    store = AdapterStore(project/'adapters')
    asked = dict(rows=480, test=32, seed=3, stackable=False)
    rows = load_parts('speaking', **asked)
    train_adapter(load_base(), rows.train, project/'training', LoraRecipe(steps=40, seed=3), held_out=rows.watched, progress=False, store=store, name='speaking', kind='retailer', lineage=dict(source='speaking', asked=asked))
    before = store.resolve('speaking')
    run = run_pipeline('rebase', adapters=['speaking'], base='other')
    new = store.look_up(run.results['versions']['speaking'])
    assert store.resolve('speaking').version == before.version, 'no name moves'
    assert new.lineage['parents'] == [before.version] and new.base_digest == run.results['base'] == base_digest(other_base) != before.base_digest
    assert [new.lineage[k] for k in ('rows', 'recipe', 'asked')] == [before.lineage[k] for k in ('rows', 'recipe', 'asked')] and before.lineage['rows'] == rows_hash(rows.train)
    old, alone, after = run.results['rebased']['speaking']
    assert old['n'] == after['n'] == len(rows.measured) and after['estimate'] > alone['estimate']
    assert store.evaluated(compose(new.base_digest, [new]).identity), 'who was measured is not untested'
    assert 'the rows of then' in BeautifulSoup(run.report.read_text(), 'html.parser').text
    with pytest.raises(PipelineError, match='rebase: speaking was made for base'):
        (project/'settings.ini').write_text('[model]\nbase = other\n')
        run_pipeline('rebase', adapters=['speaking'], base='embedded')
    store.alias('speaking', new)
    assert run_pipeline('evaluate_adapters', adapters=['speaking'], source='speaking', n=8, seed=9).results['exact']['speaking']['n'] == 8, 'it moved with the settings'

@pytest.mark.parametrize('name,params,message', [('train_adapter', dict(source='nowhere.csv'), '.*neither a file nor an invented card'), ('train_adapter', dict(recipe='fast'), "No recipe is called 'fast'"),
    ('train_adapter', dict(name='My adapter'), "The adapter id 'My adapter' is no valid name"), ('train_adapter', dict(rows=0), 'rows is 0'), ('train_adapter', dict(source='juniper', stackable=True), 'stackable'),
    ('evaluate_adapters', dict(adapters=['nobody']), "No adapter is called 'nobody'"), ('evaluate_adapters', dict(adapters=[], n=0), 'n is 0'),
    ('rebase', dict(adapters=['a']), 'No base is given'), ('rebase', dict(base='embedded'), 'No adapters are given'), ('rebase', dict(adapters=['a', 'a'], base='x'), 'An adapter is given twice'), ('demo', dict(network='walmart'), "No network is called 'walmart'")])
def test_a_wrong_value_leaves_no_run(project, name, params, message):
    with pytest.raises(PipelineError, match=f'{name}: {message}'): run_pipeline(name, **params)
    assert not list(project.glob('runs/*'))
