"The engine: every answer verified under what it names, whatever fails, is cancelled, comes late or dies around it."
import asyncio
import ctypes
import gc
import random
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from rmn_lora.adapters import engine as engine_module, loop as loop_module, runner as runner_module, worker as worker_module
from rmn_lora.adapters.bank import page_bytes
from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.compose import Composition, compose
from rmn_lora.adapters.engine import Engine
from rmn_lora.adapters.fixed import Steps, doubled
from rmn_lora.adapters.manager import AdapterManager
from rmn_lora.adapters.request import Request, Said, Sampling
from rmn_lora.adapters.residency import Residency
from rmn_lora.adapters.sampling import certainty
from rmn_lora.adapters.waiting import MANY, RATE, SAVED, Allowances, WaitingRoom
from rmn_lora.errors import AdapterError, BaseModelError, EngineError

PROMPTS = ['spend?', 'clicks and sales of the campaign on that date?', 'sales', 'x', 'product product product date']


@pytest.fixture(scope='module')
def made(checkpoint, tmp_path_factory, fill):
    "A manager with adapters, and an engine of four rows."
    root = tmp_path_factory.mktemp('engine')
    manager = AdapterManager(checkpoint, root/'store', device='cpu')
    versions = fill(manager.store, manager.base, root/'made')
    residency = Residency(manager, 10**8, 10**8, 3600.)
    engine = Engine(residency, rows=4)
    stacks = [compose(manager.base, [versions[n] for n in names], *how) for names, *how in ((['retail1'],), (['retail1', 'amazon1'],), (['amazon2', 'brand1', 'planning1'],), (['walmart1', 'mapping1'], 'weighted', [.5, -1.]), (['retail1', 'amazon1'], 'svd', None, 6))]
    yield engine, [*stacks, None]
    engine.close()
    residency.bank.close()


@pytest.fixture
def engine(made):
    yield made[0]
    rests(made[0])


@pytest.fixture
def stacks(made): return made[1]


def rests(engine):
    "Nothing is under way, and no adapter is held."
    until = time.monotonic() + 20
    while engine.stats() | dict(tokens=0, deaths=0, attention=0) != dict(waiting=0, loading=0, running=0, tokens=0, deaths=0, attention=0) and time.monotonic() < until: time.sleep(.01)
    assert (engine.loop._live, engine.loop._runner.rows, engine.loop._ready, len(engine.loop._waiting)) == (set(), [], [], 0)
    while any(e.users for e in engine.residency.slots._entries.values()) and time.monotonic() < until: time.sleep(.01) # who loads gives back a little later
    assert all(e.users == 0 for e in engine.residency.slots._entries.values())


def right(engine, request):
    verdict = engine.verify(answer := request.result(60))
    assert verdict.right, (verdict, answer)
    return answer


# --- answers ----------------------------------------------------------------

def test_each_is_answered_by_what_it_names(engine, stacks):
    asked = [(p, c, n) for p, c, n in zip(PROMPTS*3, stacks*3, (3, 20, 7, 12, 1, 15, 9, 30, 2, 5, 11, 4, 8, 6, 10))]
    requests = [engine.submit(p, c, max_new_tokens=n) for p, c, n in asked]
    for r, (p, c, n) in zip(requests, asked):
        answer = right(engine, r)
        alone = engine.submit(p, c, max_new_tokens=n).result(60)
        assert answer.tokens == alone.tokens and answer.text == alone.text and answer.finish == alone.finish
        assert len(answer.tokens) <= n and (answer.finish == 'length') == (len(answer.tokens) == n)
        assert answer.identity == (c.record if c else dict(base=engine.base.digest, adapters=[])) and answer.prompt == engine.base.encode([p])[0]
        assert 0 <= answer.timings['waited'] <= answer.timings['first'] <= answer.timings['total'] or not answer.tokens
    bare = [r for r, (_, c, _) in zip(requests, asked) if c is None]
    assert [r.result().text for r in bare] == [engine.base.generate([p], n)[0] for p, c, n in asked if c is None]


def test_as_peft_stacks_them(engine, stacks):
    manager, c = engine.residency.manager, stacks[1]
    said = [engine.submit(p, c, max_new_tokens=12).result(60).text for p in PROMPTS]
    with manager.base.using(*(manager.part(p.id, p.version) for p in c.parts)) as stack: assert stack.generate(PROMPTS, 12) == said


def test_a_wrong_adapter_is_caught(engine, stacks):
    answer = engine.submit(PROMPTS[1], stacks[1], max_new_tokens=12).result(60)
    for other in (stacks[0], stacks[2], stacks[3], stacks[4]): assert not engine.verify(replace(answer, identity=other.record)).right
    with pytest.raises(AdapterError, match='was changed'): Composition.of(stacks[1].record | dict(strategy='weighted', adapters=stacks[0].record['adapters']))


def test_a_forged_answer_is_caught(engine, stacks):
    a = right(engine, engine.submit(PROMPTS[1], stacks[0], identity=dict(asked_by='me'), max_new_tokens=6))
    assert a.identity == stacks[0].record | dict(asked_by='me')
    for forged in (replace(a, text='forged'), replace(a, text=a.text[:-1], finish='length'), replace(a, tokens=a.tokens[:-1]), replace(a, logprobs=a.logprobs[1:])): assert engine.verify(forged) == (False, float('inf'))
    other = Composition('sha256:nobody', stacks[0].parts)
    for identity in (other.record, dict(base='sha256:other', adapters=[])):
        with pytest.raises(EngineError, match='is of base sha256:'): engine.verify(replace(a, identity=identity))


def test_what_is_measured_of_each_token(engine, stacks):
    answer = engine.submit(PROMPTS[1], stacks[2], max_new_tokens=10, keep_logits=True).result(60)
    p = answer.logits.double().softmax(-1)
    torch.testing.assert_close(answer.logprobs.double(), p.gather(1, torch.tensor(answer.tokens)[:, None])[:, 0].log(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(answer.entropy.double(), torch.special.entr(p).sum(-1), rtol=1e-4, atol=1e-4)
    two = p.topk(2).values
    torch.testing.assert_close(answer.margin.double(), two[:, 0] - two[:, 1], rtol=1e-4, atol=1e-4)
    assert engine.submit(PROMPTS[1], stacks[2], max_new_tokens=2).result(60).logits is None


@given(st.integers(0, 2**31), st.integers(2, 40), st.sampled_from([.01, 1., 30., 200.]))
def test_how_sure_a_model_was(seed, n, spread):
    "Beside the textbook in float64: with tokens that cannot be, twins, and one that is certain."
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, n, generator=draw)*spread + 40
    logits[0, torch.randperm(n, generator=draw)[1:]] = -torch.inf
    logits[1, -1] = logits[1].max()
    logits[2, 1:] = logits[2, 1:].where(torch.rand(n - 1, generator=draw) < .7, -torch.inf)
    tokens = torch.randint(n, (5,), generator=draw)
    found, logp = certainty(logits, logits.argmax(-1), tokens), logits.double().log_softmax(-1)
    entropy, two = torch.special.entr(logp.exp()).sum(-1), logp.exp().topk(2, -1).values
    want = torch.stack([logp.gather(1, tokens[:, None])[:, 0], entropy, two[:, 0] - two[:, 1]], 1)
    torch.testing.assert_close(found.double(), want, atol=2e-5, rtol=1e-5)


def test_sampling_is_the_requests_own(engine, stacks):
    options = dict(max_new_tokens=15, temperature=1.2, top_k=40, top_p=.95)
    alone = [engine.submit(PROMPTS[0], stacks[1], seed=s, **options).result(60).tokens for s in range(4)]
    crowd = [engine.submit(p, c, temperature=2., seed=9, max_new_tokens=15) for p, c in zip(PROMPTS, stacks)]
    assert [r.result(60).tokens for r in [engine.submit(PROMPTS[0], stacks[1], seed=s, **options) for s in range(4)]] == alone
    assert len(set(map(tuple, alone))) > 1 and all(right(engine, r) for r in crowd)
    assert engine.submit(PROMPTS[0], stacks[1], temperature=1e-3, max_new_tokens=15).result(60).tokens == engine.submit(PROMPTS[0], stacks[1], temperature=5., top_k=1, max_new_tokens=15).result(60).tokens
    assert engine.submit(PROMPTS[0], stacks[1], temperature=1., top_k=10**6, max_new_tokens=4).result(60).tokens


def test_stop_texts(engine, stacks):
    whole = engine.submit(PROMPTS[1], stacks[2], max_new_tokens=30).result(60).text
    end = whole[len(whole)//2:len(whole)//2 + 3]
    r = engine.submit(PROMPTS[1], stacks[2], max_new_tokens=30, stop=[end, 'never there'])
    assert ''.join(r) == r.result().text == whole[:whole.index(end)] and r.result().finish == 'stop'
    right(engine, r)


def test_what_may_begin_a_stop_text_is_held_back():
    r = Request([1], None, {}, Sampling(stop=('END',)), decode=lambda tokens: ''.join(map(chr, tokens)))
    for c in 'EN': r.add(Said(ord(c), 0., 0., 1.))
    assert r._piece('') == ''
    r.add(Said(ord('d'), 0., 0., 1.))
    assert r._piece('') == 'ENd'


def test_read_as_it_comes(engine, stacks):
    for c in stacks:
        r = engine.submit(PROMPTS[1], c, max_new_tokens=25, temperature=1.5, seed=3)
        pieces = list(r)
        assert ''.join(pieces) == r.result().text == engine.base.tokenizer.decode(r.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def test_from_an_event_loop(engine, stacks):
    async def both():
        a, b = (engine.submit(PROMPTS[1], stacks[1], max_new_tokens=20) for _ in range(2))
        return ''.join([piece async for piece in a]), (await b).text
    assert len(set(asyncio.run(both()))) == 1
    loop = asyncio.new_event_loop()
    r = engine.submit(PROMPTS[1], stacks[1], max_new_tokens=30)
    reading = r.__aiter__()
    loop.run_until_complete(anext(reading)) # and then the loop is gone
    loop.close()
    with pytest.raises(RuntimeError): asyncio.run(_close(reading, loop))
    r.cancel()
    assert right(engine, r).finish in ('cancelled', 'length', 'stop') and right(engine, engine.submit('x', stacks[0], max_new_tokens=3))


async def _close(reading, loop):
    await reading.aclose()
    if loop.is_closed(): raise RuntimeError('closed')


# --- refused at the door ----------------------------------------------------

@pytest.mark.parametrize('options,why', [(dict(num_beams=2), 'takes no num_beams'), (dict(temperature=-1.), 'temperature'), (dict(temperature=float('nan')), 'temperature'), (dict(temperature=1e-9), 'temperature'), (dict(temperature='hot'), 'temperature'),
    (dict(top_k=-1), 'top_k'), (dict(top_k=2.5), 'top_k'), (dict(top_p=0.), 'top_p'), (dict(top_p=1.5), 'top_p'), (dict(seed=-1), 'seed'), (dict(seed=2**63), 'seed'), (dict(max_new_tokens=0), 'max_new_tokens'), (dict(max_new_tokens=True), 'max_new_tokens'),
    (dict(stop=['']), 'stop'), (dict(stop=[5]), 'stop'), (dict(stop=7), 'stop'), (dict(keep_logits=1), 'keep_logits'), (dict(priority='high'), 'priority'), (dict(priority=float('nan')), 'priority'), (dict(priority=True), 'priority'), (dict(priority=10**400), 'priority'), (dict(deadline=-1), 'deadline'), (dict(deadline=True), 'deadline'), (dict(tenant=None), 'tenant'),
    (dict(identity=dict(base='other')), 'another base'), (dict(composition='amazon'), "composition is 'amazon'"), (dict(composition=Composition('sha256:nobody', ())), 'for base sha256:nobody')])
def test_refused_with_its_name(options, why, engine):
    with pytest.raises(EngineError, match=why): engine.submit('spend?', **options)


def test_prompts_that_do_not_fit(engine, stacks, made):
    for prompt in ([], None, 5, [{'role': 'user'}], [{'role': 'user', 'content': None}]):
        with pytest.raises((EngineError, BaseModelError)): engine.submit(prompt)
    with pytest.raises(BaseModelError, match='tokens'): engine.submit('spend '*600)
    small = Engine(engine.residency, rows=2, kv_bytes=2*64*made[0].loop._runner.slots.keys[0][0, :, 0].numel()*2*2*4)
    assert small.width == 64
    with pytest.raises(EngineError, match='reads from 1 to 63'): small.submit('spend '*80)
    assert len(small.submit('x', max_new_tokens=500).result(60).tokens) <= 64
    small.close()
    with pytest.raises(EngineError, match='do not hold'): Engine(engine.residency, rows=2, kv_bytes=100)
    for odd in (dict(rows=0), dict(rows=1.5), dict(waiting=0), dict(waiting=-1)):
        with pytest.raises(EngineError, match=f'{next(iter(odd))} is '): Engine(engine.residency, **odd)
    with pytest.raises(EngineError, match='closed'): small.submit('x')
    with pytest.raises(EngineError, match='is for base'): engine.submit('x', replace(stacks[0], base='sha256:00'))


def test_prompts_read_in_pieces(made, stacks, monkeypatch):
    "More rows than are computed at once, and a text longer than that."
    engine = Engine(made[0].residency, rows=12)
    runner, pieces = engine.loop._runner, []
    read = runner._read
    monkeypatch.setattr(runner, 'chunk', 60)
    monkeypatch.setattr(runner, '_read', lambda rows: (pieces.append(len(rows)), read(rows))[1])
    with engine.loop._change: asked = [engine.submit(PROMPTS[i % 5]*(12 if i == 9 else 1), stacks[i % 3], max_new_tokens=4) for i in range(12)]
    for r in asked: right(engine, r)
    assert sum(pieces) == 12 and 1 < max(pieces) < 12 and len(asked[9].prompt) > 60
    engine.close()


def test_a_model_that_somebody_watches(engine, stacks):
    "Its steps are computed as a whole, so that the hook sees them; and say the same."
    alone = [right(engine, engine.submit(p, s, max_new_tokens=6)) for p, s in zip(PROMPTS, stacks)]
    seen = []
    handle = engine.base.model.model.layers[1].mlp.register_forward_hook(lambda module, args, out: seen.append(out.shape[1]))
    try: watched = [right(engine, engine.submit(p, s, max_new_tokens=6)) for p, s in zip(PROMPTS, stacks)]
    finally: handle.remove()
    assert [a.tokens for a in watched] == [a.tokens for a in alone] and seen.count(1) >= 5*5
    seen.clear()
    right(engine, engine.submit(PROMPTS[0], max_new_tokens=6))
    assert not seen


def test_a_long_prompt_does_not_shorten_its_neighbours(engine, stacks):
    long, short = engine.submit('spend '*240, stacks[0]), engine.submit('x', stacks[2], max_new_tokens=40)
    alone = engine.submit('x', stacks[2], max_new_tokens=40)
    assert right(engine, short).tokens == right(engine, alone).tokens and right(engine, long).finish in ('length', 'stop')


def test_a_full_waiting_room_says_so_at_once(engine, stacks):
    small = Engine(engine.residency, rows=1, waiting=2)
    hold = threading.Event()
    hook = engine.base.model.register_forward_pre_hook(lambda *a: hold.wait(20) and None)
    first = [small.submit('x', max_new_tokens=2)]
    while small.stats()['running'] == 0: time.sleep(.005)
    first += [small.submit('x', max_new_tokens=2) for _ in range(2)]
    began = time.monotonic()
    with pytest.raises(EngineError, match='2 requests are waiting'): small.submit('x')
    assert time.monotonic() - began < 1
    hold.set()
    assert all(right(small, r) for r in first)
    hook.remove()
    small.close()


def test_adapters_that_cannot_be_read(engine, stacks, monkeypatch):
    engine.residency.slots.forget(); engine.residency.memory.forget()
    good = engine.submit('x', stacks[0], max_new_tokens=3)
    right(engine, good)
    def fail(*a): raise OSError('disk')
    monkeypatch.setattr(engine.residency.manager, 'factors', fail)
    bad, beside = engine.submit('x', stacks[2], max_new_tokens=3), engine.submit('x', stacks[0], max_new_tokens=3)
    with pytest.raises(OSError, match='disk'): bad.result(60)
    right(engine, beside)


# --- one of many fails --------------------------------------------------------

@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_exception_at_any_step_of_any_request(made, data):
    engine, stacks = made
    many = data.draw(st.integers(1, 5))
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=many, max_size=many))
    chosen = data.draw(st.lists(st.sampled_from(range(len(stacks))), min_size=many, max_size=many))
    victim, step, once = data.draw(st.integers(0, many - 1)), data.draw(st.integers(0, 4)), data.draw(st.booleans())
    drawn, hits = runner_module.drawn, []
    def sometimes(logits, best, rules, places):
        if any(r.seed == victim and p == step for r, p in zip(rules, places)) and not (once and hits):
            hits.append(1)
            raise RuntimeError('injected')
        return drawn(logits, best, rules, places)
    runner_module.drawn = sometimes
    try:
        requests = [engine.submit(PROMPTS[i % 5], stacks[c], max_new_tokens=n, seed=i) for i, (c, n) in enumerate(zip(chosen, lengths))]
        for i, r in enumerate(requests):
            if i == victim and hits_it(r) and not once:
                with pytest.raises(EngineError, match='injected'): r.result(60)
            else: right(engine, r)
    finally: runner_module.drawn = drawn


def hits_it(r):
    "Whether it failed; what it said before it could fail may have been all."
    try: r.result(60)
    except EngineError: return True
    return False


def test_whoever_fetches_adapters_is_not_stopped(engine, stacks, monkeypatch):
    engine.residency.slots.forget(); engine.residency.memory.forget()
    manager = engine.residency.manager
    factors, odd = manager.factors, [SystemExit(3)]
    def once(v):
        if odd: raise odd.pop()
        return factors(v)
    monkeypatch.setattr(manager, 'factors', once)
    with pytest.raises(RuntimeError, match='SystemExit'): engine.submit('x', stacks[0]).result(20)
    assert right(engine, engine.submit('x', stacks[0], max_new_tokens=3))


def test_an_answer_that_cannot_be_made_at_once_is_no_longer_for_it(engine, stacks, monkeypatch):
    r = engine.submit(PROMPTS[4], stacks[0], max_new_tokens=5, temperature=5., seed=2)
    answer, odd = r.answer, [MemoryError()]
    def once(*a):
        if odd: raise odd.pop()
        return answer(*a)
    r.answer = once
    assert (len(right(engine, r).tokens), r.result().finish) == (5, 'length') and not odd


def test_a_composition_that_is_none(engine, stacks):
    other = engine.submit('x', stacks[0], max_new_tokens=100)
    for odd in ('', [], {}, 0, Composition(engine.base.digest, None)):
        with pytest.raises((EngineError, TypeError)): engine.submit('x', odd)
    assert right(engine, other)


def test_a_row_of_nan_hurts_only_itself(engine, stacks, tmp_path, make_adapter):
    manager = engine.residency.manager
    v = manager.store.publish(make_adapter(manager.base, tmp_path/'wild', std=300., target_modules=['q_proj', 'v_proj', 'down_proj']), 'wild', 'brand', base=manager.base)
    hook = engine.base.model.model.layers[1].register_forward_hook(lambda m, a, out: out.masked_fill(out.abs() > 1e4, torch.nan) if isinstance(out, torch.Tensor) else out)
    requests = [engine.submit(p, c, max_new_tokens=6) for p, c in zip(PROMPTS, [stacks[1], compose(manager.base, [v]), stacks[2], None])]
    with pytest.raises(EngineError, match='NaN'): requests[1].result(60)
    for i in (0, 2, 3): right(engine, requests[i])
    hook.remove()


def kill(engine, error=SystemExit): ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(engine.loop._thread.ident), ctypes.py_object(error))


def test_the_loop_dies_and_goes_on(engine, stacks):
    alone = [engine.submit(PROMPTS[i % 5], stacks[i % 6], max_new_tokens=40, temperature=.8, seed=i).result(60).tokens for i in range(12)]
    before = engine.stats()['deaths']
    requests = [engine.submit(PROMPTS[i % 5], stacks[i % 6], max_new_tokens=40, temperature=.8, seed=i) for i in range(12)]
    rng = random.Random(0)
    while not all(r.done for r in requests):
        kill(engine)
        time.sleep(rng.uniform(.02, .08))
    for r, tokens in zip(requests, alone):
        answer = right(engine, r)
        assert len(answer.tokens) == len(answer.logprobs) and (answer.tokens == tokens or answer.finish in ('length', 'stop'))
    assert engine.stats()['deaths'] > before


def test_a_loop_that_cannot_live_gives_up(engine, stacks, monkeypatch):
    monkeypatch.setattr(engine.loop, '_turn', lambda: 1/0)
    r = engine.submit('x', stacks[0])
    with pytest.raises(EngineError, match='cannot go on'): r.result(60)
    monkeypatch.undo()
    right(engine, engine.submit('x', stacks[0], max_new_tokens=3))


# --- gone, late, cancelled ----------------------------------------------------

@pytest.mark.parametrize('how', ['cancel', 'deadline', 'leave'])
@pytest.mark.parametrize('stage', ['waiting', 'loading', 'ready', 'running', 'done'])
def test_taken_back_at_every_stage(how, stage, engine, stacks, monkeypatch):
    hold, entered = threading.Event(), threading.Event()
    def held(*a): entered.set(); hold.wait(20)
    manager, hook, others = engine.residency.manager, None, []
    if stage in ('waiting', 'ready'):
        others = [engine.submit('x', stacks[0], max_new_tokens=3) for _ in range(4 if stage == 'waiting' else 1)]
        hook = engine.base.model.register_forward_pre_hook(held)
        if stage == 'ready': entered.wait(20)
    if stage == 'loading':
        engine.residency.slots.forget(); engine.residency.memory.forget()
        factors = manager.factors
        monkeypatch.setattr(manager, 'factors', lambda v: (held(), factors(v))[1])
    r = engine.submit(PROMPTS[1], stacks[2], max_new_tokens=400, deadline=.3 if how == 'deadline' else None)
    if stage == 'loading': entered.wait(20)
    if stage == 'running': assert wait_for(lambda: len(r.said) > 2 or r.done)
    if stage == 'done': r.result(60)
    if how == 'cancel': r.cancel()
    elif how == 'leave':
        pieces = iter(r)
        if stage in ('running', 'done'): next(pieces, None)
        r.cancel() if stage not in ('running', 'done') else pieces.close()
    else: time.sleep(.35)
    hold.set()
    if hook: hook.remove()
    answer = r.result(60)
    assert answer.finish in ((how, 'stop', 'length') if stage == 'done' else ('cancelled' if how != 'deadline' else 'deadline', 'stop', 'length'))
    right(engine, r)
    for o in others: right(engine, o)


def wait_for(what, seconds=20):
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until: time.sleep(.002)
    return what()


def test_taken_back_while_there_is_no_room_for_its_adapters(made, stacks):
    "It does not wait until there is, and keeps nobody waiting who does."
    residency = Residency(made[0].residency.manager, 2*made[0].residency.page, 10**8, 3600.)
    with Engine(residency, rows=4) as engine:
        hog = engine.submit('x', stacks[1], max_new_tokens=10**6)
        assert wait_for(lambda: len(hog.said) > 1)
        late, gone = engine.submit('x', stacks[4], deadline=.1), engine.submit('x', stacks[4], max_new_tokens=3)
        assert late.result(5).finish == 'deadline' and late.result().timings['total'] < 2
        gone.cancel()
        assert gone.result(5).finish == 'cancelled'
        patient = engine.submit('x', stacks[0], max_new_tokens=3)
        assert right(engine, patient) and not hog.done, 'its adapter is there'
        hog.cancel()
        assert right(engine, engine.submit('x', stacks[4], max_new_tokens=3))
        rests(engine)
    residency.bank.close()


LEAVING = """
import sys, time
from rmn_lora.adapters.engine import Engine
from rmn_lora.adapters.manager import AdapterManager
from rmn_lora.adapters.residency import Residency
engine = Engine(Residency(AdapterManager(*sys.argv[1:], device='cpu'), 10**7, 10**7, 3600.))
request = engine.submit('x', temperature=5., max_new_tokens=10**6)
while len(request.said) < 3: time.sleep(.001)
"""


@pytest.mark.parametrize('how,code', [('', 0), ('raise KeyboardInterrupt', 1), ('raise SystemExit(3)', 3)])
def test_python_ends_while_it_answers(how, code, checkpoint, tmp_path):
    done = subprocess.run([sys.executable, '-c', LEAVING + how, str(checkpoint), str(tmp_path/'store')], capture_output=True, text=True, timeout=120)
    assert done.returncode == code and 'terminate called' not in done.stderr, done.stderr


def test_a_closed_bank_answers_nothing(made, stacks):
    residency = Residency(made[0].residency.manager, 10**7, 10**7, 3600.)
    with Engine(residency, rows=2) as engine:
        answer, under_way = right(engine, engine.submit('x', stacks[0], max_new_tokens=3)), engine.submit('x', stacks[0], max_new_tokens=10**6)
        assert wait_for(lambda: len(under_way.said) > 1)
        residency.bank.close()
        for ask in (under_way.result, lambda t: engine.submit('x', stacks[0], max_new_tokens=3).result(t)):
            with pytest.raises(EngineError, match='This bank is closed'): ask(20)
        with pytest.raises(AdapterError, match='This bank is closed'): engine.verify(answer)
        assert right(engine, engine.submit('x', max_new_tokens=3))


def test_nobody_keeps_helpers_who_computes_no_more(made, stacks, monkeypatch):
    "Neither who asks, nor who loads adapters, nor the idle engine: kept ones would slow each other's steps."
    let_go = []
    for module in (engine_module, loop_module, worker_module): monkeypatch.setattr(module, 'let_helpers_go', lambda: let_go.append(threading.current_thread().name))
    residency = Residency(made[0].residency.manager, 10**8, 10**8, 3600.)
    with Engine(residency) as engine:
        engine.submit(PROMPTS[0], stacks[1], max_new_tokens=3).result(60)
        rests(engine)
        until = time.monotonic() + 10
        while len({*let_go}) < 3 and time.monotonic() < until: time.sleep(.01)
    residency.bank.close()
    assert {*let_go} == {threading.current_thread().name, 'compositor', 'engine'}


def test_more_adapters_than_the_bank_holds(made, stacks):
    manager = made[0].residency.manager
    residency = Residency(manager, 4*made[0].residency.page, 10**8, 3600.)
    engine = Engine(residency, rows=4)
    narrow = Engine(tiny := Residency(manager, made[0].residency.page, 10**8, 3600.), rows=1)
    with pytest.raises(EngineError, match='composition.bank_mb'): narrow.submit('x', stacks[1])
    narrow.close()
    tiny.bank.close()
    requests = [engine.submit(PROMPTS[i % 5], stacks[i % 6], max_new_tokens=4) for i in range(24)]
    for r in requests: right(engine, r)
    rests(engine)
    engine.close()
    residency.slots.forget()
    assert residency.bank.free == 4
    residency.bank.close()


def test_nothing_is_kept_of_what_is_over(engine, stacks):
    requests = [engine.submit(PROMPTS[i % 5], stacks[i % 6], max_new_tokens=3) for i in range(40)]
    for r in requests: r.result(60)
    kept = [weakref.ref(r) for r in requests]
    del requests, r
    right(engine, engine.submit('x', stacks[0], max_new_tokens=1))
    gc.collect()
    assert sum(k() is not None for k in kept) <= 2, 'the last that was loaded, perhaps'


# --- who is next --------------------------------------------------------------

@given(st.lists(st.tuples(st.sampled_from('abc'), st.integers(1, 50)), min_size=1, max_size=200))
def test_tenants_that_wait_are_served_alike(arrivals):
    "While two tenants both wait, what they are served differs by no more than two of the largest requests."
    room, served, most = WaitingRoom(10**6), dict.fromkeys('abc', 0), max(n for _, n in arrivals)
    for tenant, n in arrivals: room.put(Request([0]*n, None, {}, tenant=tenant))
    waiting = {t: sum(x == t for x, _ in arrivals) for t in 'abc'}
    while r := room.take():
        room.charge(r.tenant, len(r.prompt))
        served[r.tenant] += len(r.prompt)
        waiting[r.tenant] -= 1
        both = [served[t] for t in 'abc' if waiting[t]]
        if both: assert max(both) - min(both) <= 2*most
    assert len(room) == 0


def test_who_was_away_has_saved_up_nothing():
    room = WaitingRoom(100)
    for _ in range(50): room.put(Request([0], None, {}, tenant='busy'))
    for _ in range(40): room.charge(room.take().tenant, 100)
    for _ in range(10): room.put(Request([0], None, {}, tenant='late'))
    order = []
    for _ in range(6):
        order.append(room.take().tenant)
        room.charge(order[-1], 100)
    assert order.count('late') in (3, 4), 'not the last 4,000 tokens all at once'


def test_a_full_room_is_shared_too(engine, stacks):
    "Whoever fills it gives way to the others, one by one, and no further than an equal share."
    small = Engine(engine.residency, rows=1, waiting=6)
    hold = threading.Event()
    hook = engine.base.model.register_forward_pre_hook(lambda *a: hold.wait(20) and None)
    first = small.submit('x', max_new_tokens=2)
    while small.stats()['running'] == 0: time.sleep(.005)
    loud = [small.submit('x', tenant='loud', priority=p, max_new_tokens=2) for p in (0, 0, 2, 1, 0, 0)]
    quiet = [small.submit('x', tenant='quiet', max_new_tokens=2) for _ in range(3)]
    with pytest.raises(EngineError, match='6 requests are waiting'): small.submit('x', tenant='quiet')
    with pytest.raises(EngineError, match='6 requests are waiting'): small.submit('x', tenant='loud')
    for r in loud[1:2] + loud[4:]:
        with pytest.raises(EngineError, match='this tenant has the most'): r.result(0)
    hold.set()
    assert all(right(small, r) for r in [first, *quiet, loud[0], *loud[2:4]])
    hook.remove()
    rests(small)
    small.close()


def test_tenants_without_number_are_not_all_remembered():
    room = WaitingRoom(10**6)
    for i in range(5000):
        room.put(Request([0], None, {}, tenant=str(i)))
        room.charge(room.take().tenant, 1)
    assert len(room._served) <= MANY + 1


def test_who_takes_the_time_rests_and_is_not_left_out():
    now = [0.]
    allowances, prompt = Allowances(lambda: now[0]), Request([0]*10, None, {}, tenant='heavy')
    for tenant in ('heavy', *'abcd'): allowances.come(tenant)
    came = []
    for i in range(4000): # each of .1 seconds, in which a prompt of .2 could be read
        now[0] += .1
        if 'heavy' not in allowances.over():
            allowances.read([prompt], .2)
            came.append(i)
        assert allowances.over() <= {'heavy'}
    assert SAVED/.2 <= next(k for k, i in enumerate(came) if i > k) <= 2*SAVED/.2, 'what it had saved'
    assert .8*RATE <= .2*sum(i > 2000 for i in came)/200 <= 1.2*RATE
    assert max(b - a for a, b in zip(came, came[1:])) < 50, 'never for long'
    for _ in range(5): allowances.read([prompt], .2)
    assert allowances.over() == {'heavy'}
    for tenant in 'abcd': allowances.go(tenant)
    assert not allowances.over()


@given(st.lists(st.floats(0, 10), min_size=1, max_size=12))
def test_some_tenant_never_rests(took):
    "Nor does whoever has something left, nor anybody where all took alike."
    allowances = Allowances(lambda: 0.)
    for i, x in enumerate(took):
        allowances.come(str(i))
        allowances._charge(str(i), x)
    over = allowances.over()
    assert len(over) < len(took) and all(took[int(t)] > SAVED for t in over)
    if max(took) <= min(took) + .5: assert not over


@pytest.mark.parametrize('fixed', [False, True], ids=['', 'fixed'])
@pytest.mark.parametrize('seed', range(4))
def test_rows_that_rest_and_rows_that_are_given_up(engine, stacks, seed, fixed, monkeypatch):
    "Whoever rests, whenever: each says what it says alone, in the end, and whoever takes a request back meanwhile has what was said."
    rng, put_out = random.Random(seed), []
    if fixed:
        monkeypatch.setattr(engine.loop._runner, 'steps', None) # as it was, afterwards
        fix(engine)
    asked = [dict(prompt=rng.choice(PROMPTS)*rng.randint(1, 3), composition=rng.choice([*stacks, None]), max_new_tokens=rng.randint(2, 24), tenant=rng.choice('abc'), temperature=rng.choice((0., .8)), seed=7) for _ in range(30)]
    give_up = engine.loop._put_out
    monkeypatch.setattr(engine.loop, '_put_out', lambda row: (put_out.append(len(row.request.said)), give_up(row)))
    monkeypatch.setattr(engine.loop._allowances, 'over', lambda: set(rng.sample('abc', rng.randint(0, 3))))
    requests = [engine.submit(**a) for a in asked]
    time.sleep(.05)
    for r in requests[::7]: r.cancel()
    answers = [right(engine, r) for r in requests]
    monkeypatch.undo()
    assert any(put_out), 'some had said something'
    for a, made in zip(answers, asked):
        alone = engine.submit(**made).result(60)
        assert a.tokens == alone.tokens[:len(a.tokens)] and (a.finish == 'cancelled' or a.tokens == alone.tokens)


def test_a_tenant_that_took_too_much_gives_way(engine, stacks, monkeypatch):
    "With all rows taken: its rows do not go on while the other's does, one of them is given up, and their deadlines are kept."
    allowances, finish, said = engine.loop._allowances, engine.loop._finish, []
    loud = [engine.submit(PROMPTS[1], stacks[i % 3], tenant='loud', max_new_tokens=60, deadline=30.) for i in range(engine.loop.rows)]
    while not all(r.said for r in loud): time.sleep(.001)
    loud[1].deadline = time.monotonic() - loud[1].asked + .02
    count = lambda: said.append([len(r.said) for r in loud])
    monkeypatch.setattr(engine.loop, '_finish', lambda r, answer: (count() if r.tenant == 'quiet' else None, finish(r, answer)))
    with engine.loop._change: allowances._left['loud'] = (-1e9, time.monotonic())
    quiet = engine.submit(PROMPTS[0], stacks[1], tenant='quiet', max_new_tokens=100)
    while not quiet.said: time.sleep(.001)
    count()
    assert right(engine, quiet).finish in ('length', 'stop')
    with engine.loop._change: allowances._left = {}
    answers = [right(engine, r) for r in loud]
    assert said[0] == said[1]
    assert [a.finish for a in answers].count('deadline') == 1 and answers[1].finish == 'deadline'
    assert loud[1].asked + answers[1].timings['total'] < quiet.asked + quiet.result().timings['total'], 'although it rested'


def test_who_owes_is_read_in_the_end(made, stacks):
    "However many others ask all the time, and however long it takes to read."
    with Engine(made[0].residency, rows=2) as engine:
        read, over = engine.loop._runner.read, threading.Event()
        engine.loop._runner.read = lambda rows: (time.sleep(.0005*sum(r.length for r in rows)), read(rows))[1]
        engine.loop._allowances._left['heavy'] = (-1., time.monotonic())
        def ask(tenant):
            while not over.is_set(): engine.submit('x', tenant=tenant, max_new_tokens=4).result(60)
        threads = [threading.Thread(target=ask, args=(t,)) for t in 'abcd']
        for t in threads: t.start()
        answer = right(engine, engine.submit('spend '*100, tenant='heavy', max_new_tokens=3))
        over.set()
        for t in threads: t.join()
        assert answer.timings['total'] < 30


def test_nobody_waits_for_ever_because_new_ones_come():
    room = WaitingRoom(10**6)
    for _ in range(2): room.put(Request([0]*300, None, {}, tenant='steady'))
    first = room.take()
    for i in range(3): room.put(Request([0]*20, None, {}, tenant=f'new{i}'))
    room.charge(first.tenant, 300)
    for i in range(3, 200):
        r = room.take()
        if r.tenant == 'steady': break
        room.charge(r.tenant, 20)
        room.put(Request([0]*20, None, {}, tenant=f'new{i}'))
    assert r.tenant == 'steady' and 30 < i < 100


def test_rows_that_are_free_are_room_too(made, stacks):
    with Engine(made[0].residency, rows=4, waiting=1) as engine:
        for r in [engine.submit('x', stacks[0], max_new_tokens=2) for _ in range(5)]: right(engine, r)


def test_an_engine_with_nothing_to_do_turns_nobody_away(engine, stacks):
    "Not even where all have had more than their part."
    engine.loop._allowances._left = dict.fromkeys('ab', (-1e9, time.monotonic()))
    for r in [engine.submit('x', stacks[0], tenant=t, max_new_tokens=2) for t in 'abab']: assert right(engine, r)
    engine.loop._allowances._left = {}


def test_priorities_are_among_ones_own():
    room = WaitingRoom(100)
    for p in (0, 5, 1): room.put(Request([0], None, {}, tenant='a', priority=p))
    room.put(Request([0], None, {}, tenant='b', priority=-3))
    first = room.take()
    room.charge(first.tenant, 1)
    second = room.take()
    assert {first.priority, second.priority} == {5, -3} and [room.take().priority for _ in range(2)] == [1, 0] and room.take() is None


def test_the_quiet_tenant_does_not_wait_for_the_loud(engine, stacks):
    for s in stacks[:2]: engine.submit(PROMPTS[0], s, max_new_tokens=1).result(60) # their adapters are in the bank
    loud = [engine.submit(PROMPTS[1], stacks[0], tenant='loud', max_new_tokens=20) for _ in range(60)]
    quiet = engine.submit(PROMPTS[0], stacks[1], tenant='quiet', max_new_tokens=5)
    quiet.result(60)
    assert sum(quiet.asked < r.began < quiet.began for r in loud) <= 4 # as many as there are rows
    for r in loud: r.cancel()


# --- other models -------------------------------------------------------------

def families():
    import transformers as t
    common = dict(vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=None, max_position_embeddings=256, initializer_range=.2)
    yield 'gpt2', lambda: t.GPT2LMHeadModel(t.GPT2Config(vocab_size=320, n_embd=64, n_layer=2, n_head=4, n_positions=256, initializer_range=.2, pad_token_id=0, eos_token_id=1, bos_token_id=None))
    yield 'mistral', lambda: t.MistralForCausalLM(t.MistralConfig(**common, sliding_window=6, head_dim=16))
    yield 'qwen2', lambda: t.Qwen2ForCausalLM(t.Qwen2Config(**common, use_sliding_window=True, sliding_window=5, max_window_layers=2))
    yield 'gemma3', lambda: t.Gemma3ForCausalLM(t.Gemma3TextConfig(**common, head_dim=16, sliding_window=7, layer_types=['sliding_attention', 'full_attention']*2))
    yield 'gemma2', lambda: t.Gemma2ForCausalLM(t.Gemma2Config(**common, head_dim=16, sliding_window=7))
    yield 'gptneo', lambda: t.GPTNeoForCausalLM(t.GPTNeoConfig(vocab_size=320, hidden_size=64, num_layers=2, num_heads=4, attention_types=[[['global'], 2]], intermediate_size=96, max_position_embeddings=256, initializer_range=.2, pad_token_id=0, eos_token_id=1, bos_token_id=None))
    yield 'qwen3', lambda: t.Qwen3ForCausalLM(t.Qwen3Config(**common, head_dim=16))


def fix(engine):
    "Let an engine on a processor take its steps in the form in which a GPU records them."
    r = engine.loop._runner
    r.steps = Steps(engine.base, r.bank, r.slots, r._seen)


@pytest.mark.parametrize('fixed', [False, True], ids=['', 'fixed'])
@pytest.mark.parametrize('name,make', list(families()), ids=lambda x: x if isinstance(x, str) else '')
def test_as_transformers_generates(fixed, name, make, checkpoint, tmp_path, make_adapter):
    import shutil
    torch.manual_seed(0)
    make().save_pretrained(tmp_path/'base')
    for p in checkpoint.glob('*token*'): shutil.copy(p, tmp_path/'base')
    manager = AdapterManager(tmp_path/'base', tmp_path/'store', device='cpu')
    base = manager.base
    v = manager.store.publish(make_adapter(base, tmp_path/'a', target_modules='all-linear', std=.05), 'a', 'task', base=base)
    engine = Engine(Residency(manager, 10**7, 10**7, 3600.), rows=4)
    engine.loop._runner.chunk = 16
    if fixed: fix(engine)
    requests = [engine.submit(p*3, compose(base, [v]) if i % 2 else None, max_new_tokens=20) for i, p in enumerate(PROMPTS)]
    for i, (p, r) in enumerate(zip(PROMPTS, requests)):
        answer = right(engine, r)
        if i % 2: continue
        ids = torch.tensor([base.encode([p*3])[0]])
        with torch.inference_mode(): want = base.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False, eos_token_id=sorted(base.stops), pad_token_id=0)[0, ids.shape[1]:].tolist()
        assert answer.tokens == [t for t in want if t not in base.stops]
    engine.close()


def test_no_longer_than_all_tokens_are_computed_alike(checkpoint, tmp_path):
    "The frequencies of longrope change for all rows when one becomes long."
    import shutil
    import transformers as t
    torch.manual_seed(0)
    t.Phi3ForCausalLM(t.Phi3Config(vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0, eos_token_id=1, bos_token_id=None, max_position_embeddings=256,
        original_max_position_embeddings=64, rope_parameters=dict(rope_type='longrope', rope_theta=10000., short_factor=[1.]*8, long_factor=[4.]*8, original_max_position_embeddings=64))).save_pretrained(tmp_path/'base')
    for p in checkpoint.glob('*token*'): shutil.copy(p, tmp_path/'base')
    residency = Residency(AdapterManager(tmp_path/'base', tmp_path/'store', device='cpu'), 10**7, 10**7, 3600.)
    with Engine(residency, rows=2) as engine:
        assert engine.width == 64
        for r in [engine.submit('x'*n, max_new_tokens=100, temperature=2.) for n in (1, 9, 30)]: right(engine, r)
    residency.bank.close()


def test_fixed_steps_follow_the_bank(made):
    "Rows come and go, adapters are evicted and others take their pages, and what was copied of them is never taken for the new."
    manager, plain = made[0].residency.manager, made[0]
    residency = Residency(manager, 6*page_bytes(manager.base), 10**7, 3600.)
    engine, rng = Engine(residency, rows=5), random.Random(0)
    fix(engine)
    stacks = [compose(manager.base, [manager.store.resolve(n)]) for n in ('retail', 'amazon', 'walmart', 'brand', 'planning', 'mapping')] + made[1][:2] + [None]
    for _ in range(12):
        asked = [(rng.choice(PROMPTS), rng.choice(stacks), rng.randint(1, 9)) for _ in range(rng.randint(1, 8))]
        for (p, c, n), r in zip(asked, [engine.submit(p, c, max_new_tokens=n) for p, c, n in asked]): assert right(engine, r).tokens == plain.submit(p, c, max_new_tokens=n).result(60).tokens
    assert residency.slots.stats()['evictions'] > 5 and len(engine.loop._runner.steps._steps) > 3
    rests(engine)
    engine.close()
    residency.bank.close()


def test_a_page_that_could_not_be_copied_is_copied_again(made, stacks, monkeypatch):
    with Engine(made[0].residency, rows=2) as engine:
        fix(engine)
        copy, odd = torch._foreach_copy_, [RuntimeError('no memory')]
        def once(*a):
            if odd and sys._getframe(1).f_code.co_name == '_bring_in': raise odd.pop()
            return copy(*a)
        monkeypatch.setattr(torch, '_foreach_copy_', once)
        for _ in range(2): assert right(engine, engine.submit(PROMPTS[1], stacks[1], max_new_tokens=6))
        assert not odd


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 6000))
def test_sizes_double(n, least, most):
    if n > most: return
    assert n <= doubled(n, least, most) <= max(2*n - 1, least) and doubled(n, least, most) <= most


@pytest.mark.parametrize('dtype', ['bf16', 'nf4'])
def test_other_precisions(dtype, checkpoint, tmp_path, fill):
    manager = AdapterManager(checkpoint, tmp_path/'store', device='cpu', dtype=dtype)
    versions = fill(manager.store, load_base(checkpoint, device='cpu'), tmp_path/'made')
    engine = Engine(Residency(manager, 10**8, 10**8, 3600.), rows=4)
    requests = [engine.submit(p, compose(manager.base, [versions['retail1'], versions[n]]), max_new_tokens=8) for p, n in zip(PROMPTS, ('amazon1', 'walmart1', 'brand1', 'planning1', 'mapping1'))]
    for r in requests: right(engine, r)
    engine.close()


def test_a_model_that_keeps_something_else(made, monkeypatch):
    monkeypatch.setattr(made[0].base.model.config, 'layer_types', ['full_attention', 'linear_attention'], raising=False)
    with pytest.raises(EngineError, match='linear_attention'): Engine(made[0].residency)


def test_what_of_the_libraries_this_stands_on(made):
    "An upgrade that changes any of these fails here, and not in an answer."
    import inspect
    from transformers.cache_utils import Cache
    from transformers.masking_utils import create_causal_mask
    assert {'update', 'get_seq_length', 'get_mask_sizes', 'get_query_offset'} <= set(dir(Cache)) and 'layers' in inspect.signature(Cache.__init__).parameters
    assert list(inspect.signature(Cache.update).parameters)[:4] == ['self', 'key_states', 'value_states', 'layer_idx']
    mask = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    base = made[0].base
    made_of = create_causal_mask(config=base.model.config, inputs_embeds=torch.zeros(2, 1, 64), attention_mask=mask, past_key_values=made[0].loop._runner.slots, position_ids=torch.zeros(2, 1, dtype=torch.long))
    assert made_of is mask, 'a mask of four dimensions is taken as it is'
