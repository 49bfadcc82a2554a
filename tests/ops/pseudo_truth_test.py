import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops.pseudo_truth import greedy_labels

STATIC = ('background', 'cap', 'radius')
label = jax.jit(greedy_labels, static_argnames=STATIC)


def oracle(maps, background, cap=3, radius=0):
    """Algorithm 1 word by word, in float64: a look at all values a label."""
    left = np.array(maps, np.float64)
    h, w, channels = left.shape
    labels, counts = np.full((h, w), -1), np.zeros(channels, int)
    for _ in range(h * w):
        row, column, channel = np.unravel_index(left.argmax(), left.shape)
        labels[row, column] = channel
        left[row, column] = -np.inf
        counts[channel] += 1
        if channel == background:
            continue
        near = [slice(max(0, i - radius), i + radius + 1) for i in (row, column)]
        left[near[0], near[1], channel] = -np.inf
        if counts[channel] == cap:
            left[:, :, channel] = -np.inf
    return labels


def softmax_maps(h, w, channels, seed, sharpness=4.0, levels=None):
    rng = np.random.default_rng(seed)
    z = sharpness * rng.normal(size=(h, w, channels))
    z[..., : channels // 4] += sharpness  # Some parts claim many cells.
    e = np.exp(z - z.max(-1, keepdims=True))
    maps = e / e.sum(-1, keepdims=True)
    maps = maps if levels is None else np.round(maps * levels) / levels  # Many equal.
    return maps.astype(np.float32)


def test_vectors_of_the_reference():
    maps = np.full((2, 3, 3), 0.15)
    maps[..., 0] = [[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]]
    maps[..., 1] = [[0.1, 0.2, 0.3], [0.35, 0.05, 0.25]]
    np.testing.assert_array_equal(label(maps, background=2), [[0, 0, 0], [1, 2, 1]])
    maps = np.full((2, 2, 2), 0.2)
    maps[..., 0] = [[0.9, 0.8], [0.7, 0.6]]
    np.testing.assert_array_equal(label(maps, background=1), [[0, 0], [0, 1]])
    maps = np.full((1, 4, 2), 0.1)
    maps[..., 0] = 0.5
    np.testing.assert_array_equal(label(maps, background=-1), [[0, 0, 0, 1]])


@pytest.mark.parametrize('radius', [0, 1, 2])
@pytest.mark.parametrize(('levels', 'seed'), [(None, 0), (20, 1), (3, 2)])
def test_exactly_the_algorithm(radius, levels, seed):
    """Equal values (few levels) included; the background is first, last or between."""
    for background in (0, 3, 8):
        maps = softmax_maps(7, 5, 9, seed, levels=levels)
        got = label(maps, background=background, radius=radius)
        np.testing.assert_array_equal(got, oracle(maps, background, radius=radius))


@pytest.mark.parametrize('cap', [1, 3, 1000])
def test_full_size(cap):
    maps = softmax_maps(14, 14, 513, seed=cap, sharpness=3.0)
    got = np.asarray(label(maps, background=512, cap=cap, radius=2))
    np.testing.assert_array_equal(got, oracle(maps, 512, cap, 2))
    assert got.dtype == np.int32
    assert np.bincount(got.ravel())[:-1].max() <= cap


def test_the_order_of_channels_does_not_matter(rng):
    maps, order = softmax_maps(6, 6, 8, seed=5), rng.permutation(8)
    got = np.asarray(label(maps[..., order], background=int(np.argmax(order == 7))))
    np.testing.assert_array_equal(order[got], label(maps, background=7))


def test_a_batch_and_bfloat16():
    maps = np.stack([softmax_maps(5, 6, 7, seed) for seed in range(4)])
    run = jax.jit(jax.vmap(functools.partial(greedy_labels, background=6, radius=1)))
    for got, one in zip(run(maps), maps, strict=True):
        np.testing.assert_array_equal(got, oracle(one, 6, radius=1))
    low = jnp.asarray(maps[0], jnp.bfloat16)
    want = oracle(np.asarray(low, np.float32), 6)
    np.testing.assert_array_equal(label(low, background=6), want)


def test_cells_without_values_are_background():
    maps = softmax_maps(3, 3, 4, seed=0)
    maps[1] = np.nan
    maps[0, 0] = -np.inf
    maps[2, 2, :3] = np.nan
    got = label(maps, background=3)
    np.testing.assert_array_equal(got[1], 3)
    assert got[0, 0] == 3 and got[2, 2] == 3
    np.testing.assert_array_equal(label(maps, background=3, cap=0), 3)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'maps': jnp.zeros((3, 4))}, r'\[h, w, C\]'),
        ({'maps': jnp.zeros((3, 0, 4))}, 'none of them 0'),
        ({'background': 4}, 'one of 4 channels'),
        ({'background': -5}, 'one of 4 channels'),
        ({'cap': -1}, 'cap >= 0'),
        ({'radius': -1}, 'radius >= 0'),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        greedy_labels(**{'maps': jnp.ones((2, 3, 4)), 'background': 3} | change)
