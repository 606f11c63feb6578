"The harmonize pipeline and command, on small reports of two networks and one file that is none."
import polars as pl, pytest
from bs4 import BeautifulSoup
from typer.testing import CliRunner
from rmn_lora.cli import app
from rmn_lora.errors import PipelineError
from rmn_lora.pipelines import run_pipeline

WALMART = 'date,campaignId,numAdsShown,numAdsClicks,adSpend\n2026-05-01,007,1000,12,8.40\n2026-05-02,007,900,10,"1,007.00"\n2026-05-32,007,900,10,7.00\n'
CRITEO = 'date,accountId,campaignId,lineItemId,impressions,clicks,spend\n2026-05-01,1,007,5,1000,12,3.10\n'

@pytest.fixture
def reports(project):
    (project/'data').mkdir()
    for name,text in dict(walmart=WALMART, criteo=CRITEO, other='a,b\n1,2\n').items(): (project/'data'/f'{name}.csv').write_text(text)
    return project

def test_pipeline(reports, monkeypatch):
    (reports/'deep').mkdir()
    monkeypatch.chdir(reports/'deep')
    run = run_pipeline('harmonize', as_of='2026-06-30')
    r = run.results
    assert (r['rows_in'], r['rows_out'], r['quarantined'], r['repaired'], r['reports'], r['refused']) == (4, 3, 1, 1, 2, 1)
    assert r['spend'] == {'USD': {'walmart_search': 1015.4}, 'currency unknown': {'criteo_retail_media': 3.1}}, 'unlike currencies are never added'
    delivery = pl.read_parquet(run.folder/'tables'/'delivery'/'*.parquet')
    assert delivery.height == 3 and set(delivery['campaign_id']) == {'007'} and delivery['final'].all()
    report = BeautifulSoup(run.report.read_text(), 'html.parser')
    assert report.title.text == run.folder.name
    assert len([i for i in report('img') if i['src'].startswith('data:image/png')]) == 1
    for text in ('4 rows in = 3 rows out (1 repaired) + 1 quarantined', 'not a date', '2026-05-32', 'other.csv', 'No dialect fits'): assert text in report.text

def test_pipeline_into_a_folder(reports):
    run = run_pipeline('harmonize', inputs=['data/walmart.csv'], into='tables', network='walmart_search')
    assert (reports/'tables'/'run.json').exists() and run.results['rows_in'] == 3 and not (run.folder/'tables').exists()

def test_a_pipeline_without_reports_says_so(project):
    with pytest.raises(PipelineError, match=r"under 'Read every report'[\s\S]*No report is found at"): run_pipeline('harmonize', inputs=['nothing'])

def test_command(reports):
    r = CliRunner().invoke(app, ['harmonize', 'data/walmart.csv', 'data/criteo.csv', '--out', 'tables', '--as-of', '2026-06-30'])
    assert r.exit_code == 0 and '4 rows in = 3 rows out (1 repaired) + 1 quarantined' in r.output and 'not a date' in r.output
    assert pl.read_parquet('tables/delivery/*.parquet')['final'].all()

def test_a_refused_report_is_an_exit_status_and_the_others_are_kept(reports):
    r = CliRunner().invoke(app, ['harmonize', 'data', '--out', 'tables'])
    assert r.exit_code == 1 and 'Refused other.csv: No dialect fits' in r.stderr
    assert pl.read_parquet('tables/delivery/*.parquet').height == 3

@pytest.mark.parametrize('words,exit_status', [(['data'], 2), (['--out', 't'], 2), (['missing', '--out', 't'], 1), (['data', '--out', 't', '--network', 'wallmart'], 1), (['data', '--out', 't', '--as-of', 'May'], 1)])
def test_what_the_command_refuses(reports, words, exit_status):
    r = CliRunner().invoke(app, ['harmonize', *words])
    assert r.exit_code == exit_status and r.stderr and not (reports/'t').exists()
