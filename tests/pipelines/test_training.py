"The pipelines that train, from end to end on the embedded model, small: what they must show, not how good it is."
import shutil
from pathlib import Path
import pytest
from bs4 import BeautifulSoup
from rmn_lora.adapters.store import AdapterStore
from rmn_lora.errors import PipelineError
from rmn_lora.pipelines import run_pipeline

DATA = Path(__file__).resolve().parents[2]/'data'

def test_demo(project): # there is no data folder here, so it writes the samples itself
    run = run_pipeline('demo', rows=640, recipe='quick', n=32)
    r = run.results
    assert r['rows_in'] == r['rows_out'] + r['quarantined'] == 1800
    assert r['report_base']['estimate'] <= .05 and r['call_base']['estimate'] <= .05
    assert r['call_retailer_task']['n'] == 32
    report = BeautifulSoup(run.report.read_text(), 'html.parser')
    assert len([i for i in report('img') if i['src'].startswith('data:image/png')]) == 3
    for text in ('Refused to add', 'window_days', 'is published', str(run.report), 'rmn-lora run train_adapter'): assert text in report.text
    assert AdapterStore(project/'adapters').resolve('demo_opaque').lineage['run'] == run.folder.name

def test_train_from_a_report_and_evaluate(project):
    shutil.copy(DATA/'walmart_search.csv', project)
    run = run_pipeline('train_adapter', source='walmart_search.csv', recipe='quick', test=32)
    r = run.results
    assert (r['adapter'], r['kind']) == ('walmart_search', 'retailer')
    assert r['after']['estimate'] >= r['before']['estimate'] and r['after']['n'] == r['before']['n'] <= 32
    seen = run_pipeline('evaluate_adapters', adapters=['walmart_search'], source='walmart_search.csv', n=16).results
    assert seen['versions'] == {'walmart_search': r['version']} and seen['rows'] == 16

def test_a_source_that_is_nowhere(project):
    with pytest.raises(PipelineError, match='neither a file nor an invented card'): run_pipeline('train_adapter', source='nowhere.csv')
