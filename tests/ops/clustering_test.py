"""Algorithm 1 against a worked example and a plain float64 writing of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops import clustering

cluster = jax.jit(
    clustering.cluster_proposals,
    static_argnames=('num_keypoints', 'iterations', 'erase_threshold', 'accumulate'),
)
CELLS = [(1, 1), (1, 1), (1, 2), (5, 5), (5, 5)]  # (row, column)


def proposals(cells, size=(7, 7)):
    maps = np.zeros((*size, len(cells)), np.float32)
    for channel, (row, column) in enumerate(cells):
        maps[row, column, channel] = 1
    return jnp.asarray(maps)


def plainly(cells, count, iterations, threshold, accumulate):
    """[(column, row, votes)] by loops, in double precision."""
    alive, found = [True] * len(cells), []

    def best(share):
        votes = {}
        for cell, one, there in zip(cells, share, alive, strict=True):
            votes[cell] = votes.get(cell, 0) + one * there
        return max(sorted(votes), key=votes.get), max(votes.values())

    for _ in range(count):
        if not any(alive):
            break
        weights = np.ones(len(cells))
        for _ in range(iterations):
            share = np.exp(weights) / np.exp(weights).sum()
            center, _ = best(share)
            near = [there / (1 + np.hypot(r - center[0], c - center[1]))
                    for (r, c), there in zip(cells, alive, strict=True)]  # fmt: skip
            weights = (weights if accumulate else share) + np.array(near)
        center, votes = best(np.exp(weights) / np.exp(weights).sum())
        found.append((center[1], center[0], votes))
        for i, (r, c) in enumerate(cells):
            alive[i] &= np.hypot(r - center[0], c - center[1]) >= threshold
    return found


def test_worked_example():
    got = cluster(proposals(CELLS), num_keypoints=3, iterations=3, erase_threshold=2)
    assert got.valid.tolist() == [True, True, False]
    assert got.xy.tolist() == [[1, 1], [5, 5], [0, 0]]
    np.testing.assert_allclose(got.score, [2 * 0.3096, 2 * 0.3488, 0], atol=1e-4)
    assert got.label.tolist() == [0, 1, 2]


def test_accumulated_weights_sharpen_faster():
    got = cluster(
        proposals(CELLS),
        num_keypoints=3,
        iterations=3,
        erase_threshold=2,
        accumulate=True,
    )
    assert got.xy[:2].tolist() == [[1, 1], [5, 5]]
    np.testing.assert_allclose(got.score[0], 2 * 0.4203, atol=1e-4)


def test_threshold_one_erases_exact_cells_only():
    got = cluster(proposals(CELLS), num_keypoints=4, iterations=3, erase_threshold=1)
    assert got.xy.tolist() == [[1, 1], [5, 5], [2, 1], [0, 0]]
    assert got.valid.tolist() == [True, True, True, False]


@pytest.mark.parametrize('accumulate', [False, True])
@pytest.mark.parametrize('threshold', [1, 2, 3])
def test_agrees_with_loops_in_double_precision(accumulate, threshold):
    rng = np.random.default_rng(threshold)
    for _ in range(5):
        cells = [tuple(map(int, cell)) for cell in rng.integers(0, 7, (16, 2))]
        want = plainly(cells, 5, 5, threshold, accumulate)
        got = cluster(
            proposals(cells), num_keypoints=5, erase_threshold=threshold,
            accumulate=accumulate,
        )  # fmt: skip
        found = [
            (*xy, v)
            for xy, v, there in zip(got.xy, got.score, got.valid, strict=True)
            if there
        ]
        np.testing.assert_allclose(found, want, atol=1e-5)


def test_nothing_fires():
    maps = jnp.stack([-jnp.ones((4, 4)), jnp.zeros((4, 4))], axis=-1)
    got = cluster(maps, num_keypoints=2)
    assert not got.valid.any()
    assert got.xy.tolist() == [[0, 0]] * 2
    assert got.score.tolist() == [0, 0]


def test_strongest_filters_first():
    maps = proposals(CELLS) * jnp.array([1.0, 5.0, 2.0, 4.0, 3.0])[None, None]
    kept, channels = clustering.strongest_filters(maps, 3)
    assert channels.tolist() == [1, 3, 4]
    np.testing.assert_array_equal(kept, maps[..., channels])
    assert clustering.strongest_filters(maps, 9)[0].shape == (7, 7, 5)


def test_batches_under_jit():
    maps = jax.random.uniform(jax.random.key(0), (3, 6, 5, 12))
    four = functools.partial(cluster, num_keypoints=4)
    one_by_one = [four(m) for m in maps]
    together = jax.jit(jax.vmap(four))(maps)
    for i, want in enumerate(one_by_one):
        np.testing.assert_array_equal(together.xy[i], want.xy)
        np.testing.assert_allclose(together.score[i], want.score, rtol=1e-6)


def test_bad_input():
    with pytest.raises(ValueError, match=r'\[h, w, C\], got \(7, 7\)'):
        clustering.cluster_proposals(jnp.ones((7, 7)), num_keypoints=2)
