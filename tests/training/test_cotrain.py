"Trained to add up: rows that follow from their cards, a group that is published whole, and companions that stay as they are."
import itertools
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.compose import compose
from rmn_lora.adapters.store import AdapterStore, adapter_version
from rmn_lora.errors import AdapterError, BaseModelError, DatasetError, TrainingError
from rmn_lora.training import cotrain as module
from rmn_lora.training.cards import CodesCard, ColumnRule, SchemaCard
from rmn_lora.training.corpus import HELD_OUT_BRANDS, HELD_OUT_CODES, HELD_OUT_NETWORKS, HELD_OUT_TOOLS
from rmn_lora.training.cotrain import Member, cotrain, subsets
from rmn_lora.training.sft import LoraRecipe
from rmn_lora.training.together import check_together, joint_rows, whole_stack_rows, with_category

SCHEMA = SchemaCard((*HELD_OUT_NETWORKS['opaque'].columns, ColumnRule('q9', 'product')))
OWN = dict(industry=HELD_OUT_CODES, retailer=SCHEMA, brand=HELD_OUT_BRANDS['juniper'], task=with_category(HELD_OUT_TOOLS))
SETS = [s for k in range(1, 5) for s in itertools.combinations(OWN, k)]
RECIPE = LoraRecipe(rank=2, alpha=4, batch=2, steps=12, check_every=4, rate=1e-2)
MEMBERS = {'grocery': Member('industry', OWN['industry']), 'opaque': Member('retailer', SCHEMA), 'calls': Member('task', OWN['task'])}


# --- rows -------------------------------------------------------------------

@pytest.mark.parametrize('active', SETS, ids='+'.join)
def test_answers_follow_from_the_cards_in_weights_and_in_the_prompt(active, answer_by_text):
    rows = joint_rows(OWN, active, 60, 5)
    assert rows == joint_rows(OWN, active, 60, 5) != joint_rows(OWN, active, 60, 6)
    for r in rows:
        *system, user = r['prompt']
        shown = [part for m in system for part in _cards(m['content'])]
        kinds = {c.split('\n')[0] for c in shown}
        for k, title in dict(industry='Codes', retailer='Schema', brand='Tone', task='Tools').items():
            assert not (k in active and title in kinds) # what is in an adapter is not in the prompt, too
            assert k in active or str(OWN[k]) not in shown # and what is not active is not learned by another
        assert r['completion'][0]['content'] == answer_by_text([*(c for k in active for c in _held(OWN[k], user['content'])), *shown], user['content'])


def _cards(text):
    "The cards of a system message, each with its title."
    out = []
    for line in text.split('\n'):
        if line in ('Schema', 'Tools', 'Codes', 'Tone'): out.append(line)
        else: out[-1] += f'\n{line}'
    return out


def _held(card, question):
    "An active adapter's card, if the question is about it: the reader takes every card that it is given to be meant."
    if isinstance(card, SchemaCard): return [card] if any(f'\n{c.name}=' in question for c in card.columns) else []
    if isinstance(card, CodesCard): return [card] if any(f'={p}\n' in question + '\n' for p, _ in card.codes) else []
    return [card]


def test_each_kind_of_question_comes_up():
    asked = {r['prompt'][-1]['content'].split('\n')[0].split('=')[0] for r in joint_rows(OWN, list(OWN), 300, 1)}
    assert asked == {'Map to RMIS', 'Call a tool', 'product', 'Write copy'}


def test_what_takes_the_whole_stack(answer_by_text):
    rows = whole_stack_rows(OWN, 40, 3)
    assert len(rows) == 40 and all(len(r['prompt']) == 1 for r in rows)
    for r in rows:
        question, answer = r['prompt'][0]['content'], r['completion'][0]['content']
        assert answer == answer_by_text([OWN['industry'], SCHEMA, OWN['task']], question) and '"category"' in answer and ('"spend"' in answer or '"sales_14d"' in answer)


@pytest.mark.parametrize(('own', 'why'), [
    (dict(retailer=OWN['task']), 'ToolsCard is given for the kind'), (dict(shop=SCHEMA), 'SchemaCard is given'), (dict(industry=HELD_OUT_CODES, retailer=HELD_OUT_NETWORKS['opaque']), 'no product'),
    (dict(retailer=SchemaCard((ColumnRule('a', 'placement'),)), task=OWN['task']), 'No tool')])
def test_cards_that_cannot_meet(own, why):
    with pytest.raises(DatasetError, match=why): check_together(own)
    with pytest.raises(DatasetError, match=why): joint_rows(own, list(own), 2)


def test_nothing_takes_the_whole_stack_without_cents():
    with pytest.raises(DatasetError, match='cents'): whole_stack_rows({**OWN, 'retailer': SchemaCard(tuple(replace(c, op='plain') for c in SCHEMA.columns))}, 2)


# --- training ---------------------------------------------------------------

@pytest.fixture(scope='module')
def base(base_folder): return load_base(base_folder, device='cpu')


@pytest.fixture(scope='module')
def group(base, tmp_path_factory):
    root = tmp_path_factory.mktemp('group')
    store = AdapterStore(root/'store')
    return store, cotrain(base, MEMBERS, root/'run', RECIPE, store, progress=False)


def state(base): return {n: t.clone() for n, t in base.model.state_dict().items()}


def same(a, b): return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_group_is_published_and_knows_its_companions(base, group):
    store, made = group
    versions = {n: t.version.version for n, t in made.items()}
    assert list(made) == list(MEMBERS) and {v.id: v.kind for v in store.list()} == {n: m.kind for n, m in MEMBERS.items()}
    for n, t in made.items():
        assert t.version.lineage['trained_with'] == [v for k, v in versions.items() if k != n] and t.version.base_digest == base.digest and t.lineage['seen']
        assert {v.id for v in store.dependents(versions[n])} == set(MEMBERS) - {n}
        assert any(b.abs().sum() > 0 for k, b in load_file(t.folder/'adapter_model.safetensors').items() if 'lora_B' in k) # it was trained


def test_the_base_is_lent(base, tmp_path):
    before, modules = state(base), {n: type(m) for n, m in base.model.named_modules()}
    cotrain(base, MEMBERS, tmp_path/'run', replace(RECIPE, steps=2), progress=False)
    assert same(before, state(base)) and modules == {n: type(m) for n, m in base.model.named_modules()} and not hasattr(base.model, 'peft_config')


def test_a_later_one_leaves_the_others_as_they_are(base, group, tmp_path):
    store, made = group
    before = {n: adapter_version(t.version.path) for n, t in made.items()}
    members = {n: replace(m, version=made[n].version) for n, m in MEMBERS.items() if m.kind != 'retailer'} | {'later': MEMBERS['opaque'], 'juniper': Member('brand', OWN['brand'])}
    assert len(subsets(members)) == 12 # of fifteen, three have nothing to train
    new = cotrain(base, members, tmp_path/'run', RECIPE, store, progress=False)
    assert list(new) == ['later', 'juniper'] and before == {n: adapter_version(t.version.path) for n, t in made.items()}
    assert set(new['later'].version.lineage['trained_with']) == {made['grocery'].version.version, made['calls'].version.version, new['juniper'].version.version}
    again = cotrain(base, members, tmp_path/'run', RECIPE, store, progress=False) # finished: not run again
    assert again['later'].version == new['later'].version and again['later'].seconds < new['later'].seconds


@pytest.mark.parametrize('at', [3, 4, 9])
def test_interrupted_and_gone_on_is_as_if_nothing_had_been(at, base, group, tmp_path, monkeypatch):
    real = module.Watch.on_step_end
    def press(self, args, state, control):
        real(self, args, state, control)
        if state.global_step == at: self.stop = True
    with monkeypatch.context() as m:
        m.setattr(module.Watch, 'on_step_end', press)
        with pytest.raises(KeyboardInterrupt, match=f'after step {at} of 12'): cotrain(base, MEMBERS, tmp_path/'run', RECIPE, progress=False)
    assert not (tmp_path/'run'/'history.json').exists()
    made = cotrain(base, MEMBERS, tmp_path/'run', RECIPE, progress=False)
    for n, t in made.items():
        a, b = (load_file(x/'adapter_model.safetensors') for x in (t.folder, group[1][n].folder))
        assert a.keys() == b.keys()
        for k in a: torch.testing.assert_close(a[k], b[k], rtol=1e-4, atol=1e-6)
    assert not (tmp_path/'run'/'state.pt').exists()


def test_below_the_bar_nothing_is_published(base, tmp_path):
    store, gate = AdapterStore(tmp_path/'store'), whole_stack_rows(OWN, 4)
    with pytest.raises(TrainingError, match='nothing was published'): cotrain(base, MEMBERS, tmp_path/'run', replace(RECIPE, steps=2), store, gate, progress=False)
    assert store.list() == []
    made = cotrain(base, MEMBERS, tmp_path/'run', replace(RECIPE, steps=2), store, gate, at_least=0., progress=False)
    record = compose(base, [t.version for t in made.values()])
    assert store.evaluations()[record.identity]['scores']['together']['n'] == 4 # a stack that somebody measured


def test_groups_that_make_no_sense(base, group, tmp_path):
    store, made = group
    with pytest.raises(TrainingError, match='there already'): cotrain(base, {n: replace(m, version=made[n].version) for n, m in MEMBERS.items()}, tmp_path/'a', RECIPE)
    with pytest.raises(TrainingError, match='one kind'): cotrain(base, {'a': MEMBERS['calls'], 'b': MEMBERS['calls']}, tmp_path/'b', RECIPE)
    with pytest.raises(AdapterError, match='no valid name'): cotrain(base, {'A b': MEMBERS['calls']}, tmp_path/'c', RECIPE, store)
    cotrain(base, {'calls': MEMBERS['calls']}, tmp_path/'d', replace(RECIPE, steps=1), progress=False)
    with pytest.raises(TrainingError, match='other rows'): cotrain(base, {'calls': MEMBERS['calls']}, tmp_path/'d', RECIPE, progress=False)
    assert not any((tmp_path/x).exists() for x in 'abc')


# --- names, order, companions ---------------------------------------------------

def weights(made): return {n: load_file(t.folder/'adapter_model.safetensors') for n, t in made.items()}


def test_the_order_in_which_members_are_given_does_not_count(base, tmp_path, monkeypatch):
    want = weights(cotrain(base, MEMBERS, tmp_path/'want', RECIPE, progress=False))
    stop_after(4, monkeypatch)
    with pytest.raises(KeyboardInterrupt): cotrain(base, MEMBERS, tmp_path/'run', RECIPE, progress=False)
    monkeypatch.undo()
    got = weights(cotrain(base, dict(reversed(MEMBERS.items())), tmp_path/'run', RECIPE, progress=False))
    for n in want: assert all(torch.equal(want[n][k], got[n][k]) for k in want[n]), n


def test_what_is_dropped_goes_on_after_a_stop(base, tmp_path, monkeypatch):
    recipe = replace(RECIPE, dropout=.3)
    want = weights(cotrain(base, MEMBERS, tmp_path/'want', recipe, progress=False))
    stop_after(4, monkeypatch)
    with pytest.raises(KeyboardInterrupt): cotrain(base, MEMBERS, tmp_path/'run', recipe, progress=False)
    monkeypatch.undo()
    torch.manual_seed(99)
    got = weights(cotrain(base, MEMBERS, tmp_path/'run', recipe, progress=False))
    for n in want: assert all(torch.equal(want[n][k], got[n][k]) for k in want[n]), n


def stop_after(steps, monkeypatch):
    class Stopping(module.Watch):
        def on_step_end(self, args, state, control, **kwargs):
            super().on_step_end(args, state, control, **kwargs)
            self.stop = state.global_step >= steps
    monkeypatch.setattr(module, 'Watch', Stopping)


def test_names_that_layers_have_too(base, tmp_path):
    store, short = AdapterStore(tmp_path/'adapters'), replace(RECIPE, steps=2)
    names = dict(zip(('mlp', 'v1.2', 'q_proj'), MEMBERS.values()))
    made = cotrain(base, names, tmp_path/'platform', short, store, progress=False)
    assert sorted(v.id for v in store.list()) == sorted(names)
    companions = {n: replace(names[n], version=made[n].version) for n in ('mlp', 'q_proj')}
    before = weights({n: made[n] for n in companions})
    cotrain(base, companions | {'layers': Member('retailer', SCHEMA)}, tmp_path/'later', short, store, progress=False)
    for n, v in companions.items():
        assert adapter_version(v.version.path) == v.version.version
        assert all(torch.equal(t, before[n][k]) for k, t in load_file(v.version.path/'adapter_model.safetensors').items())


def test_companions_are_looked_at_first(base, tmp_path):
    store, folder = AdapterStore(tmp_path/'adapters'), cotrain(base, {'calls': MEMBERS['calls']}, tmp_path/'calls', replace(RECIPE, steps=2), progress=False)['calls'].folder
    v = store.publish(folder, 'calls', 'task', base=base)
    def train(version, kind='task'): cotrain(base, MEMBERS | {'calls': replace(MEMBERS['calls'], version=version)}, tmp_path/'run', RECIPE, store, progress=False)
    with pytest.raises(BaseModelError, match='was made for base'): train(store.publish(folder, 'others', 'task', base_digest='sha256:' + '0'*64))
    with pytest.raises(TrainingError, match='takes part as task'): train(store.publish(folder, 'shop', 'retailer', base=base))
    (v.path/'adapter_model.safetensors').write_bytes(b'x')
    with pytest.raises(AdapterError, match='is not what was published'): train(v)
    assert not (tmp_path/'run').exists()


def test_rows_that_the_base_cannot_hold(base, tmp_path):
    short = replace(base, model=base.model)
    limit, base.model.config.max_position_embeddings = base.model.config.max_position_embeddings, 24
    try:
        with pytest.raises(DatasetError, match='reads at most 24'): cotrain(short, MEMBERS, tmp_path/'run', RECIPE, progress=False)
    finally: base.model.config.max_position_embeddings = limit
