import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods.tusk import network
from kpdiscovery.methods.tusk.network import SoftKeypoints

PEAK = np.zeros((1, 5, 5), np.float32)
PEAK[0, 2, 2], PEAK[0, 2, 3] = 1, 0.8
TINY = network.Encoder(channels=4, width=4, levels=1, groups=2)

describe = jax.jit(network.describe, static_argnames='sampling')


@pytest.fixture(scope='module')
def detections():
    """Two pictures, three points each."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 6, (2, 3, 2)).astype(np.float32)
    unit = rng.normal(size=(2, 3, 4)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    return SoftKeypoints(xy, rng.uniform(0.2, 1, (2, 3)).astype(np.float32), unit)


def test_logits_are_standardised_over_each_picture():
    rng = np.random.default_rng(0)
    images = rng.random((2, 8, 8, 3), dtype=np.float32) * np.array([1, 9]).reshape(
        2, 1, 1, 1
    )
    variables = jax.jit(TINY.init)(jax.random.key(0), images)
    features, logits = jax.jit(TINY.apply)(variables, images)
    assert features.shape == (2, 8, 8, 4)
    np.testing.assert_allclose(logits.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(logits.std((1, 2)), 1, rtol=0.05)


def test_pits_of_score_maps_become_peaks_where_asked():
    images = np.random.default_rng(0).random((4, 8, 8, 3), dtype=np.float32)
    variables = jax.jit(TINY.init)(jax.random.key(0), images)
    upside_down = jax.tree.map(lambda x: x, variables)
    score = upside_down['params']['score']['conv']
    score |= {name: -value for name, value in score.items()}
    plain = [TINY.apply(v, images)[1] for v in (variables, upside_down)]
    np.testing.assert_allclose(plain[0], -plain[1], atol=1e-5)
    assert len({bool(sign) for sign in (plain[0] ** 3).mean((1, 2)) > 0}) == 2
    upright = TINY.clone(upright=True)
    one, two = (upright.apply(v, images)[1] for v in (variables, upside_down))
    np.testing.assert_allclose(one, two, atol=1e-5)
    np.testing.assert_allclose(np.abs(one), np.abs(plain[0]), atol=1e-5)
    assert ((one**3).mean((1, 2)) > 0).all()


def test_a_learnt_scale_does_not_bring_pits_back():
    images = np.random.default_rng(0).random((4, 8, 8, 3), dtype=np.float32)
    variables = jax.jit(TINY.init)(jax.random.key(0), images)
    norm = variables['params']['standardize']
    norm |= {'scale': -2 * norm['scale'], 'bias': norm['bias'] + 0.3}
    logits = TINY.clone(upright=True).apply(variables, images)[1]
    np.testing.assert_allclose(logits.mean((1, 2)), 0.3, atol=1e-5)
    assert (((logits - 0.3) ** 3).mean((1, 2)) > 0).all()


def test_a_single_pit_is_a_peak():
    logits = np.full((2, 5, 5, 1), 3.0, np.float32)
    logits[:, 1, 2, 0] = -1, 7
    found = network.upright(logits)
    assert [int(one.argmax()) for one in found] == [7, 7]
    np.testing.assert_allclose(found[1], logits[1])
    level = np.full((1, 5, 5, 1), 3.0, np.float32)
    np.testing.assert_allclose(network.upright(level), level)


def test_features_are_standardised_where_asked():
    images = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32)
    variables = jax.jit(TINY.init)(jax.random.key(0), images)
    features, _ = TINY.apply(variables, images)
    normalized, _ = TINY.clone(normalize_features='channel').apply(variables, images)
    want = (features - features.mean((1, 2), keepdims=True)) / jnp.sqrt(
        features.var((1, 2), keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(normalized, want, atol=1e-4)
    scaled, _ = TINY.clone(normalize_features='picture').apply(variables, images)
    square = (features**2).mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(scaled, features / jnp.sqrt(square + 1e-5), atol=1e-4)


def test_located_points_are_peaks_refined_best_first():
    scores = np.zeros((1, 9, 9), np.float32)
    scores[0, 2, 2], scores[0, 2, 3], scores[0, 6, 7] = 1, 0.8, 0.9
    xy, peak = network.locate(scores, 2, window=3, temperature=0.2)
    assert peak.all()
    np.testing.assert_allclose(xy[0, 0], (2.2552155, 2), atol=1e-6)
    np.testing.assert_allclose(xy[0, 1], (7, 6), atol=1e-6)


def test_a_map_of_few_peaks_says_which_points_are_none():
    ramp = np.arange(1.0, 26).reshape(1, 5, 5).astype(np.float32) / 25
    _, peak = network.locate(ramp, 3, window=3, temperature=0.2)
    np.testing.assert_array_equal(peak, [[True, False, False]])


def test_a_bonus_chooses_but_does_not_move():
    scores = PEAK * 0.5
    bonus = np.zeros_like(scores)
    bonus[0, 0, 0] = 2
    xy, _ = network.locate(scores, 1, window=3, temperature=0.2, bonus=bonus)
    flat, _ = network.locate(0 * scores, 1, window=3, temperature=0.2)
    np.testing.assert_allclose(xy, flat, atol=1e-6)  # Corner, refined on zero scores.


def test_confidence_of_the_released_code_is_zero_at_a_whole_row():
    """Reference section 7: x = 2.2552155, y = 2: floor and ceil of y are the same."""
    features = np.ones((1, 5, 5, 2), np.float32)
    xy = np.array([[(2.2552155, 2.0)]], np.float32)
    assert describe(PEAK, features, xy, sampling='floor').confidence == 0
    got = describe(PEAK, features, xy, sampling='bilinear').confidence
    np.testing.assert_allclose(got, 1 - 0.2 * 0.2552155, rtol=1e-5)


def test_confidence_of_the_released_code_is_bilinear_elsewhere(rng):
    scores = rng.random((2, 6, 9), dtype=np.float32)
    xy = rng.uniform((0, 0), (8, 5), (2, 10, 2)).astype(np.float32)
    features = np.ones((2, 6, 9, 1), np.float32)
    floor, plain = (describe(scores, features, xy, sampling=s).confidence
                    for s in ('floor', 'bilinear'))  # fmt: skip
    np.testing.assert_allclose(floor, plain, atol=1e-5)


@pytest.mark.parametrize('sampling, want', [('floor', 1.0), ('bilinear', 1.75)])
def test_descriptors_are_read_truncated_or_between_pixels(sampling, want):
    """Channels (x, 1), so the ratio of the two tells where they were read."""
    features = np.stack(
        np.broadcast_arrays(np.arange(5.0), 1, np.zeros((5, 5)))[:2], -1
    )
    xy = np.array([[(1.75, 3.9)]], np.float32)
    got = describe(PEAK, features[None].astype(np.float32), xy, sampling=sampling)
    unit = network.on_sphere(got).descriptors[0, 0]
    np.testing.assert_allclose(jnp.linalg.norm(unit), 1, rtol=1e-6)
    np.testing.assert_allclose(unit[0] / unit[1], want, rtol=1e-5)


@pytest.mark.parametrize('sampling', ['floor', 'bilinear'])
def test_no_gradient_reaches_the_place_through_the_descriptor(rng, sampling):
    features = rng.random((1, 5, 5, 3), dtype=np.float32)
    xy = jnp.array([[(1.3, 2.6)]])
    read = lambda xy: network.describe(PEAK, features, xy, sampling=sampling)
    through = lambda part: jax.grad(lambda xy: read(xy)._asdict()[part].sum())(xy)
    np.testing.assert_array_equal(through('descriptors'), 0)
    assert jnp.abs(through('confidence')).max() > 0


@pytest.mark.parametrize('sampling', ['floor', 'bilinear'])
def test_points_beyond_the_border_are_described(rng, sampling):
    features = rng.random((1, 4, 6, 3), dtype=np.float32)
    xy = np.array([[(-0.42, -0.42), (5.42, 3.42)]], np.float32)
    got = describe(
        rng.random((1, 4, 6), dtype=np.float32), features, xy, sampling=sampling
    )
    corners = features[0, [0, 3], [0, 5]]
    np.testing.assert_allclose(got.descriptors[0], corners, rtol=1e-5)


def dense(found, shape, variance):
    """`[B, K, H, W, D]`: each descriptor on its own normalised Gaussian."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    gap = (x - found.xy[..., 0, None, None]) ** 2 + (
        y - found.xy[..., 1, None, None]
    ) ** 2
    weight = np.exp(-gap / (2 * variance))
    weight /= weight.sum((-1, -2), keepdims=True)
    values = found.descriptors * found.confidence[..., None]
    return weight[..., None] * values[:, :, None, None]


def test_the_decoder_sees_the_sum_of_weighted_splats(detections):
    seen = []
    network.decode_sum(
        lambda x: seen.append(x) or x[..., :3],
        detections,
        (6, 8),
        variance=0.7,
        gain=3.0,
    )
    want = 3 * dense(detections, (6, 8), 0.7).sum(1)
    np.testing.assert_allclose(seen[0], want, atol=1e-5)


def test_layers_are_decoded_one_by_one(detections):
    colors, logits = network.decode_layers(
        lambda x: x, detections, (6, 8), variance=0.7
    )
    want = dense(detections, (6, 8), 0.7)
    np.testing.assert_allclose(colors, 1 / (1 + np.exp(-want[..., :3])), atol=1e-5)
    np.testing.assert_allclose(logits, want[..., 3], atol=1e-5)


def test_blending_by_hand():
    colors = np.zeros((1, 2, 1, 1, 3), np.float32)
    colors[0, 0, ..., 0], colors[0, 1, ..., 1] = 1, 0.5
    shares = np.array([0.25, 0.75], np.float32).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(network.blend(colors, shares)[0, 0, 0], (0.25, 0.375, 0))


def test_saliency_by_hand():
    """One white pixel in 16: mean 1/16; its squared gap is 15 times the average."""
    image = np.zeros((1, 4, 4, 3), np.float32)
    image[0, 1, 2] = 1
    want = np.zeros((4, 4))
    want[1, 2] = 1
    np.testing.assert_allclose(network.saliency(image)[0], want, atol=1e-6)
    np.testing.assert_array_equal(network.saliency(image * 0 + 0.3), 0)
