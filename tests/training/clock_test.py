import threading
import time

import jax
import jax.numpy as jnp
import pytest

from kpdiscovery.training import clock as clocks


def slow(seconds, count):
    for number in range(count):
        time.sleep(seconds)
        yield number


@pytest.fixture
def passes(monkeypatch):
    """Time that only the test moves: how busy the machine is must not matter."""
    now = [100.0]
    monkeypatch.setattr(clocks.time, 'monotonic', lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def taking(passes, seconds, count):
    for number in range(count):
        passes(seconds)
        yield number


def test_what_is_waited_for_is_told_from_what_is_done(passes):
    clock = clocks.Clock(print)
    for _ in clock.batches(taking(passes, 0.03, 5)):
        passes(0.01)
    lap = clock.lap()
    assert lap['waiting'] == pytest.approx(0.15 / 0.20)
    assert lap['seconds'] == pytest.approx(0.20)


def test_steps_run_ahead_by_a_few_only():
    """Else a stop would wait for all that are on their way, a minute of large ones."""
    done, passed = threading.Event(), []

    class Slow:
        def block_until_ready(self):
            done.wait(10)
            return self

    def dispatch(clock):
        for number in range(3 * clocks.AHEAD):
            passed.append(number)
            clock.stepped(Slow())

    with clocks.Clock(print) as clock:
        loop = threading.Thread(target=dispatch, args=(clock,))
        loop.start()
        loop.join(0.3)
        ahead = len(passed)
        done.set()
        loop.join(10)
    assert ahead == clocks.AHEAD + 1 and len(passed) == 3 * clocks.AHEAD


def test_a_step_that_failed_holds_nothing_up():
    class Failed:
        def block_until_ready(self):
            raise RuntimeError('out of memory')

    with clocks.Clock(print) as clock:
        for _ in range(3 * clocks.AHEAD):
            clock.stepped(Failed())


def test_a_lap_knows_nothing_of_the_one_before(passes):
    clock = clocks.Clock(print)
    list(clock.batches(taking(passes, 0.02, 3)))
    clock.lap()
    list(clock.batches(taking(passes, 0.01, 3)))
    passes(0.07)
    lap = clock.lap()
    assert lap['waiting'] == pytest.approx(0.3) and lap['step_ms_50'] == 0


def test_steps_are_timed_by_their_ends():
    with clocks.Clock(print) as clock:
        for _ in clock.batches(slow(0.03, 5)):
            clock.stepped({'loss': jnp.ones(())})
        lap = clock.lap()
    assert 20 < lap['step_ms_50'] <= lap['step_ms_90']


def test_compilations_are_counted_as_long_as_it_lasts():
    compile_one = lambda shape: jax.jit(lambda x: jnp.sin(x) + 1)(jnp.zeros(shape))
    compile_one(3)
    with clocks.Clock(print) as clock:
        before = clock.lap()['compilations']
        compile_one(4)
        assert clock.lap()['compilations'] > before == 0
    compile_one(5)
    again = clocks.Clock(print)
    assert again.lap()['compilations'] == 0


@pytest.mark.parametrize('seconds, told', [(1.5, 1), (0.0, 0)])
def test_pictures_that_do_not_come_are_told_once(monkeypatch, seconds, told):
    monkeypatch.setattr(clocks, 'STALLED', 0.2)
    said: list = []
    with clocks.Clock(said.append) as clock:
        assert list(clock.batches(slow(seconds, 1))) == [0]
        time.sleep(0.5)
    assert len(said) == told
    assert all('no pictures' in line for line in said)
