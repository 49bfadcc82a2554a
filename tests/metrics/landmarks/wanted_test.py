"""Wanted landmarks from discovered ones: what is exact, what few pictures give, mistakes."""

import numpy as np
import pytest

from kpdiscovery.metrics.landmarks.wanted import fit_wanted


def scenes(count, seed=0, *, modes=0.0, noise=0.0, skew=0.0):
    """One arrangement of 8 + 3 points laid on pictures at random, which also bends along
    two modes."""
    rng = np.random.default_rng(5)
    whole, bends = rng.normal(size=(11, 2)), rng.normal(size=(2, 11, 2))
    rng = np.random.default_rng(seed)
    bent = whole + modes * np.einsum('nm,mpi->npi', rng.normal(size=(count, 2)), bends)
    angle, scale = rng.uniform(-0.5, 0.5, count), rng.uniform(10, 40, count)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.moveaxis(np.array([[c, -s], [s, c]]), -1, 0)
    turn = turn + skew * rng.normal(size=turn.shape)
    placed = np.einsum('nij,npj->npi', turn, bent) + rng.uniform(50, 90, (count, 1, 2))
    found = (
        placed[:, :8] + rng.normal(0, noise, (count, 8, 2)) if noise else placed[:, :8]
    )
    return found, np.ones((count, 8), bool), placed[:, 8:], np.ones((count, 3), bool)


def error(told, scenes):
    found, there = told(*scenes[:2])
    assert there.all()
    return np.linalg.norm(found - scenes[2], axis=-1).mean()


@pytest.mark.parametrize('skew', [0.0, 5.0])
def test_what_is_one_arrangement_is_told_exactly(skew):
    fitted = fit_wanted(*scenes(6, skew=skew))
    assert error(fitted.map, scenes(20, seed=1, skew=skew)) < 1e-6
    assert np.nanmax(fitted.errors) < 1e-6
    assert fitted.map.kind == 'affine' or not skew


def test_missing_landmarks_and_hidden_points_cost_nothing_here(rng):
    xy, valid, wanted, visible = scenes(12)
    valid = valid & (rng.random(valid.shape) > 0.3)
    xy = np.where(valid[..., None], xy, np.nan)
    visible[:6, 0] = False
    wanted = np.where(visible[..., None], wanted, np.nan)
    fitted = fit_wanted(xy, valid, wanted, visible)
    assert error(fitted.map, scenes(20, seed=1)) < 1e-3
    assert np.isnan(fitted.errors[:6, 0]).all()


def test_more_pictures_tell_how_points_move():
    options = {'modes': 0.3, 'noise': 0.2}
    test = scenes(200, seed=9, **options)
    few, many = (fit_wanted(*scenes(n, seed=n, **options)) for n in (6, 60))
    assert error(many.map, test) < 0.5 * error(few.map, test)
    assert np.isfinite(many.map.penalty)
    # Errors of pictures left out are those of new ones.
    assert np.nanmean(many.errors) == pytest.approx(error(many.map, test), rel=0.4)


def test_noise_that_tells_nothing_is_not_learnt(rng):
    xy, valid, wanted, visible = scenes(12, noise=2.0)
    wanted = wanted + rng.normal(0, 4.0, wanted.shape)
    assert fit_wanted(xy, valid, wanted, visible).map.penalty >= 0.3


def test_pictures_with_too_few_landmarks_are_told():
    told = fit_wanted(*scenes(6)).map
    xy, valid, *_ = scenes(3, seed=1)
    valid[0] = False
    found, there = told(xy, valid)
    assert there.tolist() == [False, True, True]
    assert (found[0] == 0).all() and (found[1] != 0).all()


def test_bad_input():
    xy, valid, wanted, visible = scenes(4)
    with pytest.raises(ValueError, match=r'wanted landmarks \[N, K, 2\]'):
        fit_wanted(xy, valid[:2], wanted, visible)
    with pytest.raises(ValueError, match='got 1 of 4'):
        fit_wanted(xy, valid & (np.arange(4) == 0)[:, None], wanted, visible)
    with pytest.raises(ValueError, match=r'points \[1\] are annotated in no picture'):
        fit_wanted(xy, valid, wanted, visible & (np.arange(3) != 1))


def test_kinds_are_compared_on_pictures_that_both_can_be_laid_on():
    """An affine map leaves out pictures of two landmarks, which are the worst told."""
    for seed in (0, 2, 4, 5):
        xy, valid, wanted, visible = scenes(12, seed=seed, noise=1.0)
        valid[:4, 2:] = False
        assert fit_wanted(xy, valid, wanted, visible).map.kind == 'similarity'


def test_points_that_others_do_not_have_are_not_measured():
    xy, valid, wanted, visible = scenes(10)
    visible[1:, 2] = False
    errors = fit_wanted(xy, valid, wanted, visible).errors
    assert np.isnan(errors[:, 2]).all() and np.nanmax(errors) < 1e-6
