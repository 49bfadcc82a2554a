import jax.numpy as jnp
import numpy as np
from jax.image import scale_and_translate

from kpdiscovery.ops import coordinates


def test_grid_is_x_right_y_down():
    grid = coordinates.pixel_grid(2, 3)
    assert grid.shape == (2, 3, 2)
    assert grid.dtype == jnp.float32
    np.testing.assert_array_equal(grid[1, 2], (2, 1))


def test_resizing_maps_edges_to_edges():
    corners = np.array([(-0.5, -0.5), (39.5, 29.5)])
    got = coordinates.resize_points(corners, (30, 40), (60, 10))
    np.testing.assert_allclose(got, [(-0.5, -0.5), (9.5, 59.5)], atol=1e-5)
    centre = coordinates.resize_points(jnp.array([19.5, 14.5]), (30, 40), (60, 10))
    np.testing.assert_allclose(centre, (4.5, 29.5), atol=1e-5)


def test_resized_points_follow_resized_pictures():
    picture = jnp.zeros((12, 16)).at[3, 6].set(1.0)
    big = scale_and_translate(
        picture, (48, 32), (0, 1), jnp.array([4.0, 2.0]), jnp.zeros(2), 'linear'
    )
    y, x = np.mgrid[:48, :32]
    seen = [(big * axis).sum() / big.sum() for axis in (x, y)]
    want = coordinates.resize_points(jnp.array([6.0, 3.0]), (12, 16), (48, 32))
    np.testing.assert_allclose(seen, want, atol=1e-4)


def test_cells_by_hand():
    np.testing.assert_allclose(
        coordinates.cell_to_pixel(np.array([0, 1]), 4), [1.5, 5.5]
    )
    assert coordinates.cell_to_pixel(3, 1) == 3


def test_unit_frame_by_hand():
    xy = jnp.array([(-0.5, -0.5), (1.5, 4.5), (3.5, 9.5)])
    np.testing.assert_allclose(
        coordinates.to_unit(xy, (10, 4)), [(-1, -1), (0, 0), (1, 1)], atol=1e-6
    )


def test_the_reference_identity_grid_is_no_identity():
    """linspace(-1, 1, 4) under align_corners=False: reference section 7."""
    unit = jnp.stack([jnp.linspace(-1, 1, 4)] * 2, axis=-1)
    got = coordinates.from_unit(unit, (4, 4))[:, 0]
    np.testing.assert_allclose(got, [-0.5, 0.8333333, 2.1666667, 3.5], atol=1e-6)


def test_round_trips(rng):
    xy = jnp.asarray(rng.uniform(-5, 200, (20, 2)), jnp.float32)
    ways = [
        (
            coordinates.to_unit(xy, (90, 130)),
            lambda p: coordinates.from_unit(p, (90, 130)),
        ),
        (coordinates.pixel_to_cell(xy, 8), lambda p: coordinates.cell_to_pixel(p, 8)),
        (
            coordinates.resize_points(xy, (90, 130), (35, 64)),
            lambda p: coordinates.resize_points(p, (35, 64), (90, 130)),
        ),
    ]
    for there, back in ways:
        assert jnp.abs(there - xy).max() > 1
        np.testing.assert_allclose(back(there), xy, atol=1e-4)
