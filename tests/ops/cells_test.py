import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops import cells

# Worked by hand.


def test_pixels_and_classes():
    def classes(*xy):
        points = jnp.array(xy, jnp.float32)
        there = jnp.ones(len(xy), bool)
        return cells.cell_labels(jax.random.key(0), points, there, (24, 24))

    assert classes((3, 2))[0, 0] == 19
    label = classes((18, 9))
    assert label[1, 2] == 10 and (label == 64).sum() == 8
    assert classes((5, 3))[0, 0] == 29


def test_equal_logits():
    heat = cells.to_heatmap(jnp.zeros((2, 3, 65)))
    np.testing.assert_allclose(heat, np.full((16, 24), 1 / 65), atol=1e-7)


def test_one_high_logit_is_one_pixel():
    heat = cells.to_heatmap(jnp.zeros((2, 3, 65)).at[1, 2, 10].set(5.0))
    assert heat[9, 18] == pytest.approx(0.6987004, abs=1e-6)
    assert heat[8, 16] == pytest.approx(0.0047078, abs=1e-6)
    assert np.unravel_index(heat.argmax(), heat.shape) == (9, 18)


def test_frames_of_descriptors():
    # A ramp over 20 cells tells where between cells it was read.
    x = jnp.arange(20.0)
    ramp = jnp.stack([jnp.cos(x / 20), jnp.sin(x / 20)], -1)[None]  # [1, 20, 2]
    xy = jnp.array([[0.0, 0], [4, 0], [80, 0], [159, 0]])

    def read(frame):
        out = cells.sample_descriptors(ramp, xy, frame=frame)
        return 20 * np.arctan2(out[:, 1], out[:, 0])

    want = np.clip([-0.4375, 0.0625, 9.5625, 19.4375], 0, 19)
    np.testing.assert_allclose(read('centred'), want, atol=1e-3)
    want = np.clip([-0.5, 0, 9.5, 19.375], 0, 19)
    np.testing.assert_allclose(read('corner'), want, atol=1e-3)
    with pytest.raises(ValueError, match="'centred' or 'corner', got 'edge'"):
        cells.sample_descriptors(ramp, xy, frame='edge')


# By hand.


def test_labels_undo_the_heatmap(rng):
    x, y = rng.integers(0, 32, 2)
    label = cells.cell_labels(jax.random.key(0), jnp.array([[x, y]], jnp.float32),
                         jnp.array([True]), (32, 32))  # fmt: skip
    heat = cells.to_heatmap(20 * jax.nn.one_hot(label, 65))
    assert np.unravel_index(heat.argmax(), heat.shape) == (y, x)


def test_points_outside_or_not_valid_are_none():
    xy = jnp.array([[-0.6, 3], [3, 15.6], [16, 2], [3, 3]])
    there = jnp.array([True, True, True, False])
    np.testing.assert_array_equal(
        cells.cell_labels(jax.random.key(0), xy, there, (16, 16)), 64
    )


def test_one_of_several_points_is_drawn():
    xy = jnp.array([[0.0, 0], [7, 7]])
    draw = lambda key: cells.cell_labels(key, xy, jnp.ones(2, bool), (8, 8))[0, 0]
    drawn = jax.vmap(draw)(jax.random.split(jax.random.key(0), 200))
    assert set(drawn.tolist()) == {0, 63}
    assert 60 < int((drawn == 0).sum()) < 140


def test_cells_count_when_all_their_pixels_do():
    valid = jnp.ones((16, 24), bool).at[9, 18].set(False)
    want = np.ones((2, 3), bool)
    want[1, 2] = False
    np.testing.assert_array_equal(cells.whole(valid), want)


def test_centres():
    np.testing.assert_array_equal(
        cells.centers(1, 2), np.array([[3.5, 3.5], [11.5, 3.5]])
    )


def test_gradients_are_finite_and_zero_descriptors_stay_zero():
    read = lambda c: cells.sample_descriptors(c, jnp.array([[3.0, 4]])).sum()
    assert np.isfinite(jax.grad(read)(jnp.zeros((2, 2, 4)))).all()
    assert not cells.sample_descriptors(jnp.zeros((2, 2, 4)), jnp.zeros((3, 2))).any()
    total = lambda z: cells.to_heatmap(z).max()
    assert np.isfinite(jax.grad(total)(jnp.full((1, 1, 65), 1e4))).all()


def test_odd_numbers_of_classes():
    with pytest.raises(ValueError, match='classes, got 61'):
        cells.to_heatmap(jnp.zeros((1, 1, 61)))


def test_jit_and_vmap(rng):
    logits = jnp.asarray(rng.normal(size=(3, 2, 2, 65)), jnp.float32)
    want = cells.to_heatmap(logits)
    np.testing.assert_allclose(jax.jit(jax.vmap(cells.to_heatmap))(logits), want, 1e-6)


def test_cells_inside():
    """All of a cell's pixels must count; where cells are no whole pixels, its middle."""
    valid = jnp.ones((8, 12), bool).at[:, 5:].set(False)
    assert cells.inside(valid, (2, 3)).tolist() == [[True, False, False]] * 2
    assert cells.inside(valid, (8, 12)).tolist() == valid.tolist()
    assert (
        cells.inside(valid, (3, 5)).tolist() == [[True, True, False, False, False]] * 3
    )
    both = jnp.stack([valid, ~valid])
    assert cells.inside(both, (2, 3)).shape == (2, 2, 3)
