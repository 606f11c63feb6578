"The cache: bounded, made once, never for another key, nothing in use let go, nothing left behind."
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rmn_lora.adapters.cache import CompositionCache, Wanted
from rmn_lora.errors import AdapterError


def want(key, nbytes=10, make=None): return Wanted(key, nbytes, make or (lambda: f'of {key}'))


class Clock:
    now = 0.
    def __call__(self): return self.now


class Against(RuleBasedStateMachine):
    "Random takes, failures, pins and waits beside the plainest model of what a cache may do."
    @initialize(capacity=st.integers(20, 60))
    def start(self, capacity):
        self.clock, self.alive, self.held, self.pinned, self.used, self.made, self.capacity = Clock(), {}, [], set(), {}, 0, capacity
        self.cache = CompositionCache(capacity, 100, lambda v: self.alive.pop(v), self.clock)

    def make(self, key, nbytes):
        self.made += 1
        value = (key, self.made)
        self.alive[value] = nbytes
        return value

    @rule(keys=st.lists(st.sampled_from('ABCDEFG'), min_size=1, max_size=3, unique=True), fails=st.booleans())
    def take(self, keys, fails):
        def fail(): raise OSError('disk')
        sizes = {k: 5 + 3*(ord(k) - 65) for k in keys}
        there = {k for k in keys if k in self.cache}
        wants = [want(k, sizes[k], fail if fails else lambda k=k: self.make(k, sizes[k])) for k in keys]
        try: values = self.cache.take(wants, timeout=0)
        except OSError:
            assert fails and set(keys) - there
            self.used |= dict.fromkeys(there, self.clock.now)
            return
        except AdapterError:
            busy = {v for vs in self.held for v in vs} | {v for v in self.alive if v[0] in self.pinned} | {v for v in self.alive if v[0] in keys}
            assert sum(self.alive[v] for v in busy) + sum(sizes[k] for k in keys if k not in there) > self.capacity
            return
        self.holds(keys, values)

    def holds(self, keys, values):
        assert [v[0] for v in values] == keys and all(v in self.alive for v in values)
        self.held.append(values)
        self.used |= dict.fromkeys(keys, self.clock.now)

    @rule(keys=st.lists(st.sampled_from('ABCDEFG'), min_size=1, max_size=3, unique=True))
    def hold(self, keys):
        there = all(k in self.cache for k in keys)
        if (values := self.cache.hold(keys)) is None: assert not all(k in self.cache for k in keys)
        else: assert there; self.holds(keys, values)

    @precondition(lambda self: self.held)
    @rule(i=st.integers(0, 99))
    def give_back(self, i):
        keys = [v[0] for v in self.held.pop(i % len(self.held))]
        self.cache.give_back(keys)
        self.used |= dict.fromkeys(keys, self.clock.now)

    @rule(key=st.sampled_from('ABCDEFG'))
    def pin(self, key):
        if key in self.cache: self.cache.pin([key]); self.pinned.add(key)
        else:
            with pytest.raises(AdapterError): self.cache.pin([key])

    @rule()
    def unpin(self): self.cache.unpin(self.pinned); self.pinned = set()

    @rule(seconds=st.integers(1, 150))
    def wait(self, seconds): self.clock.now += seconds

    @rule()
    def forget(self): self.cache.forget()

    @invariant()
    def bounded_and_nothing_in_use_is_gone(self):
        if not hasattr(self, 'cache'): return
        assert all(v in self.alive for vs in self.held for v in vs) and {k for k in self.pinned} <= {v[0] for v in self.alive}
        stats, kept = self.cache.stats(), {v for vs in self.held for v in vs}
        assert all(v in kept or v[0] in self.pinned or self.clock.now - self.used[v[0]] <= 100 for v in self.alive), 'nothing idle outlives its time'
        assert stats['bytes'] == sum(self.alive.values()) <= self.capacity and stats['entries'] == len(self.alive) == len({v[0] for v in self.alive})


TestAgainst = Against.TestCase
TestAgainst.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_failure_tells_all_and_leaves_nothing():
    cache, started = CompositionCache(100), threading.Barrier(8)
    def fail():
        time.sleep(.05)
        raise OSError('disk')
    def ask(_):
        started.wait()
        with pytest.raises(OSError, match='disk'): cache.take([want('A', 10, fail), want('B')])
        return True
    with ThreadPoolExecutor(8) as pool: assert all(pool.map(ask, range(8)))
    stats = cache.stats()
    assert 'A' not in cache and stats['bytes'] == 10*('B' in cache)
    assert cache.take([want('A')], 0) == ['of A']


def test_what_came_after_a_failure_is_not_waited_for_in_vain():
    "The second of two was never made because the first failed; another that waits for it is told."
    cache, go = CompositionCache(100), threading.Event()
    def fail():
        go.set()
        time.sleep(.1)
        raise OSError('disk')
    def first():
        with pytest.raises(OSError): cache.take([want('A', 10, fail), want('B')])
    (t := threading.Thread(target=first)).start()
    go.wait(5)
    with pytest.raises(OSError): cache.take([want('B')], 5)
    t.join()
    assert cache.stats()['bytes'] == 0


def test_interrupted_while_it_is_made():
    cache, going = CompositionCache(100), threading.Event()
    def interrupted():
        going.set()
        time.sleep(.1)
        raise KeyboardInterrupt
    def other():
        going.wait(5)
        with pytest.raises(AdapterError, match='interrupted'): cache.take([want('A')])
        done.append(1)
    done = []
    (t := threading.Thread(target=other)).start()
    with pytest.raises(KeyboardInterrupt): cache.take([want('A', 10, interrupted)])
    t.join(5)
    assert done and cache.stats()['bytes'] == 0


def test_waits_for_room_and_gets_it():
    cache = CompositionCache(20)
    cache.take([want('A'), want('B')])
    threading.Timer(.1, lambda: cache.give_back(['A'])).start()
    assert cache.take([want('C')], 10) == ['of C'] and 'A' not in cache and 'B' in cache


def test_two_that_need_each_others_room_both_get_it():
    "Each takes all it needs or nothing, so neither holds what the other waits for."
    cache = CompositionCache(40)
    def work(keys):
        for _ in range(200):
            assert cache.take([want(k) for k in keys], 10) == [f'of {k}' for k in keys]
            cache.give_back(keys)
        return True
    with ThreadPoolExecutor(4) as pool: assert all(pool.map(work, ['ABC', 'CDE', 'EFA', 'BDF']))
    assert cache.stats()['bytes'] <= 40


def test_too_much_at_once_is_told_at_once():
    cache = CompositionCache(30)
    cache.take([want('P')])
    cache.pin(['P'])
    began = time.monotonic()
    with pytest.raises(AdapterError, match='30 bytes are needed at once, and there are 20'): cache.take([want('A'), want('B'), want('C')], 30)
    assert time.monotonic() - began < 10 and cache.stats()['entries'] == 1
