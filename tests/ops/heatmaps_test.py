import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import ndimage

from kpdiscovery.ops import heatmaps

WINDOW_3 = {'window': 3, 'temperature': 0.2}
PEAK = np.zeros((5, 5), np.float32)
PEAK[2, 2], PEAK[2, 3] = 1, 0.8
THREE = PEAK.copy()
THREE[3, 2] = 0.6
MIDDLE = np.array([(2.0, 2.0)], np.float32)

bilinear = jax.jit(heatmaps.sample_bilinear)
refine = jax.jit(heatmaps.local_soft_argmax, static_argnames=('window', 'temperature'))
suppress = jax.jit(heatmaps.non_maximum_suppression, static_argnames='window')
top_k = jax.jit(heatmaps.top_k_keypoints, static_argnames=('k', 'window', 'threshold'))
splat_options = {'static_argnames': ('shape', 'variance')}
splats = jax.jit(heatmaps.gaussian_splats, **splat_options)
gaussians = jax.jit(heatmaps.gaussian_heatmaps, static_argnames=('shape', 'sigma'))


# Local soft-argmax.


def test_soft_argmax_offsets_of_the_reference():
    np.testing.assert_allclose(
        refine(PEAK, MIDDLE, **WINDOW_3) - MIDDLE, [(0.2552155, 0)], atol=1e-6
    )
    np.testing.assert_allclose(
        refine(THREE, MIDDLE, **WINDOW_3) - MIDDLE, [(0.2339541, 0.0833077)], atol=1e-6
    )


def test_confidence_of_the_reference():
    at = refine(THREE, MIDDLE, **WINDOW_3)
    got = bilinear(THREE[..., None], at)
    np.testing.assert_allclose(got, [[0.9120900]], atol=1e-6)


def test_borders_draw_points_outwards_and_inwards_as_in_the_reference():
    flat = np.full((5, 7), 0.5, np.float32)
    corners = np.array([(0, 0), (6, 4), (3, 2)], np.float32)
    got = refine(flat, corners, **WINDOW_3) - corners
    bias = 0.4162479
    np.testing.assert_allclose(got, [(bias, bias), (-bias, -bias), (0, 0)], atol=1e-6)


def test_refinement_agrees_with_a_loop_in_numpy(rng):
    scores = rng.random((2, 9, 11)).astype(np.float32)
    xy = rng.integers(0, (11, 9), (2, 4, 2)).astype(np.float32)
    padded = np.pad(scores.astype(np.float64), [(0, 0), (2, 2), (2, 2)])
    dy, dx = np.mgrid[-2:3, -2:3]
    got = refine(scores, xy, window=5, temperature=0.3)
    for b, k in np.ndindex(2, 4):
        x, y = xy[b, k].astype(int)
        weight = np.exp(padded[b, y : y + 5, x : x + 5] / 0.3)
        offset = [(weight * d).sum() / weight.sum() for d in (dx, dy)]
        np.testing.assert_allclose(got[b, k], xy[b, k] + offset, atol=1e-5)


def test_refinement_is_differentiable(rng):
    with jax.enable_x64(True):
        check_grads(
            lambda s: heatmaps.local_soft_argmax(s, jnp.asarray(MIDDLE), **WINDOW_3),
            (jnp.asarray(rng.random((5, 5))),),
            order=1,
            modes=['rev'],
            atol=1e-3,  # Computed in float32, whatever comes in.
            rtol=1e-3,
            eps=1e-2,
        )


# Soft-argmax over the whole map.


def test_soft_argmax_is_the_centre_of_mass(rng):
    logits = rng.normal(size=(2, 6, 8, 3)).astype(np.float32)
    got = heatmaps.soft_argmax(logits, temperature=0.5)
    mass = np.exp(logits.astype(np.float64) / 0.5)
    for b, k in np.ndindex(2, 3):
        y, x = ndimage.center_of_mass(mass[b, :, :, k])
        np.testing.assert_allclose(got[b, k], (x, y), atol=1e-5)


def test_soft_argmax_follows_shifts_and_ignores_offsets():
    logits = np.zeros((8, 9, 1), np.float32)
    logits[2, 3], logits[2, 4] = 60, 60
    want = np.array([[3.5, 2]])
    np.testing.assert_allclose(heatmaps.soft_argmax(logits), want, atol=1e-5)
    np.testing.assert_allclose(heatmaps.soft_argmax(logits + 500), want, atol=1e-4)
    moved = np.roll(logits, (3, -2), axis=(0, 1))
    np.testing.assert_allclose(heatmaps.soft_argmax(moved), want + (-2, 3), atol=1e-5)


# Suppression and top k.


def test_only_peaks_survive_suppression():
    scores = np.array([[1, 2, 0, 0, 5], [0, 0, 0, 4, 0], [3, 0, 0, 0, 0]], np.float32)
    want = [[0, 2, 0, 0, 5], [0, 0, 0, 0, 0], [3, 0, 0, 0, 0]]
    np.testing.assert_array_equal(suppress(scores, window=3), want)
    want = [[0, 0, 0, 0, 5], [0, 0, 0, 0, 0], [3, 0, 0, 0, 0]]
    np.testing.assert_array_equal(suppress(scores, window=5), want)
    np.testing.assert_array_equal(suppress(scores, window=1), scores)


def test_plateaus_are_kept_whole():
    scores = np.array([[0, 2, 2, 0, 1, 1]], np.float32)
    want = [[0, 2, 2, 0, 1, 1]]
    np.testing.assert_array_equal(suppress(scores, window=3), want)
    np.testing.assert_array_equal(suppress(scores, window=5), [[0, 2, 2, 0, 0, 1]])


def test_suppression_agrees_with_scipy(rng):
    scores = rng.random((3, 14, 9)).astype(np.float32)
    highest = ndimage.maximum_filter(scores, (1, 7, 7), mode='constant', cval=-1)
    want = np.where(scores == highest, scores, 0)
    np.testing.assert_array_equal(suppress(scores, window=7), want)


def test_scores_below_zero_at_the_border_still_have_peaks():
    np.testing.assert_array_equal(
        suppress(np.array([[-3.0, -1.0, -2.0]]), window=3), [[0, -1, 0]]
    )


def test_top_k_orders_by_score():
    scores = np.zeros((2, 6, 7), np.float32)
    scores[0, 1, 2], scores[0, 4, 5], scores[0, 4, 4] = 0.3, 0.9, 0.8
    scores[1, 5, 0] = 0.5
    points = top_k(scores, 2, window=3)
    np.testing.assert_array_equal(points.xy[0], [(5, 4), (2, 1)])
    np.testing.assert_allclose(points.score, [(0.9, 0.3), (0.5, 0)])
    np.testing.assert_array_equal(points.valid, [(True, True), (True, False)])
    np.testing.assert_array_equal(points.label, -1)
    np.testing.assert_array_equal(points.xy[1, 0], (0, 5))


def test_threshold_is_exclusive():
    scores = np.array([[0.5, 0, 0.25, 0, 0.75]], np.float32)
    points = top_k(scores, 3, window=1, threshold=0.5)
    np.testing.assert_array_equal(points.valid, [True, False, False])


def test_k_may_fill_the_map_but_not_exceed_it():
    assert top_k(np.ones((2, 3), np.float32), 6, window=3).xy.shape == (6, 2)
    with pytest.raises(ValueError, match='at most H \\* W = 6 for a 2x3 map, got 7'):
        heatmaps.top_k_keypoints(jnp.ones((2, 3)), 7, window=3)


# Bilinear sampling.


def test_sampling_agrees_with_scipy(rng):
    features = rng.normal(size=(6, 9, 3)).astype(np.float32)
    xy = rng.uniform((-3, -3), (12, 9), (50, 2)).astype(np.float32)
    got = bilinear(features, xy)
    for c in range(3):
        want = ndimage.map_coordinates(
            features[..., c], xy.T[::-1], order=1, mode='nearest'
        )
        np.testing.assert_allclose(got[:, c], want, atol=1e-5)


def test_bicubic_reading():
    """In the middle of four pixels -3/32, 19/32, 19/32, -3/32 of each; borders repeat."""
    column = np.zeros((5, 6, 2), np.float32)
    column[:, 3] = 32, 64
    xy = np.array([[1.5, 2.0], [2.5, 2.0], [3.0, 4.0], [9.0, 1.0]], np.float32)
    read = jax.jit(heatmaps.sample_bicubic)
    want = np.array([-3, 19, 32, 0], np.float32)
    np.testing.assert_allclose(read(column, xy), want[:, None] * [1, 2], atol=1e-5)
    turned = read(column.swapaxes(0, 1), xy[:, ::-1])
    np.testing.assert_allclose(turned, want[:, None] * [1, 2], atol=1e-5)


def test_whole_pixels_are_read_as_they_are(rng):
    features = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    y, x = np.mgrid[:5, :4]
    grid = np.stack([x.ravel(), y.ravel()], -1).astype(np.float32)
    got = bilinear(features, np.stack([grid, grid]))
    np.testing.assert_array_equal(got, features.reshape(2, 20, 3))
    read = heatmaps.read_pixels(features, np.array([[3], [0]]), np.array([[4], [1]]))
    np.testing.assert_array_equal(read[:, 0], [features[0, 4, 3], features[1, 1, 0]])


def test_gradients_of_sampling_are_right(rng):
    with jax.enable_x64(True):
        features = jnp.asarray(rng.normal(size=(5, 6, 2)))
        xy = jnp.array([(1.3, 2.7), (4.6, 0.2), (3.5, 3.9)])
        check_grads(bilinear, (features, xy), order=1, modes=['rev'])


def test_gradients_are_finite_beyond_the_border():
    total = lambda f, xy: (bilinear(f, xy) ** 2).sum()
    xy = jnp.array([(-4.0, 2), (0, 0), (9, 9)])
    grads = jax.grad(total, argnums=(0, 1))(jnp.ones((4, 4, 1)), xy)
    assert all(jnp.isfinite(g).all() for g in grads)


# Gaussians.


@pytest.mark.parametrize(
    'x, want',
    [
        (2, [0, 4.5e-5, 0.999909, 4.5e-5, 0]),
        (2.25, [0, 0, 0.993307, 0.006693, 0]),
        (2.5, [0, 0, 0.5, 0.5, 0]),
    ],
)
def test_splat_factors_of_the_reference(x, want):
    rows, columns = splats(np.array([(x, 2.0)]), (5, 5), variance=0.05)
    np.testing.assert_allclose(columns[0], want, atol=1e-6)
    np.testing.assert_allclose(rows[0, 2], 0.999909, atol=1e-6)


def test_splat_weight_of_the_reference():
    rows, columns = splats(np.array([(2.25, 2.0)]), (5, 5), variance=0.05)
    np.testing.assert_allclose(rows[0, 2] * columns[0, 2], 0.9932167, atol=1e-6)


def test_splats_sum_to_one_even_far_outside():
    xy = np.array([[(0.3, 3.2), (-7, 90)]], np.float32)
    for factor, n in zip(splats(xy, (4, 9), variance=0.05), (4, 9), strict=True):
        assert factor.shape == (1, 2, n)
        np.testing.assert_allclose(factor.sum(-1), 1, rtol=1e-5)


def test_splats_agree_with_normalised_maps(rng):
    xy = rng.uniform(0, 6, (3, 2))
    rows, columns = splats(xy, (6, 7), variance=0.7)
    y, x = np.mgrid[:6, :7]
    for k in range(3):
        dense = np.exp(-((x - xy[k, 0]) ** 2 + (y - xy[k, 1]) ** 2) / 1.4)
        got = np.outer(rows[k], columns[k])
        np.testing.assert_allclose(got, dense / dense.sum(), atol=1e-6)


def test_gaussian_heatmaps_by_formula(rng):
    xy = rng.uniform(0, 6, (2, 3, 2)).astype(np.float32)
    got = gaussians(xy, (6, 8), sigma=1.5)
    y, x = np.mgrid[:6, :8]
    for b, k in np.ndindex(2, 3):
        squares = (x - xy[b, k, 0]) ** 2 + (y - xy[b, k, 1]) ** 2
        np.testing.assert_allclose(got[b, :, :, k], np.exp(-squares / 4.5), atol=1e-5)


# Everything.


def test_windows_must_be_odd():
    for window in (0, 2, -1):
        with pytest.raises(ValueError, match=f'odd and positive, got {window}'):
            heatmaps.non_maximum_suppression(jnp.ones((3, 3)), window=window)
        with pytest.raises(ValueError, match=f'odd and positive, got {window}'):
            heatmaps.local_soft_argmax(
                jnp.ones((3, 3)), jnp.ones((1, 2)), window=window, temperature=1.0
            )


def test_soft_argmax_wants_three_axes():
    with pytest.raises(ValueError, match=r'\[..., H, W, K\], got \(3, 3\)'):
        heatmaps.soft_argmax(jnp.ones((3, 3)))


def _pipeline(scores):
    peaks = heatmaps.top_k_keypoints(scores, 3, window=3).xy
    xy = heatmaps.local_soft_argmax(scores, peaks, **WINDOW_3)
    rows, columns = heatmaps.gaussian_splats(xy, (7, 8), variance=0.5)
    return xy, heatmaps.sample_bilinear(scores[..., None], xy), rows, columns


def test_plain_jit_and_vmap_agree(rng):
    scores = jnp.asarray(rng.random((4, 7, 8)), jnp.float32)
    plain = _pipeline(scores)
    for other in (jax.jit(_pipeline), jax.jit(jax.vmap(_pipeline))):
        for got, want in zip(other(scores), plain, strict=True):
            np.testing.assert_allclose(got, want, atol=1e-5)


def test_gradients_of_a_constant_map_are_finite():
    def total(scores):
        return sum((leaf**2).sum() for leaf in _pipeline(scores))

    grad = jax.jit(jax.grad(total))(jnp.full((1, 7, 8), 0.5))
    assert jnp.isfinite(grad).all()
    assert jnp.abs(grad).max() > 0


def test_half_precision_scores_give_float32_points():
    scores = jnp.asarray(PEAK, jnp.bfloat16)
    assert heatmaps.soft_argmax(scores[..., None]).dtype == jnp.float32
    got = refine(scores, MIDDLE, **WINDOW_3)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got - MIDDLE, [(0.2552155, 0)], atol=2e-3)
