import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from kpdiscovery.ops import alignment
from kpdiscovery.ops.ransac import MODELS, _samples, ransac

KEY = jax.random.key(0)
STATIC = ('model', 'hypotheses', 'tolerance', 'minimum', 'refine')
run = jax.jit(ransac, static_argnames=STATIC)
SLOTS = 60
GRID = np.array(list(itertools.product(range(14), range(14))), np.float32)
TRUE = {
    'translation': np.array([[1, 0, 3], [0, 1, -2], [0, 0, 1]], float),
    'affine': np.array([[1.2, 0.3, -1], [-0.2, 0.9, 2], [0, 0, 1]]),
    'homography': np.array([[1.1, 0.2, -1], [-0.1, 0.9, 1], [0.02, -0.01, 1]]),
}


def find(key, source, target, valid=None, **options):
    """Few matches in 60 slots: compiled once for all. Unused slots hold no numbers."""
    free = SLOTS - len(source)
    valid = np.ones(len(source), bool) if valid is None else valid
    pad = lambda v: np.concatenate([v, np.full((free, 2), np.nan, np.float32)])
    valid = np.concatenate([valid, np.zeros(free, bool)])
    got = run(key, pad(source), pad(target), valid, **options)
    return got._replace(inliers=np.asarray(got.inliers)[: len(source)])


def project(matrix, xy):
    lifted = np.c_[xy, np.ones(len(xy))] @ np.asarray(matrix, float).T
    return lifted[:, :2] / lifted[:, 2:]


def scene(matrix, seed=0, n=SLOTS, share=0.4, noise=0.0):
    """Matches of which a share is wrong, and which are right: three slots are unused."""
    rng = np.random.default_rng(seed)
    source = GRID[rng.choice(len(GRID), n, replace=False)].astype(float)
    target = project(matrix, source) + noise * rng.normal(size=(n, 2))
    wrong = np.arange(n) < share * n
    off = rng.uniform(-5, 20, size=(n, 2))
    off += 3 * (np.linalg.norm(off - target, axis=1) < 2)[:, None]  # Wrong indeed.
    target[wrong] = off[wrong]
    right = ~wrong & (np.arange(n) >= 3)
    source[-3:], target[-3:] = np.nan, np.inf
    valid = np.arange(n) < n - 3
    return source.astype(np.float32), target.astype(np.float32), valid, right & valid


def apart(one, other):
    """Largest distance between where two matrices take the cells of a map."""
    return np.linalg.norm(project(one, GRID) - project(other, GRID), axis=1).max()


def test_the_vector_of_the_reference():
    """x' = 2x + 1, y' = 1.5y + 1, from three matches."""
    source = jnp.array([[0.0, 0], [2, 0], [0, 2]])
    got = find(KEY, source, jnp.array([[1.0, 1], [5, 1], [1, 4]]), minimum=3)
    want = [[2, 0, 1], [0, 1.5, 1], [0, 0, 1]]
    np.testing.assert_allclose(got.matrix, want, atol=1e-5)
    assert got.inliers.all() and MODELS[int(got.model)] == 'affine'


@pytest.mark.parametrize('model', ['translation', 'affine', 'homography'])
def test_known_maps_among_outliers(model):
    for seed in range(4):
        source, target, valid, right = scene(TRUE[model], seed)
        got = find(jax.random.key(seed), source, target, valid, model=model)
        assert apart(got.matrix, TRUE[model]) < 0.05
        assert MODELS[int(got.model)] == model
        assert got.inliers[right].all() and not got.inliers[~valid].any()
        assert int(got.inliers.sum()) <= right.sum() + 4  # By chance some agree.


@pytest.mark.parametrize('model', ['affine', 'homography'])
def test_a_freer_model_finds_a_translation_too(model):
    source, target, valid, _ = scene(TRUE['translation'])
    got = find(KEY, source, target, valid, model=model)
    assert apart(got.matrix, TRUE['translation']) < 0.05


@pytest.mark.parametrize('model', ['translation', 'affine', 'homography'])
def test_pixels_of_large_pictures(model):
    """Coordinates near a thousand, not centred, do not exhaust float32."""
    to_pixels = np.array([[90, 0, 45], [0, 90, 300], [0, 0, 1]])
    wanted = to_pixels @ TRUE[model] @ np.linalg.inv(to_pixels)
    source, target, valid, _ = (v[:-3] for v in scene(TRUE[model]))
    source, target = (
        project(to_pixels, v).astype(np.float32) for v in (source, target)
    )
    got = find(KEY, source, target, valid, model=model)
    moved, want = (project(m, project(to_pixels, GRID)) for m in (got.matrix, wanted))
    assert np.linalg.norm(moved - want, axis=1).max() < 0.5  # 0.006 cells.


@pytest.mark.parametrize(('model', 'kind'), [
    ('translation', 'EuclideanTransform'), ('affine', 'AffineTransform'),
    ('homography', 'ProjectiveTransform'),
])  # fmt: skip
def test_agrees_with_scikit_image(model, kind):
    """On noisy matches; its rigid map stands for the translation it does not have."""
    measure = pytest.importorskip('skimage.measure', reason='no scikit-image')
    transform = getattr(__import__('skimage.transform').transform, kind)
    for seed in range(3):
        source, target, valid, _ = scene(TRUE[model], seed, noise=0.1)
        pair = source[valid].astype(float), target[valid].astype(float)
        theirs, inliers = measure.ransac(
            pair, transform, min_samples=4 if model == 'homography' else 3,
            residual_threshold=1.0, max_trials=2000, rng=seed,
        )  # fmt: skip
        got = find(KEY, source, target, valid, model=model)
        assert apart(got.matrix, theirs.params) < 0.5  # Both are off by the noise.
        assert int(got.inliers.sum()) >= inliers.sum() - 1
        assert (np.asarray(got.inliers)[valid] == inliers).mean() > 0.95


def exhaustive(source, target, tolerance):
    """Affine maps of all triples in float64: the most inliers."""
    most = 0
    for triple in itertools.combinations(range(len(source)), 3):
        lifted = np.c_[source[list(triple)], np.ones(3)]
        if abs(np.linalg.det(lifted)) > 1e-3:
            matrix = np.linalg.solve(lifted, target[list(triple)]).T
            moved = np.c_[source, np.ones(len(source))] @ matrix.T
            agree = np.linalg.norm(moved - target, axis=1) <= tolerance
            most = max(most, agree.sum())
    return most


def test_as_many_inliers_as_all_triples_give():
    for seed in range(3):
        source, target, valid, _ = scene(TRUE['affine'], seed, n=20, noise=0.2)
        pair = source[valid].astype(float), target[valid].astype(float)
        got = find(KEY, source, target, valid, hypotheses=9000, refine=False)
        assert int(got.inliers.sum()) == exhaustive(*pair, 1.0)


def test_the_fit_to_matches_in_reach_is_weighted_least_squares():
    """By scipy, in float64, from the result: it stays there."""
    source, target, valid, right = scene(TRUE['affine'], noise=0.2)
    got = find(KEY, source, target, valid)
    assert got.inliers[right].mean() > 0.95
    x, y = source[valid].astype(float), target[valid].astype(float)
    apart = lambda m: project(np.r_[m, [0, 0, 1]].reshape(3, 3), x) - y
    squares = lambda m: np.minimum((apart(m) ** 2).sum(1), 1)
    cost = lambda m: (1 - (1 - squares(m)) ** 3).sum()  # Whose weights are Tukey's.
    start = np.asarray(got.matrix, float).ravel()[:6]
    best = minimize(cost, start, method='BFGS')
    np.testing.assert_allclose(start, best.x, atol=0.02)
    assert cost(start) < best.fun + 1e-3
    rough = find(KEY, source, target, valid, refine=False)
    assert cost(np.asarray(rough.matrix, float).ravel()[:6]) > best.fun + 0.1


def test_too_few_matches_fall_back():
    source, target, _, _ = scene(TRUE['translation'], share=0)
    two, one = np.arange(60) < 2, np.arange(60) == 4
    for model in ('affine', 'homography'):
        got = find(KEY, source, target, two, model=model)
        assert MODELS[int(got.model)] == 'translation' and int(got.inliers.sum()) == 2
        got = find(KEY, source, target, one, model=model)
        np.testing.assert_allclose(got.matrix, TRUE['translation'], atol=1e-5)
        none = find(KEY, source, target, np.zeros(60, bool), model=model)
        assert int(none.model) == 0 and not none.inliers.any()
        np.testing.assert_array_equal(none.matrix, np.eye(3))
    five = find(KEY, source, target, np.arange(60) < 5, minimum=6)
    assert MODELS[int(five.model)] == 'translation'
    source, target, _, _ = scene(TRUE['affine'], share=0)
    six = find(KEY, source, target, np.arange(60) < 6, minimum=6, model='homography')
    assert MODELS[int(six.model)] == 'affine'


def test_of_models_that_explain_as_much_the_simpler_one():
    """A freer one would take over by fitting the noise."""
    source = GRID[:20]
    for shift, name in ((0.0, 'none'), (3.0, 'translation')):
        noise = 0.2 * np.random.default_rng(0).normal(size=(20, 2))
        got = find(KEY, source, (source + shift + noise).astype(np.float32))
        assert MODELS[int(got.model)] == name


def squares(shift, kinds=4):
    """All matches among cells of a kind: squares of 3 x 3 cells that moved."""
    places = [(1, 1), (8, 2), (2, 9), (9, 9)][:kinds]
    side = list(itertools.product(range(3), range(3)))
    pairs = [
        ((x + a, y + b), (x + c + shift, y + d))
        for x, y in places for (a, b), (c, d) in itertools.product(side, side)
    ]  # fmt: skip
    source, target = np.moveaxis(np.asarray(pairs, np.float32), 1, 0)
    return source, target


@pytest.mark.parametrize('model', ['translation', 'affine', 'homography'])
def test_many_to_many_matches_do_not_shrink_the_picture(model):
    """Most pairs agree if all of a kind falls on one cell; counted once a cell not so."""
    source, target = squares(2.0)
    for seed in range(3):
        got = run(
            jax.random.key(seed),
            source,
            target,
            np.ones(len(source), bool),
            model=model,
        )
        assert apart(got.matrix, [[1, 0, 2], [0, 1, 0], [0, 0, 1]]) < 1.2


def test_a_reflection_or_a_collapse_is_no_transform():
    source = GRID[::7]
    for matrix in (np.diag([-1.0, 1, 1]), np.diag([0.1, 1, 1]), np.diag([4.0, 4, 1])):
        got = find(KEY, source, project(matrix, source).astype(np.float32))
        stretch = np.linalg.svd(np.asarray(got.matrix)[:2, :2], compute_uv=False)
        assert np.linalg.det(got.matrix) > 0
        assert stretch.min() > 1 / 3.01 and stretch.max() < 3.01


def test_points_on_a_line_or_in_one_place():
    line = jnp.stack([jnp.arange(9.0), 2 * jnp.arange(9.0)], axis=1)
    everywhere = jnp.asarray(GRID[::21][:9])
    for model, ends in itertools.product(
        ('affine', 'homography'),
        ((line, line + 1.0), (everywhere, jnp.ones((9, 2))), (jnp.ones((9, 2)), line)),
    ):
        got = find(KEY, *ends, model=model)
        assert np.isfinite(got.matrix).all()
        assert MODELS[int(got.model)] in ('none', 'translation')
    same = find(KEY, jnp.ones((9, 2)), jnp.full((9, 2), 3.0))
    np.testing.assert_allclose(same.matrix[:2, 2], 2, atol=1e-6)
    assert same.inliers.all()


def test_none_is_the_identity():
    source = GRID[:20]
    target = source + np.where(np.arange(20) < 5, 0.5, 2.0)[:, None].astype(np.float32)
    got = find(KEY, source, target, model='none')
    np.testing.assert_array_equal(got.matrix, np.eye(3))
    np.testing.assert_array_equal(got.inliers, np.arange(20) < 5)


def test_distances_of_just_the_tolerance_are_inliers():
    source = jnp.asarray(GRID[:8])
    target = source.at[0, 0].add(1.0)
    got = find(
        KEY, source, target, jnp.ones(8, bool), model='translation', refine=False
    )
    assert got.inliers.all()


def test_a_batch_of_pairs_and_a_key():
    scenes = [scene(TRUE['affine'], seed) for seed in range(3)]
    source, target, valid, _ = (np.stack(v) for v in zip(*scenes, strict=True))
    keys = jax.random.split(KEY, 3)
    many = jax.jit(jax.vmap(ransac))
    got = many(keys, source, target, valid)
    for i in range(3):
        one = find(keys[i], source[i], target[i], valid[i])
        np.testing.assert_allclose(got.matrix[i], one.matrix, atol=1e-4)
        assert apart(got.matrix[i], TRUE['affine']) < 0.05
    again = many(keys, source, target, valid)
    np.testing.assert_array_equal(again.matrix, got.matrix)


def test_samples_hold_different_matches_that_count():
    valid = jnp.arange(12) % 2 == 1
    picked, enough = _samples(KEY, valid, 4, 3000)
    assert bool(enough) and (np.asarray(picked) % 2 == 1).all()
    assert all(len(set(row)) == 4 for row in np.asarray(picked).tolist())
    sets = {tuple(sorted(row)) for row in np.asarray(picked).tolist()}
    assert len(sets) == 15  # All fours of six.
    share = np.bincount(np.asarray(picked).ravel(), minlength=12)[1::2] / picked.size
    np.testing.assert_allclose(share, 1 / 6, atol=0.01)
    assert not _samples(KEY, jnp.arange(5) < 2, 3, 1)[1]


def test_points_behind_the_horizon_stay_and_say_so():
    matrix = jnp.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 1]])
    moved, ahead = alignment.project(matrix, jnp.array([[1.0, 4], [-2, 1]]))
    np.testing.assert_allclose(moved, [[0.5, 2], [-2, 1]])
    np.testing.assert_array_equal(ahead, [True, False])
    with pytest.raises(ValueError, match=r'\[S, 3, 2\] of a affine'):
        alignment.fit_samples('affine', jnp.ones((5, 4, 2)), jnp.ones((5, 4, 2)))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'target': jnp.ones((3, 2))}, r'valid \[M\]'),
        ({'valid': jnp.ones(3, bool)}, r'valid \[M\]'),
        ({'model': 'rigid'}, "'rigid'"),
        ({'hypotheses': 0}, 'hypotheses >= 1'),
        ({'tolerance': 0.0}, 'tolerance > 0'),
        ({'minimum': 0}, 'minimum >= 1'),
        ({'scale': 0.5}, 'scale >= 1'),
    ],
)
def test_bad_input(change, message):
    points = jnp.ones((4, 2))
    usual = {'key': KEY, 'source': points, 'target': points, 'valid': points[:, 0] > 0}
    with pytest.raises(ValueError, match=message):
        ransac(**usual | change)
