"services.looks: what would have been read is what was read, over every process that wrote."
import numpy as np
import pytest
from rmn_lora.errors import ExperimentError
from rmn_lora.services.ab_testing import ABTestingFramework
from rmn_lora.services.looks import looks, looks_chart
from rmn_lora.storage.journal import Journal

ARMS = [dict(variant_id=v,adapter_ids=[v],traffic_percentage=.5) for v in ('a','b')]

def over(db, folder): return ABTestingFramework(db,Journal(db,spool=folder))

def test_each_look_is_what_was_read_then(db, tmp_path):
    "Two processes' worth of frameworks write; after each impression one of them reads."
    one,two = over(db,tmp_path/'one'),over(db,tmp_path/'two')
    for name in ('x','other'):
        one.create_experiment(name,variant_configs=ARMS,min_sample_size=20,detect=(.5,.9)); one.start_experiment(name)
    rng,read = np.random.default_rng(0),[]
    for i in range(120):
        writer = (one,two)[i%2]
        v = writer.assign_variant('x',f'u{i}')
        writer.record_impression('x',v,bool(rng.random()<(.4 if v=='a' else .9)),at_latency(rng),user_id=f'u{i}')
        one.record_impression('other','a',True)
        writer.journal.flush()
        if i%10==9: read.append(two.get_experiment_results('x'))
    table = looks('x',one,times=12)
    assert table['impressions'].unique(maintain_order=True).to_list()==list(range(10,121,10))
    for found in read:
        rows = {r['variant_id']: r for r in table.to_dicts() if r['impressions']==found['impressions']}
        assert {r['decision'] for r in rows.values()}=={found['decision']}
        for v,shown in found['variants'].items():
            assert rows[v]['n']==shown['impressions'] and rows[v]['success_rate']==pytest.approx(shown['success_rate'],nan_ok=True) and rows[v]['lo']==pytest.approx(shown['success_interval']['lo'])
        d = found['intervals']['b']['success']
        assert [rows['b'][k] for k in ('difference','difference_lo','difference_hi')]==pytest.approx([d['estimate'],d['lo'],d['hi']],rel=1e-9)
    assert read[-1]['winner']=='b' and table['difference'].null_count()==12

def at_latency(rng): return float(rng.lognormal(5,.3))

@pytest.mark.parametrize('times', [1,7,1000])
def test_there_are_no_more_looks_than_impressions(sqlite, tmp_path, times):
    f = over(sqlite,tmp_path/'spool')
    f.create_experiment('x',variant_configs=ARMS); f.start_experiment('x')
    for i in range(30): f.record_impression('x','ab'[i%2],i%3>0)
    table = looks('x',f,times)
    assert table['impressions'].n_unique()==min(times,30) and table['impressions'].max()==30
    assert {'hconcat'}<=set(looks_chart(table).to_dict())

def test_what_cannot_be_looked_at_is_said(sqlite, tmp_path):
    f = over(sqlite,tmp_path/'spool')
    f.create_experiment('x',variant_configs=ARMS)
    with pytest.raises(ExperimentError, match='0 impressions'): looks('x',f)
    with pytest.raises(ExperimentError, match="no experiment 'y'"): looks('y',f)
    f.start_experiment('x'); f.record_impression('x','a',True)
    with pytest.raises(ExperimentError, match='0 looks'): looks('x',f,times=0)
    looks_chart(looks('x',f)).to_dict() # one variant alone was seen
