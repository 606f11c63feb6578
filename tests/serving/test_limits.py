"serving.limits: in any stretch of a period there are no more calls than allowed, and none is refused that might be made."
import threading, time
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from rmn_lora.errors import WorkbenchError
from rmn_lora.serving.limits import RedisWindow, SlidingWindow, limit_of
from rmn_lora.serving.tenants import TenantSettings

times = st.lists(st.integers(0,60),max_size=60).map(sorted) # In quarters of a second, so that edges are met often
@given(times, st.integers(1,5), st.integers(1,12))
def test_it_is_exact(when, calls, period):
    "Against the rule itself: a call may be made if fewer than `calls` were made in the period up to it."
    at,made = [0.],[]
    window = SlidingWindow(clock=lambda: at[0])
    for t in when:
        at[0] = t/4
        recent = [m for m in made if m>at[0]-period]
        taken = window.take('a',calls,period)
        assert taken.allowed==(len(recent)<calls) and taken.remaining==max(0,calls-len(recent)-1) and 0<taken.seconds<=period
        if taken.allowed: made.append(at[0])
        else:
            assert taken.wait>=taken.seconds and dict(taken.headers)[b'x-ratelimit-reset']==str(taken.wait).encode()
            wait = taken.seconds # Exactly then, and not before
            probe = SlidingWindow(clock=lambda: at[0]); probe._calls['a'] = type(window._calls['a'])(made)
            at[0] = t/4+wait; assert probe.take('a',calls,period).allowed
            at[0] = t/4

def test_callers_do_not_count_for_each_other():
    window = SlidingWindow()
    assert all(window.take(k,1,60).allowed for k in 'abc') and not any(window.take(k,1,60).allowed for k in 'abc')

def test_threads_together_get_no_more():
    window,got = SlidingWindow(),Counter()
    def ask():
        for _ in range(200): got[window.take('a',150,60).allowed] += 1
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert got[True]==150

def test_a_smaller_limit_holds_at_once():
    at = [0.]
    window = SlidingWindow(clock=lambda: at[0])
    for _ in range(10): window.take('a',10,60)
    taken = window.take('a',3,60)
    assert not taken.allowed and taken.seconds==60

def test_memory_is_bounded():
    window = SlidingWindow(callers=100)
    for i in range(1000): window.take(str(i),5,60)
    assert len(window._calls)==100 and window.take('999',5,60).remaining==3

@pytest.mark.parametrize('wrong', [(0,60),(5,0),(5,-1)])
def test_limits_that_cannot_be(wrong):
    with pytest.raises(WorkbenchError): SlidingWindow().take('a',*wrong)

def test_a_route_then_all_then_the_default():
    own = TenantSettings(limits={'/inference':(20,60),'*':(5,1)})
    assert [limit_of(s,r) for s in (own,TenantSettings()) for r in ('/inference','/x')]==[(20,60),(5,1),(100,60),(100,60)]

def test_processes_count_together(redis_url):
    one,two = RedisWindow(redis_url),RedisWindow(redis_url)
    key = f'a{time.time_ns()}'
    assert [w.take(key,4,60).allowed for w in (one,two,one,two,one,two)]==[True]*4+[False]*2
    refused = two.take(key,4,60)
    assert refused.remaining==0 and 55<refused.seconds<=60

def test_the_window_moves_in_redis_too(redis_url):
    window,key = RedisWindow(redis_url),f'b{time.time_ns()}'
    assert window.take(key,1,1).allowed and not window.take(key,1,1).allowed
    time.sleep(1.05)
    assert window.take(key,1,1).allowed

def test_without_redis_each_process_counts_for_itself():
    pytest.importorskip('redis', reason='redis is not installed'); pytest.importorskip('limits', reason='limits is not installed')
    window = RedisWindow('redis://127.0.0.1:1/0')
    assert [window.take('a',2,60).allowed for _ in range(3)]==[True,True,False]
