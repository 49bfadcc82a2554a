"""LabelledViews: points follow pictures, mirrored points change their label."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods.self_training.augmentation import Augmentation
from kpdiscovery.methods.self_training.correspond import labelled_view

STILL = Augmentation(
    scale_low=1, scale_high=1, translation=0, rotation=0, flip=0.0, contrast_low=1,
    contrast_high=1, brightness_low=1, brightness_high=1, noise=0, blur=0, color=0,
)  # fmt: skip
GEOMETRY = dataclasses.replace(
    STILL, scale_low=0.8, scale_high=1.2, translation=0.05, rotation=40.0, flip=0.5
)


def spots(xy, size=(40, 48)):
    """One soft spot a point, each in its own channel."""
    y, x = np.mgrid[: size[0], : size[1]]
    squares = (x[..., None] - xy[:, 0]) ** 2 + (y[..., None] - xy[:, 1]) ** 2
    return np.exp(-squares / 8).astype(np.float32)


def centres(image):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    mass = image.sum((0, 1))
    return np.stack([(x[..., None] * image).sum((0, 1)) / mass,
                     (y[..., None] * image).sum((0, 1)) / mass], axis=-1)  # fmt: skip


@pytest.mark.parametrize('seed', range(8))
def test_points_follow_the_picture(seed):
    xy = np.float32([[20, 16], [28, 22], [22, 26]])
    view = GEOMETRY.view(
        jax.random.key(seed), jnp.asarray(spots(xy)), xy, jnp.asarray(seed % 2 == 1)
    )
    np.testing.assert_allclose(view.xy, centres(np.asarray(view.image)), atol=0.15)


def test_no_change_is_the_picture(rng):
    image = rng.uniform(size=(16, 20, 3)).astype(np.float32)
    xy = np.float32([[3, 4]])
    view = STILL.view(jax.random.key(0), image, xy, False)
    np.testing.assert_allclose(view.image, image, atol=1e-5)
    np.testing.assert_allclose(view.xy, xy, atol=1e-4)


def test_mirrored_views_are_the_mirrored_picture(rng):
    image = rng.uniform(size=(16, 16, 3)).astype(np.float32)
    view = STILL.view(jax.random.key(0), image, np.float32([[3, 4]]), True)
    np.testing.assert_allclose(view.image, image[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(view.xy, [[12, 4]], atol=1e-4)


def test_mirrored_points_take_their_mirror_label(rng):
    image = rng.uniform(size=(16, 16, 3)).astype(np.float32)
    cells, label = np.float32([[0.25, 1], [3, 3]]), np.int32([5, 6])
    _, seen, got = labelled_view(
        STILL, jax.random.key(0), image, cells, label, np.int32([7, -1]), True
    )
    np.testing.assert_array_equal(got, [7, -1])
    np.testing.assert_allclose(seen, [[2.75, 1], [0, 3]], atol=1e-5)


def test_points_that_leave_the_view_lose_their_label(rng):
    image = rng.uniform(size=(16, 16, 3)).astype(np.float32)
    near = dataclasses.replace(STILL, scale_low=2.0, scale_high=2.0)
    cells, label = np.float32([[0, 0], [1, 2]]), np.int32([5, 6])
    _, _, got = labelled_view(
        near, jax.random.key(0), image, cells, label, label, False
    )
    np.testing.assert_array_equal(got, [-1, 6])


def test_photography_stays_in_range_and_differs(rng):
    image = rng.uniform(size=(16, 16, 3)).astype(np.float32)
    bold = dataclasses.replace(
        Augmentation(), color_probability=1.0, blur_probability=1.0, cutout=0.3,
        cutout_probability=1.0,
    )  # fmt: skip
    view = lambda key: bold.view(key, image, jnp.zeros((1, 2)), False).image
    images = jax.vmap(view)(jax.random.split(jax.random.key(0), 6))
    assert images.min() >= 0 and images.max() <= 1
    assert np.ptp(np.asarray(images), axis=0).mean() > 0.05
    black = (np.asarray(images) == 0).all(-1).mean((1, 2))
    assert (black >= 0.8 * 0.3**2).all()  # A square wholly inside.


def test_gray_stays_gray_under_any_tint():
    gray = np.full((8, 8, 3), 0.5, np.float32)
    tint = dataclasses.replace(STILL, color=0.5, color_probability=1.0)
    view = tint.view(jax.random.key(3), gray, jnp.zeros((1, 2)), False)
    np.testing.assert_allclose(view.image, gray, atol=1e-5)


@pytest.mark.parametrize('options, message', [
    ({'blur': 2.0}, r'blur must be in 0..0.7 pixels, got 2.0'),
    ({'scale_low': 0.0}, r'0 < scale_low <= scale_high wanted, got 0.0 and 1.2'),
    ({'scale_low': 1.3}, r'0 < scale_low <= scale_high wanted, got 1.3 and 1.2'),
])  # fmt: skip
def test_views_that_cannot_be_made(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)
