"""Constellations: shapes seen through affine maps, many points of which are wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops import constellations, parallel
from kpdiscovery.training.sharding import by_rows, make_mesh

FLOOR = 0.02


def scene(rng, pictures=80, landmarks=12, wrong=0.2, lost=3):
    """Places as guessed, as they are, and which landmarks are anywhere in all pictures."""
    shape = rng.uniform(-0.3, 0.3, (landmarks, 2))
    turn = np.eye(2) + 0.15 * rng.normal(size=(pictures, 2, 2))
    true = (
        np.einsum('nij,kj->nki', turn, shape) + rng.normal(size=(pictures, 1, 2)) / 10
    )
    guess = true + 0.005 * rng.normal(size=true.shape)
    anywhere = rng.uniform(-0.5, 0.5, true.shape)
    guess = np.where(rng.random(true.shape[:2])[..., None] < wrong, anywhere, guess)
    guess[:, :lost] = anywhere[:, :lost]
    return guess.astype(np.float32), true


@pytest.mark.parametrize('seed', range(3))
def test_wrong_points_are_put_right_by_the_others(seed):
    guess, true = scene(np.random.default_rng(seed))
    found = constellations.fit(guess, np.ones(len(guess), bool), floor=FLOOR)
    placed = np.asarray(constellations.place(found, guess, floor=FLOOR))
    error = np.linalg.norm(placed - true, axis=-1)[:, 3:]
    before = np.linalg.norm(guess - true, axis=-1)[:, 3:]
    assert before.mean() > 0.05 and np.median(error) < 0.007 and error.mean() < 0.015
    spread = np.asarray(found.spread)
    assert spread[:3].min() > 5 * spread[3:].max()


def test_the_shape_is_a_mean_picture(rng):
    guess, _ = scene(rng, wrong=0, lost=0)
    found = constellations.fit(guess, np.ones(len(guess), bool), floor=FLOOR)
    np.testing.assert_allclose(found.shape, guess.mean(0), atol=0.01)


def test_pictures_that_do_not_count_teach_nothing(rng):
    guess, _ = scene(rng)
    more = np.concatenate([guess, np.full_like(guess[:5], 40)])
    counts = np.arange(len(more)) < len(guess)
    want = constellations.fit(guess, counts[: len(guess)], floor=FLOOR)
    for got, one in zip(
        constellations.fit(more, counts, floor=FLOOR), want, strict=True
    ):
        np.testing.assert_allclose(got, one, rtol=1e-3, atol=1e-5)


def test_rows_over_devices_are_those_of_one(rng):
    guess, _ = scene(rng)
    want = constellations.fit(guess, np.ones(len(guess), bool), floor=FLOOR)

    def fit(rows, axis_name):
        ones = jnp.ones(len(rows), bool)
        return {}, constellations.fit(rows, ones, floor=FLOOR, axis_name=axis_name)

    mesh = make_mesh(8)
    with jax.set_mesh(mesh):
        rows = jax.device_put(guess, by_rows(mesh))
        _, got = jax.jit(lambda rows: parallel.over_rows(fit, rows))(rows)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-4)


def test_points_in_one_place_stay_finite():
    guess = np.zeros((6, 5, 2), np.float32)
    found = constellations.fit(guess, np.ones(6, bool), floor=FLOOR)
    placed = constellations.place(found, guess, floor=FLOOR)
    np.testing.assert_allclose(placed, 0, atol=1e-4)
    assert np.isfinite(found.spread).all()


def test_a_picture_in_the_mirror_does_not_turn_the_shape_over(rng):
    """Half of the pictures seen from the other side: the shape is that of one side."""
    guess, _ = scene(rng, wrong=0, lost=0)
    mixed = np.where(
        np.arange(len(guess))[:, None, None] < 8, guess * np.float32([-1, 1]), guess
    )
    found = constellations.fit(mixed, np.ones(len(guess), bool), floor=FLOOR)
    want = constellations.fit(guess, np.ones(len(guess), bool), floor=FLOOR)
    a, b = (np.asarray(one.shape - one.shape.mean(0)[None]) for one in (found, want))
    turn = np.linalg.lstsq(a, b, rcond=None)[0]
    assert np.linalg.det(turn) > 0 and np.abs(a @ turn - b).max() < 0.02


def chosen_by_hand(shape, spread, count):
    order = np.argsort(spread)
    tight = [k for k in order if spread[k] <= 1.75 * np.median(spread)]
    found = [order[0]]
    while len(found) < min(count, len(tight)):
        away = {
            k: min(np.linalg.norm(shape[k] - shape[j]) for j in found)
            for k in tight
            if k not in found
        }
        found.append(max(away, key=away.__getitem__))
    return found + [k for k in order if k not in tight][: count - len(found)]


@pytest.mark.parametrize('count', [1, 5, 12, 17, 20])
def test_chosen_landmarks_are_reliable_and_far_apart(rng, count):
    shape = rng.normal(size=(20, 2)).astype(np.float32)
    spread = rng.uniform(0.01, 0.03, 20).astype(np.float32)
    spread[::5] *= 4  # Loose, the first among them.
    known = constellations.Constellation(jnp.asarray(shape), jnp.asarray(spread))
    found = np.asarray(jax.jit(constellations.choose, static_argnums=1)(known, count))
    assert found.tolist() == chosen_by_hand(shape, spread, count)
    assert found.dtype == np.int32 and len(set(found)) == count


def test_landmarks_of_one_place_are_chosen_once():
    places = np.repeat([[0, 0], [1, 0], [0, 1]], 3, axis=0).astype(np.float32)
    spread = np.linspace(0.01, 0.012, 9).astype(np.float32)
    known = constellations.Constellation(jnp.asarray(places), jnp.asarray(spread))
    found = np.asarray(constellations.choose(known, 3))
    assert {tuple(place) for place in places[found]} == {(0, 0), (1, 0), (0, 1)}
