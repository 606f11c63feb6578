"training.soup: the mean of updates, against dense matrices."
import json
from dataclasses import replace
import pytest
import torch
from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.files import check_adapter
from rmn_lora.errors import AdapterError, TrainingError
from rmn_lora.training.corpus import HELD_OUT_BRANDS
from rmn_lora.training.dataset import brand_rows
from rmn_lora.training.sft import LoraRecipe, train_adapter
from rmn_lora.training.soup import mean_adapter

RECIPE = LoraRecipe(rank=2, alpha=6, batch=4, steps=2, rate=1e-2)

@pytest.fixture(scope='module')
def base(base_folder): return load_base(base_folder)

@pytest.fixture(scope='module')
def parts(base, tmp_path_factory):
    "Of two ranks, and so of two scales."
    folder, rows = tmp_path_factory.mktemp('parts'), brand_rows(HELD_OUT_BRANDS['juniper'], 24)
    return [train_adapter(base, rows, folder/str(s), replace(RECIPE, seed=s, rank=r), progress=False) for s, r in ((0, 2), (1, 2), (2, 3))]

def updates(adapter, base):
    "The dense update of every layer: alpha/rank · B · A."
    config, tensors = check_adapter(adapter, base)
    return {k.removesuffix('.lora_A.weight'): config.lora_alpha/config.r*tensors[k.replace('lora_A', 'lora_B')].double()@tensors[k].double() for k in tensors if 'lora_A' in k}

def test_it_is_the_mean_of_the_updates(base, parts, tmp_path):
    mean = updates(mean_adapter(base, parts, tmp_path/'mean', rank=7), base)
    each = [updates(p, base) for p in parts]
    assert mean.keys() == each[0].keys() and any(u.abs().max() > 1e-4 for u in mean.values())
    for k in mean: torch.testing.assert_close(mean[k], sum(e[k] for e in each)/3, rtol=1e-4, atol=1e-7)

def test_no_update_of_that_rank_is_nearer(base, parts, tmp_path):
    mean, each = updates(mean_adapter(base, parts, tmp_path/'mean', rank=2), base), [updates(p, base) for p in parts]
    for k, got in mean.items():
        want = sum(e[k] for e in each)/3
        left = torch.linalg.svdvals(want)[2:].square().sum().sqrt() # Eckart and Young
        torch.testing.assert_close((want - got).norm(), left, rtol=1e-3, atol=1e-6)

def test_the_base_is_left_alone_and_the_mean_can_be_stacked(base, parts, tmp_path):
    before = [t.clone() for t in base.model.state_dict().values()]
    folder = mean_adapter(base, parts, tmp_path/'mean')
    assert all(map(torch.equal, before, base.model.state_dict().values())) and not hasattr(base.model, 'peft_config')
    assert json.loads((folder/'adapter_config.json').read_text())['base_model_name_or_path'] == base.name
    with base.using(folder, parts[0]) as both: assert both.generate(['Write copy'], 3)

def test_what_has_no_mean(base, parts, tmp_path):
    with pytest.raises(TrainingError, match='A mean of 1 adapters'): mean_adapter(base, parts[:1], tmp_path/'mean')
    with pytest.raises(AdapterError, match="no adapter folder 'nowhere'"): mean_adapter(base, [parts[0], tmp_path/'nowhere'], tmp_path/'mean')
    assert not (tmp_path/'mean').exists()
