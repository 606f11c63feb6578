"Compose, answer, swap, roll back: every answer by exactly the versions it names, whatever happens meanwhile."
import os
import random
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch

from rmn_lora.adapters.bank import PAGE, page_bytes
from rmn_lora.adapters.compose import truncated
from rmn_lora.adapters.compositor import RealtimeCompositor, get_compositor
from rmn_lora.adapters.factors import added, distance, read_factors
from rmn_lora.adapters.manager import AdapterManager
from rmn_lora.adapters.residency import Residency
from rmn_lora.adapters.store import AdapterStore
from rmn_lora.errors import AdapterError, BaseModelError, EngineError
from rmn_lora.settings import CompositionSettings, load_settings

LINEARS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
SECONDS = float(os.environ.get('RMN_STRESS_SECONDS', '15')) # of the test with sixteen threads


# --- the seed's calls -------------------------------------------------------

def test_the_seed_as_written(base, tmp_path, monkeypatch, make_checkpoint, make_adapter):
    "The seed's examples of this part, with only the import path changed (the base and the adapters lie where it says)."
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('RMN_MODEL_DEVICE', 'cpu')
    make_checkpoint(Path('meta-llama/Llama-3.1-8B-Instruct'))
    local, store = AdapterManager('meta-llama/Llama-3.1-8B-Instruct', 'unused').base, AdapterStore(Path('models/adapters'))
    for i, (id, kind) in enumerate(dict(industry_retail='industry', retailer_amazon='retailer', retailer_walmart='retailer', task_planning='task', amazon_schema_v1='retailer', amazon_schema_v2='retailer').items()):
        store.publish(make_adapter(base, tmp_path/'made'/id, seed=i), id, kind, base=local)
    ready, printed = threading.Event(), []
    def print(text): printed.append(text); ready.set() if text.startswith('Ready') else None

    # Initialize adapter manager
    adapter_manager = AdapterManager(
        base_model_path="meta-llama/Llama-3.1-8B-Instruct",
        adapters_dir=Path("models/adapters")
    )
    # Initialize compositor with warmup
    compositor = get_compositor(adapter_manager)
    compositor._warmup([
        ['industry_retail', 'retailer_amazon', 'task_planning'],
        ['industry_retail', 'retailer_walmart', 'task_planning']
    ])

    # Synchronous composition (with caching)
    model = compositor.compose_sync(
        adapter_ids=['industry_retail', 'retailer_amazon', 'task_planning'],
        composition_strategy='sequential'
    )
    # Asynchronous composition
    request_id = compositor.compose_async(
        adapter_ids=['industry_retail', 'retailer_walmart'],
        priority=1,
        callback=lambda req_id, model: print(f"Ready: {req_id}")
    )
    # Hot-swap adapter
    compositor.swap_adapter(
        old_adapter_id='amazon_schema_v1',
        new_adapter_id='amazon_schema_v2',
        warm_swap=True  # Pre-compose before switching
    )
    # Pre-fetch common composition
    compositor.prefetch(
        adapter_ids=['industry_retail', 'retailer_amazon'],
        composition_strategy='sequential'
    )
    # Get stats
    stats = compositor.get_cache_stats()
    print(f"Cache hit rate: {stats['cache_hit_rate']:.1%}")
    output = model.generate('Which campaigns spend too much?')

    assert ready.wait(30) and f'Ready: {request_id}' in printed and any(p.startswith('Cache hit rate: ') for p in printed)
    assert {'cached_compositions', 'cache_hit_rate', 'avg_composition_time_ms', 'total_compositions'} <= stats.keys()
    assert output.logits.shape == (len(output.tokens), 320) and output.entropy.shape == output.logprobs.shape == (len(output.tokens),)
    assert [a['id'] for a in output.identity['adapters']] == ['industry_retail', 'retailer_amazon', 'task_planning'] and output.identity['untested'] is True
    assert get_compositor(adapter_manager) is compositor
    compositor.close()


# --- answers ----------------------------------------------------------------

def test_each_answer_is_that_of_its_adapters(compositor, manager, base, agrees):
    with base.using(manager.versions['retail1'], manager.versions['amazon1']) as stack: want = stack.generate(['spend?', 'clicks of that campaign'], 20)
    model = compositor.compose_sync(['amazon', 'retail'])
    alone = [model.generate(p, 20) for p in ('spend?', 'clicks of that campaign')]
    both = compositor.generate([model]*2, ['spend?', 'clicks of that campaign'], 20)
    assert [a.text for a in alone] == [b.text for b in both] == want
    for a, p in zip(alone, ('spend?', 'clicks of that campaign')): assert agrees(compositor, p, a) < 1e-4


def test_a_batch_of_compositions_of_every_kind(compositor, agrees):
    "Mixed strategies in one batch, each as alone, and each known by what it says it is."
    ask = ['spend?', 'sales', 'clicks and sales by product', 'x', 'date of the campaign']
    models = [compositor.compose_sync(['retail', 'amazon', 'planning']), compositor.compose_sync(['walmart', 'mapping'], 'weighted', weights=[.5, 2.]),
              compositor.compose_sync(['retail', 'brand'], 'svd', rank=6), compositor.compose_sync(['planning']), compositor.compose_sync(['retail', 'amazon'], 'svd')]
    together = compositor.generate(models, ask, 16)
    for m, p, out in zip(models, ask, together):
        assert m.generate(p, 16).tokens == out.tokens and out.identity == m.identity
        assert agrees(compositor, p, out, m) < 1e-4


def test_what_is_merged_says_how_far_it_is_from_the_sum(compositor):
    exact = compositor.compose_sync(['retail', 'amazon'])
    assert 'distance' not in exact.identity and exact.identity['exact'] is True
    parts = [read_factors(compositor.manager.resolve(n), compositor.base) for n in ('retail', 'amazon')]
    for rank in (3, 8, 12):
        cut = compositor.compose_sync(['retail', 'amazon'], 'svd', rank=rank)
        want = added([(f, 1.) for f in parts])
        assert cut.identity['exact'] is False and cut.identity['distance'] == pytest.approx(distance(truncated(want, rank), want), abs=1e-4)


def test_a_wrong_adapter_is_noticed(compositor, agrees):
    "The check of promise 3 must be able to fail: other adapters, another weight, another version."
    out = compositor.compose_sync(['retail', 'amazon', 'planning']).generate('spend of the campaign?', 20)
    assert agrees(compositor, 'spend of the campaign?', out) < 1e-4
    for wrong in (compositor.compose_sync(['retail', 'walmart', 'planning']), compositor.compose_sync(['retail', 'amazon']), compositor.compose_sync(['retail', 'amazon', 'planning'], 'weighted', weights=[1, .9, 1]),
                  compositor.compose_sync(['retail', compositor.manager.versions['amazon2'].version, 'planning'])):
        assert agrees(compositor, 'spend of the campaign?', out, wrong) > 1e-2


def test_sampling_is_the_rows_own(compositor):
    m, n = compositor.compose_sync(['retail']), compositor.compose_sync(['amazon'])
    a = m.generate('spend?', 20, temperature=1., seed=3)
    assert m.generate('spend?', 20, temperature=1., seed=3).tokens == a.tokens == compositor.generate([m, n], ['spend?', 'x'], 20, 1., 3)[0].tokens
    assert m.generate('spend?', 20, temperature=1., seed=4).tokens != a.tokens
    with pytest.raises(EngineError, match='temperature'): m.generate('spend?', temperature=-1)


def test_sampling_has_the_right_distribution(compositor):
    "The first token, drawn often, against the softmax at that temperature (chi-squared)."
    from scipy import stats
    m = compositor.compose_sync(['retail'])
    p = (m.logits('x')[0].double()/1.5).softmax(-1)
    drawn = [m.compositor.generate([m]*200, ['x']*200, 1, 1.5, 1000*k) for k in range(5)]
    stops = compositor.base.stops
    seen = torch.zeros(320, dtype=torch.float64)
    ended = sum(not g.tokens for part in drawn for g in part)
    for part in drawn:
        for g in part:
            if g.tokens: seen[g.tokens[0]] += 1
    top = [t for t in p.argsort(descending=True)[:8].tolist() if t not in stops]
    rest = 1 - sum(p[t].item() for t in top)
    observed, expected = [*(seen[t].item() for t in top), 1000 - sum(seen[t].item() for t in top)], [*(1000*p[t].item() for t in top), 1000*rest]
    assert stats.chisquare(observed, expected).pvalue > 1e-4 and ended <= 1000*sum(p[t].item() for t in stops) + 50


def test_edges(compositor):
    m = compositor.compose_sync(['retail'])
    assert compositor.generate([], []) == [] and m.generate('x', 1).logits.shape[1] == 320
    with pytest.raises(AdapterError, match='1 prompts have 2'): compositor.generate([m, m], ['x'])
    with pytest.raises(AdapterError, match="the text 'retail'"): compositor.compose_sync('retail')
    with pytest.raises(AdapterError, match="Did you mean 'retail'"): compositor.compose_sync(['retial'])
    with pytest.raises(AdapterError, match='no adapters'): compositor.compose_sync([])
    with pytest.raises(BaseModelError, match='at most 511'): m.generate('sales '*600)
    assert m.logits('x').shape == (1, 320) and m.logits('x', [5, 6]).shape == (3, 320)
    assert compositor.get_cache_stats()['bank']['entries'] == 1


def test_untested_until_it_was_evaluated(compositor, manager):
    m = compositor.compose_sync(['retail', 'amazon'])
    assert m.identity['untested'] is True
    manager.store.evaluate(m.composition.record, {'exact': .9})
    assert m.identity['untested'] is False and compositor.compose_sync(['retail', 'planning']).identity['untested'] is True


def test_an_export_is_what_was_composed(compositor, base, tmp_path):
    m = compositor.compose_sync(['retail', 'amazon', 'brand'], 'weighted', weights=[1, .5, -1])
    folder, prompt = m.export(tmp_path/'out'), 'spend?'
    out = m.generate(prompt, 12)
    with base.using(folder) as one: again = one.logprobs(prompt, out.text)
    if base.tokenizer(out.text, add_special_tokens=False).input_ids == out.tokens: assert (again - out.logprobs).abs().max() < 1e-4


# --- where they are ---------------------------------------------------------

def small(manager, pages=3, memory=8, minutes=60):
    return Residency(manager, pages*page_bytes(manager.base), memory*page_bytes(manager.base), minutes*60)


def test_tiers_are_bounded_and_seen(manager, compositor):
    r = small(manager)
    stack = lambda *names: compositor.compose_sync(names).composition
    assert r.load(stack('retail')) is False and r.load(stack('retail')) is True
    for names in (('amazon', 'planning'), ('walmart',), ('brand',), ('mapping',), ('retail', 'amazon')): r.load(stack(*names))
    for tier in (r.slots, r.memory): assert 0 < tier.stats()['bytes'] <= tier.stats()['max_bytes']
    assert r.slots.stats()['evictions'] > 0 and r.bank.free == 3 - r.slots.stats()['bytes']//r.page
    with pytest.raises(AdapterError, match='needed at once'): r.load(stack('brand', 'planning', 'retail', 'amazon')) # five pages
    assert r.load(stack('retail', 'amazon')) is True
    r.bank.close()


def test_what_runs_is_not_evicted(manager, compositor):
    r = small(manager, pages=2)
    a, b = (compositor.compose_sync([n]).composition for n in ('retail', 'amazon'))
    with r.lease([a, a]) as rows:
        r.load(b)
        c = compositor.compose_sync(['planning']).composition
        r.load(c)
        assert r.has(a) and r.has(c) and not r.has(b) and rows[0] == rows[1]
    r.load(b)
    assert r.has(a) and not r.has(c), 'it was used until now'
    r.load(c)
    assert not r.has(a)
    r.bank.close()


def test_a_failure_while_loading_leaves_no_debris(manager, compositor, monkeypatch):
    r = small(manager)
    c = compositor.compose_sync(['retail', 'amazon']).composition
    for where in ('read', 'copy'):
        with monkeypatch.context() as m:
            def fail(*a, **kw): raise OSError('disk')
            m.setattr(*((r.manager, 'factors') if where == 'read' else (torch, '_foreach_copy_')), fail)
            r.memory.forget()
            with pytest.raises(OSError, match='disk'): r.load(c)
        assert r.bank.free == 3 and r.slots.stats()['bytes'] == 0 and r.slots.stats()['entries'] == 0
    assert r.load(c) is False and r.has(c)
    r.bank.close()


def test_files_that_changed_are_not_loaded(manager, compositor):
    v = manager.versions['walmart1']
    (v.path/'adapter_model.safetensors').write_bytes((manager.versions['walmart2'].path/'adapter_model.safetensors').read_bytes())
    with pytest.raises(AdapterError, match='not what was published'): compositor.compose_sync(['walmart'])
    assert compositor.compose_sync(['retail']).generate('x', 2)


def test_a_warm_up_list_in_the_settings(manager):
    def warm(stacks): return RealtimeCompositor(manager, load_settings().model_copy(update={'composition': CompositionSettings(warmup=stacks)}))
    c = warm('retail+amazon, planning')
    assert c.get_cache_stats()['total_compositions'] == 2 and c.compose_sync(['planning']) and c.get_cache_stats()['cache_hit_rate'] == pytest.approx(1/3)
    c.close()
    with pytest.raises(AdapterError, match='nobody'): warm('retail+nobody')


def test_a_bank_too_small_for_one_adapter(manager):
    with pytest.raises(AdapterError, match='16 ranks'): Residency(manager, 10, 10, 1)
    assert PAGE == 16


# --- in the background ------------------------------------------------------

def test_priorities_cancelling_and_errors(compositor):
    heard, go, done = [], threading.Event(), threading.Event()
    compositor.compose_async(['retail'], callback=lambda id, m: go.wait(10)) # holds the worker
    time.sleep(.05)
    ids = [compositor.compose_async([n], priority=p, callback=lambda id, found: (heard.append((id, found)), done.set() if len(heard) == 4 else None)) for n, p in (('amazon', 0), ('walmart', 5), ('brand', 5), ('nobody', 9), ('mapping', 7))]
    assert compositor.cancel(ids[-1]) is True and compositor.cancel('nonsense') is False
    def rude(id, m): raise RuntimeError('a callback of somebody')
    compositor.compose_async(['planning'], priority=20, callback=rude)
    go.set()
    assert done.wait(30)
    assert [id for id, _ in heard] == [ids[3], ids[1], ids[2], ids[0]] and isinstance(heard[0][1], AdapterError) and heard[1][1].generate('x', 2)
    assert compositor.cancel(ids[0]) is False
    with pytest.raises(AdapterError, match='nobody'): compositor.prefetch(['nobody'])


# --- swapping ---------------------------------------------------------------

def test_swap_and_roll_back(compositor, manager, tmp_path):
    v1, v2 = manager.versions['amazon1'], manager.versions['amazon2']
    before = compositor.compose_sync(['retail', 'amazon'])
    said = compositor.swap_adapter('amazon', v2.version)
    assert (said['before'], said['after']) == (v1.version, v2.version)
    after = compositor.compose_sync(['retail', 'amazon'])
    assert [p.version for p in before.composition.parts][1] == v1.version and [p.version for p in after.composition.parts][1] == v2.version
    assert compositor.get_cache_stats()['cache_hit_rate'] > 0 # it was warm
    assert before.generate('spend?', 12).tokens != after.generate('spend?', 12).tokens
    assert compositor.rollback('amazon')['after'] == v1.version and compositor.compose_sync(['retail', 'amazon']) is before
    compositor.swap_adapter('amazon', 'walmart', warm_swap=False) # another adapter of its kind
    assert compositor.compose_sync(['amazon']).composition.parts[0].id == 'walmart'
    assert AdapterStore(manager.store.root).resolve('amazon').id == 'walmart' # and on the disk
    with pytest.raises(AdapterError, match='kind'): compositor.swap_adapter('amazon', 'planning')


def test_a_swap_that_is_refused_moves_nothing(compositor, manager, base, tmp_path, make_adapter):
    v1 = manager.versions['amazon1']
    compositor.compose_sync(['amazon'])
    manager.store.publish(make_adapter(base, tmp_path/'huge', seed=9, std=30., r=4, lora_alpha=10000, target_modules=LINEARS), 'huge', 'retailer', base=base)
    big = manager.resolve('huge')
    for f in (lambda: compositor.swap_adapter('amazon', 'nobody'), lambda: compositor.swap_adapter('amazon', 'planning')):
        with pytest.raises(AdapterError): f()
    factors = manager.factors
    def damaged(v):
        f = factors(v)
        for b in f.B.values(): b.mul_(1e30)
        return f
    manager.factors = damaged
    with pytest.raises(AdapterError, match='NaN or infinity'): compositor.swap_adapter('amazon', 'huge')
    manager.factors = factors
    assert manager.resolve('amazon') == v1 and big.version not in compositor.residency.slots and big.version not in compositor.residency.memory


def test_who_was_trained_with_the_old_version_is_named(compositor, manager, base, tmp_path, make_adapter):
    v1, v2 = manager.versions['amazon1'], manager.versions['amazon2']
    manager.store.publish(make_adapter(base, tmp_path/'on-top', seed=77), 'bidding', 'task', base=base, lineage={'trained_with': [v1.version]})
    with pytest.raises(AdapterError, match="'bidding' stood on 'amazon'"): compositor.swap_adapter('amazon', v2.version)
    assert manager.resolve('amazon') == v1
    manager.store.evaluate(compositor.compose_sync([v2.version, 'bidding']).composition.record, {'exact': .95})
    compositor.swap_adapter('amazon', v2.version)
    compositor.rollback('amazon')
    manager.store.evaluate({'identity': 'sha256:' + '0'*64, 'adapters': []}, {})
    compositor.swap_adapter('amazon', 'walmart', force=True)


def test_what_was_merged_is_merged_anew_before_the_name_moves(compositor, manager):
    v2 = manager.versions['amazon2']
    compositor.compose_sync(['retail', 'amazon'], 'svd', rank=4)
    compositor.swap_adapter('amazon', v2.version)
    made = compositor.residency.slots.stats()['misses']
    compositor.compose_sync(['retail', 'amazon'], 'svd', rank=4)
    assert compositor.residency.slots.stats()['misses'] == made


def test_a_name_moved_by_another_process_is_followed(compositor, manager):
    AdapterStore(manager.store.root).alias('amazon', manager.versions['amazon2'].version)
    assert compositor.compose_sync(['amazon']).composition.parts[0].version == manager.versions['amazon2'].version


def test_unverified_and_foreign_adapters(manager, base, checkpoint, tmp_path, make_adapter, make_checkpoint):
    manager.store.publish(make_adapter(base, tmp_path/'found', seed=5), 'found', 'brand')
    manager.store.publish(make_adapter(base, tmp_path/'foreign', seed=6), 'foreign', 'brand', base_digest='sha256:' + 'f'*64)
    with pytest.raises(AdapterError, match='unverified'): get_compositor(manager).compose_sync(['found'])
    with pytest.raises(BaseModelError, match='made for base'): get_compositor(manager).compose_sync(['foreign'])
    risky = AdapterManager(checkpoint, manager.store.root, device='cpu', serve_unverified=True)
    assert get_compositor(risky).compose_sync(['found']).generate('x', 3)
    with pytest.raises(BaseModelError): get_compositor(risky).compose_sync(['foreign'])
    risky.compositor.close()


# --- the base is never touched ----------------------------------------------

def test_a_thousand_operations_leave_the_base_alone(manager, compositor, fingerprint, monkeypatch):
    "Random compositions, answers, swaps, evictions and injected failures; the weights are the same to the bit, and without a plan so are the answers."
    rng, ids = random.Random(0), torch.tensor([[5, 90, 41, 200, 7, 66]])
    compositor._residency = small(manager, pages=6)
    model = manager.base.model
    before = fingerprint(model)
    with torch.inference_mode(): plain = model(ids).logits
    names, versions = list(manager.store.aliases()), [v.version for v in manager.versions.values()]
    def fail(*a, **kw): raise OSError('injected')
    done = dict.fromkeys(('composed', 'said', 'swapped', 'rolled back', 'failed'), 0)
    for step in range(1000):
        with monkeypatch.context() as m:
            if rng.random() < .2: m.setattr(*rng.choice([(manager, 'factors'), (torch, '_foreach_copy_'), (model.model.layers[1].mlp, 'forward'), (compositor.residency.bank, 'lay_out')]), fail)
            try:
                chosen = rng.sample(names + versions, rng.randint(1, 2))
                what = rng.choice(('compose', 'compose', 'logits', 'generate', 'swap', 'rollback', 'forget'))
                if what == 'compose': compositor.compose_sync(chosen, *rng.choice([('sequential',), ('svd',)])); done['composed'] += 1
                elif what == 'logits': compositor.compose_sync(chosen).logits('x'); done['said'] += 1
                elif what == 'generate': compositor.compose_sync(chosen).generate('x', 2); done['said'] += 1
                elif what == 'swap': compositor.swap_adapter(rng.choice(names), rng.choice(versions), rng.random() < .5, force=True); done['swapped'] += 1
                elif what == 'rollback': compositor.rollback(rng.choice(names)); done['rolled back'] += 1
                else: compositor.residency.slots.forget(); compositor.residency.memory.forget()
            except (OSError, AdapterError, EngineError): done['failed'] += 1
        if step % 50 == 0:
            with torch.inference_mode(): assert torch.equal(model(ids).logits, plain)
    assert fingerprint(model) == before and min(done.values()) > 20, done
    compositor.residency.slots.forget()
    assert compositor.residency.bank.free == 6
    with torch.inference_mode(): assert torch.equal(model(ids).logits, plain)


# --- sixteen threads --------------------------------------------------------

def test_sixteen_threads(manager, compositor, fingerprint, monkeypatch, agrees):
    "Composing, asking, leaving, swapping, evicting and failing at once: every answer is the one of the versions it reports, and nothing is left behind."
    compositor._residency = small(manager, pages=12, memory=10)
    model, engine = manager.base.model, compositor.engine
    before, until = fingerprint(model), time.monotonic() + SECONDS
    names, some, seen, finishes, errors, lock = list(manager.store.aliases()), [], set(), Counter(), [], threading.Lock()
    factors, memory, worst = manager.factors, [], [0.]
    def sometimes(v):
        if random.random() < .1: raise OSError('injected')
        return factors(v)
    monkeypatch.setattr(manager, 'factors', sometimes)
    def prompt(rng): return rng.choice(('spend?', 'clicks', 'sales of the campaign'))
    def stack(rng): return compositor.compose_sync(rng.sample(names, rng.randint(1, 3)))
    def verify(p, admitted, out):
        "Each answer when it is there; one that came before, to the last digits, has been."
        assert [a['version'] for a in out.identity['adapters']] == admitted
        key = hash((p, out.identity['identity'], *out.tokens, *out.logprobs.mul(1e5).round().tolist()))
        with lock:
            finishes[out.finish] += 1
            if key in seen: return
            seen.add(key)
            if len(some) < 200: some.append((p, out))
        while True:
            try: found = agrees(compositor, p, out)
            except (OSError, AdapterError) as e:
                if 'injected' not in str(e): raise
            else: break
        with lock: worst[0] = max(worst[0], found)
    def answer(rng):
        models = [stack(rng) for _ in range(rng.randint(1, 3))]
        prompts = [prompt(rng) for _ in models]
        admitted = [[p.version for p in m.composition.parts] for m in models]
        for found in zip(prompts, admitted, compositor.generate(models, prompts, 6)): verify(*found)
    def ask(rng):
        "One request of some tenant's, that is read to its end or not."
        m, p = stack(rng), prompt(rng)
        admitted = [p.version for p in m.composition.parts]
        r = compositor.submit(m, p, tenant=str(rng.randrange(4)), priority=rng.random(), deadline=rng.choice((None, None, .02)), max_new_tokens=6, temperature=rng.choice((0., 1.)), seed=rng.randrange(3))
        if (how := rng.random()) < .2: r.cancel()
        elif how < .4: next(iter(r), None) # reads a piece, and leaves
        verify(p, admitted, r.result())
    def swap(rng):
        compositor.swap_adapter(rng.choice(names), rng.choice(list(manager.versions.values())).version, rng.random() < .5, force=True)
    def forget(rng):
        rng.choice((compositor.residency.slots, compositor.residency.memory)).forget()
        time.sleep(.005)
    def work(seed):
        rng = random.Random(seed)
        while time.monotonic() < until:
            try: rng.choices((answer, ask, swap, forget), (5, 5, 2, 4))[0](rng)
            except (OSError, AdapterError) as e:
                if 'injected' not in str(e) and 'kind' not in str(e) and 'one and the same' not in str(e): errors.append(e)
            except BaseException as e: errors.append(e)
            if seed == 0: memory.append(psutil.Process().memory_info().rss)
    with ThreadPoolExecutor(16) as pool: list(pool.map(work, range(16)))
    assert not errors and finishes['length'] + finishes['stop'] > 50 and finishes['cancelled'], (errors[:3], finishes)
    assert worst[0] <= 9e-5, worst # and of those that are like another, no more than 1e-5 further
    quarter = len(memory)//4
    early, late = (statistics.median(part) for part in (memory[quarter:2*quarter], memory[-quarter:]))
    print(f'{SECONDS:g} seconds: {finishes}, {len(seen)} of them unlike, worst {worst[0]:.1e}; memory {early/1e6:.0f} MB in the second quarter, {late/1e6:.0f} in the last')
    if SECONDS >= 60: assert late <= 1.05*early, (early, late)
    monkeypatch.undo()
    assert max(agrees(compositor, p, out) for p, out in some) <= 1e-4
    stats = engine.stats()
    assert (stats['waiting'], stats['loading'], stats['running'], stats['deaths']) == (0, 0, 0, 0)
    assert fingerprint(model) == before
    compositor.residency.slots.forget()
    assert compositor.residency.bank.free == 12
