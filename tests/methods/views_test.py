import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods import views
from kpdiscovery.methods.views import Views
from kpdiscovery.ops import heatmaps

STILL = {'scale': 1.0, 'scale_jitter': 0.0, 'bend': 0.0, 'offset': 0.0, 'rotation': 0.0}
SMOOTH = Views(0.95, 0.02, 0.02, 0.05, 0.1, pad='reflect')
KEYS = jax.random.split(jax.random.key(0), 3)

pair = jax.jit(lambda own, keys, images: own.pair(keys, images), static_argnums=0)
follow = jax.jit(views.follow)


@pytest.fixture(scope='module')
def images():
    """Smooth pictures, so that interpolating twice costs little."""
    y, x = np.mgrid[:40, :30] / 6
    waves = [
        np.stack([np.sin(x + i), np.cos(y - i), np.sin(x + y)], -1) for i in range(3)
    ]
    return (0.5 + 0.4 * np.stack(waves)).astype(np.float32)


def test_both_views_have_the_shape_of_the_picture(images):
    got = pair(SMOOTH, KEYS, images)
    assert got.first.shape == got.second.shape == images.shape
    assert jnp.abs(got.first - images).max() > 0.01
    assert jnp.abs(got.second - got.first).max() > 0.01


def test_views_are_a_function_of_the_key_of_each_example(images):
    whole = pair(SMOOTH, KEYS, images)
    alone = pair(SMOOTH, KEYS[1:2], images[1:2])
    np.testing.assert_allclose(alone.second[0], whole.second[1], atol=1e-5)
    same = np.stack([images[0]] * 3)
    assert jnp.abs(jnp.diff(pair(SMOOTH, KEYS, same).second, axis=0)).max() > 0.01


def test_the_second_view_is_the_first_seen_through_the_warp(images):
    got = pair(SMOOTH, KEYS, images)
    moved, valid = follow(got.warp, got.first)
    assert 0.5 < valid.mean() < 1
    inner = np.zeros(images.shape[1:3], bool)
    inner[1:-1, 1:-1] = True
    counted = np.asarray(valid) & inner
    np.testing.assert_allclose(moved[counted], got.second[counted], atol=0.02)
    assert jnp.abs(got.first - got.second)[counted].max() > 0.1


def test_a_still_warp_changes_nothing(images):
    got = pair(Views(**STILL), KEYS, images)
    np.testing.assert_allclose(got.second, got.first, atol=1e-4)
    moved, valid = follow(got.warp, got.first)
    np.testing.assert_allclose(moved, got.first, atol=1e-4)
    assert valid.mean() > 0.99


def test_points_of_the_second_view_lie_in_the_first_where_the_warp_says(images):
    """Read there, the first view has the colours that the second has at the points."""
    got = pair(SMOOTH, KEYS, images)
    x, y = np.meshgrid(np.arange(8.0, 24, 4), np.arange(10.0, 30, 4))
    xy = jnp.asarray(np.stack([np.stack([x.ravel(), y.ravel()], -1)] * 3), jnp.float32)
    there = views.to_first(got.warp, xy)
    assert jnp.abs(there - xy).max() > 1
    want = heatmaps.sample_bilinear(got.second, xy)
    np.testing.assert_allclose(
        heatmaps.sample_bilinear(got.first, there), want, atol=0.02
    )


def test_a_warp_of_resized_views(images):
    """Views at half the size: half a pixel of the whole is a quarter of one there."""
    got = pair(SMOOTH, KEYS, images)
    small = views.resized(got.warp, (40, 30), (20, 15))
    xy = jnp.asarray([[[8.0, 10], [20, 30], [14.5, 21]]] * 3)
    want = (views.to_first(got.warp, xy) + 0.5) / 2 - 0.5
    there = views.to_first(small, (xy + 0.5) / 2 - 0.5)
    np.testing.assert_allclose(there, want, atol=1e-4)


def test_what_enters_at_the_border_is_the_padding():
    """Shrunk towards the centre, a grey picture shows a white or a grey border."""
    grey = np.full((1, 20, 20, 3), 0.5, np.float32)
    smaller = {**STILL, 'scale': 1.3}
    white = pair(Views(**smaller, pad='constant', fill=1.0), KEYS[:1], grey).second
    assert white[0, 0, 10].max() > 0.95
    np.testing.assert_allclose(white[0, 10, 10], 0.5, atol=1e-4)
    mirrored = pair(Views(**smaller, pad='reflect'), KEYS[:1], grey).second
    np.testing.assert_allclose(mirrored, 0.5, atol=1e-4)


def test_maps_are_mirrored_and_marked_where_they_come_from_outside():
    grey = np.full((1, 20, 20, 3), 0.5, np.float32)
    warp = pair(Views(**{**STILL, 'scale': 1.3}), KEYS[:1], grey).warp
    maps = np.broadcast_to(np.arange(20.0), (1, 20, 20))[..., None].astype(np.float32)
    moved, valid = follow(warp, maps)
    assert not valid[0, 10, 0]
    assert valid[0, 10, 5:15].all()
    middle = moved[0, 10, :, 0]
    assert middle[0] > 0.5  # Mirrored, where clamping would read 0.
    assert (jnp.diff(middle[5:15]) > 1.1).all()


def test_pictures_are_padded_by_a_fifth():
    assert views.padding(35) == 7
    assert views.padding(112) == 22


def test_unknown_padding_is_named(images):
    with pytest.raises(ValueError, match="'constant' or 'reflect', got 'wrap'"):
        Views(pad='wrap').pair(KEYS, images)


def test_gradients_through_followed_maps_are_finite(images):
    warp = pair(SMOOTH, KEYS, images).warp
    grad = jax.jit(jax.grad(lambda maps: (follow(warp, maps)[0] ** 2).sum()))(images)
    assert jnp.isfinite(grad).all()
    assert jnp.abs(grad).max() > 0


def test_both_views_are_shifted_and_zoomed_alike():
    """A spot is where the picture's own place says, and the warp between views holds."""
    image = np.zeros((1, 40, 60, 3), np.float32)
    image[:, 14:19, 30:35] = 1
    spots = []
    keys = jax.random.split(jax.random.key(1), 40)
    for key in keys:
        got = pair(Views(**STILL, shift=0.2, zoom=0.3), key[None], image)
        np.testing.assert_allclose(got.first, got.second, atol=1e-3)
        mass = np.asarray(got.first[0, ..., 0])
        y, x = np.mgrid[:40, :60]
        spots.append([(mass * x).sum() / mass.sum(), (mass * y).sum() / mass.sum(),
                      mass.sum()])  # fmt: skip
    x, y, area = np.array(spots).T
    assert 8 < np.ptp(x) <= 2 * 1.3 * 12 + 2 and 6 < np.ptp(y) <= 2 * 1.3 * 8 + 4
    assert 25 / 1.3**2 * 0.8 < area.min() < 22 and 28 < area.max() < 25 * 1.3**2 * 1.2


def test_the_warp_between_shifted_views_is_theirs(images):
    own = Views(0.95, 0.02, 0.02, 0.05, 0.1, pad='reflect', shift=0.1, zoom=0.2)
    got = pair(own, KEYS, images)
    moved, valid = follow(got.warp, got.first)
    inner = np.zeros(images.shape[1:3], bool)
    inner[1:-1, 1:-1] = True
    counted = np.asarray(valid) & inner
    np.testing.assert_allclose(moved[counted], got.second[counted], atol=0.03)
    assert np.abs(got.first - pair(SMOOTH, KEYS, images).first).max() > 0.1
