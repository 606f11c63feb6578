"The bank on a GPU: the same sums, and captured graphs and compiled models that follow what the plan says."
import pytest
import torch

from rmn_lora.adapters.bank import Bank, page_bytes
from rmn_lora.adapters.base import load_base
from rmn_lora.adapters.compose import compose
from rmn_lora.adapters.engine import Engine
from rmn_lora.adapters.factors import Factors
from rmn_lora.adapters.manager import AdapterManager
from rmn_lora.adapters.request import Request
from rmn_lora.adapters.residency import Residency
from rmn_lora.adapters.runner import Row

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
IDS = torch.tensor([[5, 90, 41, 200, 7, 66], [9, 8, 7, 6, 5, 4], [100, 101, 102, 103, 104, 105]])


def random_factors(base, rank, seed):
    g = torch.Generator().manual_seed(seed)
    return Factors({n: torch.randn(rank, i, generator=g)*.1 for n, (o, i) in base.linears.items()}, {n: torch.randn(o, rank, generator=g)*.1 for n, (o, i) in base.linears.items()}, {})


def logits(model, ids=IDS):
    with torch.inference_mode(): return model(ids.cuda()).logits.float().cpu()


@pytest.fixture(scope='module', params=['fp32', 'bf16'])
def two(request, checkpoint): return load_base(checkpoint, device='cpu'), load_base(checkpoint, request.param, 'cuda')


def test_as_on_a_processor(two):
    cpu, gpu = two
    fs, tolerance = [random_factors(cpu, r, r) for r in (3, 20)], .05 if gpu.dtype == 'bf16' else 1e-4
    found = []
    for b in (cpu, gpu):
        bank = Bank(b, 8)
        x, y = (bank.load(bank.lay_out(f)) for f in fs)
        for steps in (1, 10**6):
            with bank.using([{x: 1., y: .5}, {}, {y: 1.}], steps), torch.inference_mode(): found.append(b.model(IDS.to(b.device)).logits.float().cpu())
        bank.close()
    for got in found[1:]: assert (got - found[0]).abs().max() <= tolerance*found[0].abs().max()


def test_a_captured_graph_follows_the_plan(two):
    "Capture once; then other weights, and another adapter in the same pages."
    _, base = two
    bank = Bank(base, 4)
    plan, a = bank.whole(3), bank.load(bank.lay_out(random_factors(base, 4, 1)))
    ids = IDS.cuda()
    def run():
        with torch.inference_mode(), bank.using(plan): return base.model(ids, use_cache=False).logits
    plan.fill([{a: 1.}, {}, {a: .5}])
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3): run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph): out = run()
    seen = []
    for i in range(3):
        if i == 2:
            bank.drop(a)
            a = bank.load(bank.lay_out(random_factors(base, 20, 2)))
        rows = [[{a: 1.}, {}, {a: .5}], [{}, {a: 2.}, {}], [{a: 1.}, {a: 1.}, {}]][i]
        plan.fill(rows)
        graph.replay()
        seen.append(out.float().cpu())
        with bank.using(rows): want = logits(base.model)
        assert (seen[-1] - want).abs().max() <= (.05 if base.dtype == 'bf16' else 1e-4)*want.abs().max()
    assert not torch.allclose(seen[0], seen[1]) and not torch.allclose(seen[1], seen[2])
    bank.close()


def test_the_engine_replays_what_it_recorded(checkpoint, tmp_path, fill):
    "Steps of a graph, and steps without: the same tokens, each verified, while rows and adapters come and go."
    manager = AdapterManager(checkpoint, tmp_path/'store', device='cuda', dtype='fp32')
    fill(manager.store, load_base(checkpoint, device='cpu'), tmp_path/'made')
    stacks = [compose(manager.base, [manager.store.resolve(n) for n in names]) for names in (['retail'], ['amazon'], ['walmart', 'mapping'], ['retail', 'brand', 'planning'])] + [None]
    engine = Engine(Residency(manager, 6*page_bytes(manager.base), 10**8, 3600.), rows=5)
    asked = [(f'clicks {i}', stacks[i*7 % 5], 3 + i % 6) for i in range(30)]
    def answers():
        found = [r.result(120) for r in [engine.submit(p, c, max_new_tokens=n) for p, c, n in asked]]
        assert all(engine.verify(a).right for a in found)
        return [a.tokens for a in found]
    recorded, engine.loop._runner.steps = answers(), None
    assert recorded == answers()
    engine.close()


def test_a_step_waits_for_the_device_once(checkpoint, tmp_path, fill):
    manager = AdapterManager(checkpoint, tmp_path/'store', device='cuda', dtype='fp32')
    fill(manager.store, load_base(checkpoint, device='cpu'), tmp_path/'made')
    runner, bank = (engine := Engine(Residency(manager, 6*page_bytes(manager.base), 10**8, 3600.), rows=4)).loop._runner, engine.residency.bank
    slot = bank.load(bank.lay_out(random_factors(manager.base, 4, 1)))
    rows = [Row(Request([5, 6, 7], None, {}), mix) for mix in ({slot: 1.}, {}, {slot: .5})]
    for row, said in zip(rows, runner.read(rows)): row.request.add(said)
    for row, said in zip(rows, runner.step(rows)): row.request.add(said)
    with torch.profiler.profile(activities=list(torch.profiler.supported_activities())) as found: runner.step(rows)
    waits = {e.key: e.count for e in found.key_averages() if e.key in ('cudaStreamSynchronize', 'cudaDeviceSynchronize', 'aten::_local_scalar_dense')}
    assert sum(waits.values()) <= 1, waits
    engine.close()


def test_compiled_on_a_gpu(two):
    _, base = two
    bank = Bank(base, 4)
    a, b = (bank.load(bank.lay_out(random_factors(base, 4, i))) for i in (1, 2))
    plan, compiled = bank.whole(3), torch.compile(base.model)
    for rows in ([{a: 1.}, {}, {b: 1.}], [{b: 1.}, {a: .5}, {}], [{}, {}, {}]):
        plan.fill(rows)
        with bank.using(plan): got, want = logits(compiled), logits(base.model)
        assert (got - want).abs().max() <= (.05 if base.dtype == 'bf16' else 1e-4)*want.abs().max()
    bank.close()
