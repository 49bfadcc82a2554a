import time

import pytest

from kpdiscovery import config
from kpdiscovery.bench import tusk_step


@pytest.mark.slow  # Four compiled steps, and the step in parts.
def test_rows_of_a_case():
    """Every implementation runs, and the figures of a row follow from one another."""
    settings = config.load('tusk/tetrominoes:smoke', ['data.batch_size=2'])
    rows = {row['impl']: row for row in tusk_step._rows('smoke', settings, 1)}
    assert set(rows) == {'auto', 'encode_again', 'bfloat16', 'naive'}
    for row in rows.values():
        assert (row['batch_size'], row['views']) == (2, 4)
        rate = 1e3 * row['batch_size'] / row['median_ms']
        assert row['images_per_s'] == pytest.approx(rate, rel=0.1)
    assert rows['naive']['ratio_to_naive'] == 1
    assert 0 < rows['auto']['outside_device_step'] < 1


def test_waiting_for_batches_is_what_counts_as_outside():
    class Slow:
        def stream(self, order, start, stop):
            for number in range(start, stop):
                time.sleep(0.03)
                yield number

    share = tusk_step._outside(lambda batch: time.sleep(0.01), Slow(), None)
    assert 0.6 < share < 0.9
