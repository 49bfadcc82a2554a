import itertools
import time

from kpdiscovery.bench import timing


def test_medians_take_turns_and_leave_the_first_out():
    order = []
    naps = {
        'a': itertools.chain([0.2], itertools.repeat(0)),
        'b': itertools.repeat(0.01),
    }

    def run(name):
        order.append(name)
        time.sleep(next(naps[name]))

    got = timing.median_ms({name: lambda name=name: run(name) for name in naps}, 3)
    assert order == ['a', 'b'] * 4
    assert got['a'] < 10 <= got['b']


def test_naps_take_no_processor_time():
    nap = {'nap': lambda: time.sleep(0.05)}
    assert timing.median_ms(nap, 2)['nap'] >= 50
    assert timing.median_ms(nap, 2, 'cpu')['nap'] < 40
