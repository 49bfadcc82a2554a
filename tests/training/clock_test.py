import time

import jax
import jax.numpy as jnp
import pytest

from kpdiscovery.training import clock as clocks


def slow(seconds, count):
    for number in range(count):
        time.sleep(seconds)
        yield number


def test_what_is_waited_for_is_told_from_what_is_done():
    with clocks.Clock(print) as clock:
        for _ in clock.batches(slow(0.03, 5)):
            time.sleep(0.01)
            clock.stepped({'loss': jnp.ones(())})
        lap = clock.lap()
    assert lap['waiting'] == pytest.approx(0.75, abs=0.2)
    assert lap['seconds'] >= 5 * 0.04
    assert 30 < lap['step_ms_50'] <= lap['step_ms_90'] < 1000


def test_a_lap_knows_nothing_of_the_one_before():
    with clocks.Clock(print) as clock:
        list(clock.batches(slow(0.02, 3)))
        clock.lap()
        list(clock.batches(slow(0, 3)))
        time.sleep(0.02)
        lap = clock.lap()
    assert lap['waiting'] < 0.5 and lap['step_ms_50'] == 0


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
