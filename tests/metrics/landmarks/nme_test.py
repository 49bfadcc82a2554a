import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from kpdiscovery import metrics
from kpdiscovery.metrics import Landmarks

CORNERS = np.array([[[64.0, 64]], [[192, 64]], [[64, 192]], [[192, 192]]])
SHIFT = np.array([10.0, -6.0])


def pictures(n=200, k=6, t=4, seed=0, noise=0.0, gaps=0.0):
    """Annotated points are a fixed linear map of the predicted landmarks."""
    weights = np.random.default_rng(9).dirichlet(np.ones(k), t)
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(40, 200, (n, k, 2))
    annotated = np.einsum('tk,nkc->ntc', weights, predicted) + SHIFT
    annotated += rng.normal(0, noise, annotated.shape)
    return Landmarks(predicted, annotated, rng.uniform(size=(n, k)) >= gaps)


@pytest.mark.parametrize(
    'penalty, centre, corner',
    [
        (0, (138, 122), (202, 58)),
        (0.01, (138, 122), (201.366337, 58.633663)),
        (0.1, (138, 122), (196.181818, 63.818182)),
    ],
)
@pytest.mark.parametrize('scale', [256, 218])
def test_ridge_of_the_reference(penalty, centre, corner, scale):
    fit = Landmarks(CORNERS, CORNERS + SHIFT)
    test = Landmarks(np.array([[[128, 128]], [[192, 64]]]), np.zeros((2, 1, 2)))
    got = metrics.regress_landmarks(fit, test, penalty=penalty, scale=scale)
    np.testing.assert_allclose(got[:, 0], [centre, corner], atol=1e-6)


def test_without_bias_by_hand():
    # The corners stand around pixel 127.5, the origin of s = 256: x is -63.5 or 64.5.
    fit, u = Landmarks(CORNERS, CORNERS), np.array([-63.5, 64.5]) / 256
    gram = 4 * (u**2).mean()  # X'X has this on its diagonal, 4 u.mean()^2 beside it.
    matrix = np.full((2, 2), 4 * u.mean() ** 2)
    np.fill_diagonal(matrix, gram)
    weights = np.linalg.inv(matrix + 0.1 * gram * np.eye(2)) @ matrix
    want = (64.5 / 256 * weights.sum(axis=0) + 0.5) * 256 - 0.5
    got = metrics.regress_landmarks(fit, fit, penalty=0.1, bias=False)
    np.testing.assert_allclose(got[3, 0], want)


def test_regression_matches_sklearn():
    fit, test = pictures(noise=3), pictures(50, seed=1)
    x, y = fit.predicted.reshape(200, -1), fit.annotated.reshape(200, -1)
    gram = (x - x.mean(axis=0)).T @ (x - x.mean(axis=0))
    oracle = Ridge(alpha=0.01 * gram.max()).fit(x, y)
    want = oracle.predict(test.predicted.reshape(50, -1)).reshape(50, 4, 2)
    np.testing.assert_allclose(metrics.regress_landmarks(fit, test), want, atol=1e-8)
    distance = np.linalg.norm(want - test.annotated, axis=-1)
    got = metrics.forward_nme(fit, test, 50.0)
    np.testing.assert_allclose(got.errors, 2 * distance, atol=1e-8)
    np.testing.assert_allclose(got.per_landmark, 2 * distance.mean(axis=0))
    assert got.mean == pytest.approx(2 * distance.mean())


def test_backward_matches_sklearn():
    fit, test = pictures(noise=3), pictures(50, seed=1)
    oracle = LinearRegression()
    oracle.fit(fit.annotated.reshape(200, -1), fit.predicted.reshape(200, -1))
    want = oracle.predict(test.annotated.reshape(50, -1)).reshape(50, 6, 2)
    want = 100 * np.linalg.norm(want - test.predicted, axis=-1) / 120
    got = metrics.backward_nme(fit, test, 120, penalty=0)
    np.testing.assert_allclose(got.errors, want, atol=1e-8)


def test_directions_differ():
    fit, test = pictures(), pictures(50, seed=1)  # 6 landmarks know 4 points, not back.
    assert metrics.forward_nme(fit, test, 1.0, penalty=0).mean < 1e-6
    assert metrics.backward_nme(fit, test, 1.0, penalty=0).mean > 100
    turned = [Landmarks(v.annotated, v.predicted) for v in (fit, test)]
    want = metrics.forward_nme(*turned, 1.0).errors
    np.testing.assert_allclose(metrics.backward_nme(fit, test, 1.0).errors, want)


def test_moving_turning_and_numbering_do_not_matter():
    fit, test = pictures(noise=3), pictures(50, seed=1, noise=3)
    want = metrics.forward_nme(fit, test, 50.0).mean
    order = [3, 0, 5, 1, 2, 4]

    def changed(v):
        return Landmarks(
            3 * v.predicted[:, order, ::-1] + 20, 3 * v.annotated[..., ::-1]
        )

    got = metrics.forward_nme(changed(fit), changed(test), 150.0).mean
    assert got == pytest.approx(want)


def test_normalizer_of_each_picture_and_hidden_points():
    fit, test = pictures(noise=3), pictures(50, seed=1, noise=3)
    visible = np.random.default_rng(4).uniform(size=(50, 4)) < 0.6
    visible[7] = False
    hidden = np.where(visible[..., None], test.annotated, np.nan)
    length = np.linspace(20, 60, 50)
    length[7] = np.nan  # Not needed there.
    full = metrics.forward_nme(fit, test, np.linspace(20, 60, 50)).errors
    got = metrics.forward_nme(
        fit, test._replace(annotated=hidden, visible=visible), length
    )
    np.testing.assert_allclose(got.errors, np.where(visible, full, np.nan))
    assert got.mean == pytest.approx(full[visible].mean())
    want = [full[seen, i].mean() for i, seen in enumerate(visible.T)]
    np.testing.assert_allclose(got.per_landmark, want)


def test_missing_landmarks():
    fit, test = pictures(gaps=0.1), pictures(50, seed=1, gaps=0.1)
    fit.valid[:50, 2] = False  # Every fourth: too rare.
    got = metrics.backward_nme(fit, test, 100.0)
    np.testing.assert_array_equal(np.isnan(got.per_landmark), np.arange(6) == 2)
    want = test.valid & (np.arange(6) != 2)
    np.testing.assert_array_equal(~np.isnan(got.errors), want)
    clean = [
        Landmarks(
            v.predicted[:, [0, 1, 3, 4, 5]], v.annotated, v.valid[:, [0, 1, 3, 4, 5]]
        )
        for v in (fit, test)
    ]
    assert metrics.forward_nme(*clean, 1.0).mean == pytest.approx(
        metrics.forward_nme(fit, test, 1.0).mean
    )
    garbage = fit._replace(
        predicted=np.where(fit.valid[..., None], fit.predicted, np.nan)
    )
    assert metrics.forward_nme(garbage, test, 1.0).mean == pytest.approx(
        metrics.forward_nme(fit, test, 1.0).mean
    )


def test_one_picture_and_identical_points():
    fit, test = pictures(1), pictures(3, seed=1)
    got = metrics.regress_landmarks(fit, test)
    np.testing.assert_allclose(got, np.tile(fit.annotated, (3, 1, 1)))
    same = Landmarks(np.full((5, 2, 2), 7.0), np.full((5, 3, 2), 9.0))
    assert metrics.forward_nme(same, same, 1.0).mean == pytest.approx(0, abs=1e-9)
    assert metrics.backward_nme(same, same, 1.0).mean == pytest.approx(0, abs=1e-9)


def test_repeats():
    fit, test = pictures(noise=3), pictures(50, seed=1, noise=3)
    measure = lambda part: metrics.forward_nme(part, test, 50.0)
    got = metrics.repeated_nme(measure, fit, images=40, repeats=3, seed=5)
    rng = np.random.default_rng(5)
    rows = [rng.permutation(200)[:40] for _ in range(3)]
    parts = [Landmarks(fit.predicted[r], fit.annotated[r]) for r in rows]
    want = np.mean([measure(part).mean for part in parts])
    assert got.mean == pytest.approx(want)
    everything = metrics.repeated_nme(measure, fit, images=999, repeats=2)
    assert everything.mean == pytest.approx(measure(fit).mean)
    with pytest.raises(ValueError, match='got 0 and 10'):
        metrics.repeated_nme(measure, fit, images=0)


def test_bad_input():
    fit, test = pictures(20), pictures(5, seed=1)
    for nme in (metrics.forward_nme, metrics.backward_nme):
        with pytest.raises(ValueError, match='normalizer > 0'):
            nme(fit, test, 0.0)
        with pytest.raises(ValueError, match='scale must be > 0, got 0'):
            nme(fit, test, 1.0, scale=0)
        with pytest.raises(ValueError, match='penalty'):
            nme(fit, test, 1.0, penalty=-1)
        with pytest.raises(ValueError, match='1 that are not'):
            broken = test.annotated.copy()
            broken[0, 0, 0] = np.nan
            nme(fit, test._replace(annotated=broken), 1.0)
        with pytest.raises(ValueError, match='missing in less than 20%'):
            nme(fit._replace(valid=np.zeros((20, 6))), test, 1.0)
    with pytest.raises(ValueError, match='got 0 visible'):
        metrics.forward_nme(fit, test._replace(visible=np.zeros((5, 4))), 1.0)
    with pytest.raises(ValueError, match='got 0 visible'):
        metrics.backward_nme(fit, test._replace(valid=np.zeros((5, 6))), 1.0)
    with pytest.raises(ValueError, match='other landmarks'):
        metrics.forward_nme(fit, pictures(5, t=3), 1.0)
    with pytest.raises(ValueError, match=r'\(20, 6, 2\) and \(5, 5, 2\)'):
        metrics.forward_nme(fit, pictures(5, k=5), 1.0)
