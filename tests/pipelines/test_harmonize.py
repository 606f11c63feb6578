"The harmonize pipeline and command, on small reports of two networks and one file that is none."
import re
from pathlib import Path

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
    with pytest.raises(PipelineError, match='harmonize: No report is found at'): run_pipeline('harmonize', inputs=['nothing'])

@pytest.mark.parametrize('params,message', [(dict(as_of='May'), "'May' is not a date"), (dict(network='wallmart'), "No dialect is called 'wallmart'")])
def test_a_wrong_value_leaves_no_run(reports, params, message):
    with pytest.raises(PipelineError, match=f'harmonize: {message}'): run_pipeline('harmonize', **params)
    assert not list(reports.glob('runs/*'))

@pytest.mark.parametrize('file,text,last', [('other', 'a,b\n1,2\n', 'Refused other.csv: No dialect fits'), ('walmart', WALMART.splitlines()[0] + '\n2026-05-32,007,900,10,7.00\n', 'No row could be read: 1 rows in = 0 rows out')])
def test_what_was_not_read_is_an_exit_status_of_pipeline_and_command(reports, file, text, last):
    (reports/'data'/f'{file}.csv').write_text(text)
    inputs = [f'data/{n}.csv' for n in (['other', 'criteo'] if file == 'other' else ['walmart'])]
    for words in (['harmonize', *inputs, '--out', 'tables'], ['run', 'harmonize', *(w for i in inputs for w in ('-p', f'inputs={i}'))]):
        r = CliRunner().invoke(app, words)
        assert r.exit_code == 1 and r.stderr.splitlines()[-1].startswith(last), r.output + r.stderr

GIVEN = ['harmonize', 'data/criteo.csv', '--out', 'tables']

def test_what_only_the_account_knows_can_be_given(reports):
    r = CliRunner().invoke(app, [*GIVEN, '--given', 'criteo.currency=USD', '--given', 'criteo.window_days=30', '--given', 'criteo.restated_days=7', '--as-of', '2026-06-30'])
    delivery = pl.read_parquet('tables/delivery/*.parquet')
    assert r.exit_code == 0 and delivery['currency'].to_list() == ['USD']
    r = CliRunner().invoke(app, ['harmonize', '--help'])
    assert '--given' in r.output

@pytest.mark.parametrize('given,message', [('currency', 'NETWORK.KEY=VALUE'), ('criteo.currency', 'NETWORK.KEY=VALUE'), ('currency=USD', 'NETWORK.KEY=VALUE'), ('criteoo.currency=USD', "No dialect is called 'criteoo'"),
                                           ('criteo.colour=red', 'Cannot be given'), ('criteo.window_days=month', 'window_days'), ('criteo.ntb=perhaps', 'ntb'), ('criteo.event_date=May', 'not a date')])
def test_what_cannot_be_given(reports, given, message):
    r = CliRunner().invoke(app, [*GIVEN, '--given', given])
    assert r.exit_code == 1 and isinstance(r.exception, SystemExit) and message in r.stderr

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

def test_comparable_prints_what_can_be_presented_and_writes_it(project):
    r = CliRunner().invoke(app, ['comparable', str(Path(__file__).parents[2]/'data'), '--as-of', '2026-11-01', '--given', 'instacart.window_days=14', '--xlsx', 'c.xlsx'])
    assert r.exit_code == 0 and 'Your spreadsheet: ROAS' in r.output and 'What can be presented: ROAS' in r.output and 'of the spend in USD: amazon_sponsored_brands_display, amazon_sponsored_products, instacart_ads, walmart_search' in r.output
    assert 'not in it' in r.output and re.search(r'uber_retail_ads +[\d,]+\.\d\d MXN', r.output) and (project/'c.xlsx').stat().st_size > 5000 and '[' not in r.output
    assert CliRunner().invoke(app, ['comparable', 'nothing.csv']).exit_code == 1
