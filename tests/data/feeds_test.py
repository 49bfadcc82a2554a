import os
import time

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from kpdiscovery.data import feeds
from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.types import UserError


def over(devices):
    """Sharding by rows over the first `devices` devices."""
    mesh = jax.make_mesh(
        (devices,), ('data',), (AxisType.Auto,), devices=jax.devices()[:devices]
    )
    return NamedSharding(mesh, PartitionSpec('data'))


class Rows:
    """A source in host memory that remembers what was read."""

    truth = ('label', 'attributes')

    def __init__(self, length, image=None):
        self.length, self.image, self.read = length, image, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        self.read.append(index)
        image = (
            np.full((2, 3, 3), index, np.uint8) if self.image is None else self.image
        )
        return {
            'image': image,
            'label': np.int32(index * 10),
            'attributes': {'color': np.array([index, -1], np.int32)},
        }


# Orders.


@pytest.mark.parametrize(
    'length, batch_size', [(10, 4), (12, 4), (5, 8), (3, 10), (1, 2)]
)
def test_every_epoch_is_a_permutation_and_no_row_is_dropped(length, batch_size):
    order = feeds.shuffled(length, batch_size, seed=0)
    steps = 6 * length
    seen = np.concatenate([order(step) for step in range(steps)])
    epochs = seen[: len(seen) // length * length].reshape(-1, length)
    np.testing.assert_array_equal(
        np.sort(epochs, axis=1), np.arange(length)[None].repeat(len(epochs), 0)
    )
    if length > 4:
        assert (epochs[0] != epochs[1]).any()
        assert (epochs[0] != np.arange(length)).any()


def test_an_order_is_a_pure_function_of_the_step():
    order, other = (feeds.shuffled(100, 8, seed=5) for _ in range(2))
    late = order(1000)
    for step in (3, 0, 999):
        np.testing.assert_array_equal(order(step), other(step))
    np.testing.assert_array_equal(order(1000), late)
    assert late.dtype == np.int32
    assert (feeds.shuffled(100, 8, seed=6)(0) != order(0)).any()


@pytest.mark.parametrize('batch_size, per_class', [(8, 4), (6, 2), (12, 3)])
def test_rows_of_a_class_come_together(batch_size, per_class):
    labels = np.repeat([0, 1, 2], [9, 4, 6])
    order = feeds.by_class(labels, batch_size, per_class, seed=0)
    groups = sum(-(-size // per_class) for size in (9, 4, 6))
    rows = np.concatenate([order(step) for step in range(3 * groups)])
    each = labels[rows].reshape(-1, per_class)
    assert (each == each[:, :1]).all()
    epochs = rows.reshape(-1)[: 3 * groups * per_class].reshape(3, -1)
    for epoch in epochs:
        assert set(epoch) == set(range(len(labels)))
        assert max(np.bincount(epoch)) <= 2
    assert (epochs[0] != epochs[1]).any()
    assert order(5).dtype == np.int32 and order(5).shape == (batch_size,)


def test_classes_come_together_where_they_are_known():
    data = {'batch_size': 8, 'per_class': 4}
    with pytest.raises(UserError, match='classes of the rows are not known'):
        feeds.of_training(Rows(20), data, 0)
    source = Rows(20)
    source.labels = np.arange(20) % 2
    assert len(set(source.labels[feeds.of_training(source, data, 0)(0)[:4]])) == 1
    with pytest.raises(UserError, match='a multiple of data.per_class=3'):
        feeds.of_training(source, {**data, 'per_class': 3}, 0)
    plain = feeds.of_training(source, {**data, 'per_class': 0}, 0)(3)
    np.testing.assert_array_equal(plain, feeds.shuffled(20, 8, 0)(3))


def test_sequential_order_goes_on_into_padding():
    order = feeds.sequential(4)
    np.testing.assert_array_equal(order(0), [0, 1, 2, 3])
    np.testing.assert_array_equal(order(1), [4, 5, 6, 7])


# Feeds.


@pytest.mark.parametrize(
    'make', [lambda: tetrominoes(split='train', length=20), lambda: Rows(20)]
)
def test_eight_devices_see_the_same_rows_as_one(make):
    order = feeds.shuffled(20, 8, seed=1)
    streams = [feeds.Feed(make(), 8, over(n)).stream(order, 2, 5) for n in (1, 8)]
    for number, (one, eight) in enumerate(zip(*streams, strict=True)):
        np.testing.assert_array_equal(one['index'], order(2 + number))
        jax.tree.map(np.testing.assert_array_equal, one, eight)
        for leaf in jax.tree.leaves(eight):
            assert len(leaf.sharding.device_set) == 8
            assert leaf.addressable_shards[0].data.shape[0] == 1


def test_generated_rows_are_the_rows_of_the_source():
    source = tetrominoes(split='train', length=20)
    batch = next(feeds.Feed(source, 8, over(8)).stream(feeds.sequential(8), 1, 2))
    want = source.batch(range(8, 16))
    jax.tree.map(np.testing.assert_array_equal, dict(batch), dict(want))


def test_host_rows_arrive_in_order_with_all_their_fields():
    source = Rows(20)
    order = feeds.shuffled(20, 4, seed=1)
    batches = list(feeds.Feed(source, 4, over(4)).stream(order, 0, 6))
    assert len(batches) == 6
    for number, batch in enumerate(batches):
        index = order(number)
        np.testing.assert_array_equal(batch['index'], index)
        np.testing.assert_array_equal(batch['image'][:, 0, 0, 0], index)
        np.testing.assert_array_equal(batch['label'], 10 * index)
        np.testing.assert_array_equal(batch['attributes']['color'][:, 0], index)
    looked_at = [0]  # For how large a row is.
    rows = np.concatenate([looked_at, *(order(n) for n in range(6))])
    assert sorted(source.read) == sorted(rows)


@pytest.mark.parametrize('allowed, most', [(1 << 30, 24), (1, 8)])
def test_no_more_is_read_ahead_than_two_batches_or_memory_allows(
    monkeypatch, allowed, most
):
    monkeypatch.setattr(feeds, '_AHEAD', allowed)
    source = Rows(400)
    stream = feeds.Feed(source, 8, over(4)).stream(feeds.sequential(8), 0, 50)
    next(stream)
    before = -1
    while before < len(source.read):
        before = len(source.read)
        time.sleep(0.1)
    threads = len(os.sched_getaffinity(0))
    assert before <= 1 + most + 2 * threads


def test_the_order_is_asked_once_a_batch():
    asked = []

    def order(number):
        asked.append(number)
        return feeds.sequential(8)(number)

    for _ in feeds.Feed(Rows(40), 8, over(4)).stream(order, 0, 5):
        pass
    assert len(asked) <= 2 * 5  # Two threads may ask at once.


@pytest.mark.parametrize('source', [tetrominoes(split='test', length=5), Rows(5)])
def test_padding_repeats_rows_and_keeps_its_numbers(source):
    feed = feeds.Feed(source, 8, over(8))
    batch = feeds.first_batch(feed, feeds.sequential(8))
    np.testing.assert_array_equal(batch['index'], np.arange(8))
    np.testing.assert_array_equal(batch['image'][5:], batch['image'][:3])


def test_a_stream_resumes_where_it_stopped():
    order = feeds.shuffled(20, 4, seed=2)
    feed = feeds.Feed(Rows(20), 4, over(2))
    whole = [batch['index'] for batch in feed.stream(order, 0, 5)]
    parts = [
        batch['index']
        for a, b in ((0, 2), (2, 5))
        for batch in feed.stream(order, a, b)
    ]
    np.testing.assert_array_equal(whole, parts)


# Bad input.


def test_batches_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match='multiple of the 8 devices, got 12'):
        feeds.Feed(Rows(20), 12, over(8))


def test_a_source_without_rows_is_refused():
    with pytest.raises(UserError, match='no rows'):
        feeds.Feed(Rows(0), 8, over(8))


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_images_that_are_not_finite_are_named(value):
    image = np.zeros((2, 2, 3), np.float32)
    image[1, 0, 2] = value
    feed = feeds.Feed(Rows(20, image), 4, over(1))
    with pytest.raises(UserError, match='image 0 of the source .* not finite'):
        feeds.first_batch(feed, feeds.sequential(4))


def test_float_images_that_are_finite_pass():
    image = np.full((2, 2, 3), 0.5, np.float32)
    batch = feeds.first_batch(
        feeds.Feed(Rows(4, image), 4, over(1)), feeds.sequential(4)
    )
    np.testing.assert_array_equal(batch['image'], 0.5)
