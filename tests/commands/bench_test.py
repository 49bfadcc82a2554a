import itertools
import time

import pytest

from kpdiscovery import bench, config
from kpdiscovery.types import UserError


def test_rows_of_a_case():
    """Every implementation runs, and the figures of a row follow from one another."""
    settings = config.load('tusk/tetrominoes:smoke', ['data.batch_size=2'])
    rows = {row['impl']: row for row in bench._tusk_rows('smoke', settings, 1)}
    assert set(rows) == {'auto', 'encode_again', 'bfloat16', 'naive'}
    for row in rows.values():
        assert (row['batch_size'], row['views']) == (2, 4)
        rate = 1e3 * row['batch_size'] / row['median_ms']
        assert row['images_per_s'] == pytest.approx(rate, rel=0.1)
    assert rows['naive']['ratio_to_naive'] == 1
    assert 0 < rows['auto']['outside_device_step'] < 1


def test_medians_take_turns_and_leave_the_first_out():
    order = []
    naps = {
        'a': itertools.chain([0.2], itertools.repeat(0)),
        'b': itertools.repeat(0.01),
    }

    def run(name):
        order.append(name)
        time.sleep(next(naps[name]))

    got = bench.median_ms({name: lambda name=name: run(name) for name in naps}, 3)
    assert order == ['a', 'b'] * 4
    assert got['a'] < 10 <= got['b']


def test_waiting_for_batches_is_what_counts_as_outside():
    class Slow:
        def stream(self, order, start, stop):
            for number in range(start, stop):
                time.sleep(0.03)
                yield number

    share = bench._outside(lambda batch: time.sleep(0.01), Slow(), None)
    assert 0.6 < share < 0.9


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['tusk_step', '--only=demmo'], "no case 'demmo'.*demo"),
        (['tusk_step', '--only=mnist_hard'], '--data=FILE'),
        (['tusk_step', '--config.seed=1'], 'takes no --config'),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message):
        bench.main(arguments)
