"""The contrastive loss of all pairs: sums, numbers, gradients, devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery import losses
from kpdiscovery.losses import pairs

MARGIN = 0.8
WEIGHTS = np.array([1.0, 2.0, 0.5])
FORMS = pytest.mark.parametrize('form', pairs.FORMS)


def points_of(rng, n):
    """Descriptors closer and farther than the margin, five points a picture."""
    x = 0.4 * rng.normal(size=(n, 3)).astype(np.float32)
    return x, rng.integers(-1, 4, n).astype(np.int32), np.arange(n, dtype=np.int32) // 5


def oracle(x, label, picture, form):
    """Sums, numbers and the gradient of `WEIGHTS @ sums`, pair by pair in float64."""
    loss, count, slope = np.zeros(3), np.zeros(3), np.zeros(x.shape)
    for i, j in np.ndindex(len(x), len(x)):
        equal, near = label[i] == label[j], picture[i] == picture[j]
        if i == j or min(label[i], label[j]) < 0 or (equal and not near):
            continue
        kind = 0 if equal else 1 if near else 2
        gap = x[i].astype(float) - x[j]
        square = gap @ gap
        d = np.sqrt(square + 1e-9)
        term, by_square = {
            'same': (square, 1),
            'distance': (max(0, MARGIN - d) ** 2, -max(0, MARGIN - d) / d),
            'squared': (max(0, MARGIN - square), -float(square < MARGIN)),
        }['same' if equal else form]
        loss[kind] += term
        count[kind] += 1
        slope[i] += WEIGHTS[kind] * by_square * 2 * gap
        slope[j] -= WEIGHTS[kind] * by_square * 2 * gap
    return loss, count, slope


def with_gradient(form):
    def weighed(x, label, picture):
        found = losses.contrastive_sums(x, label, picture, margin=MARGIN, form=form)
        return found.losses @ jnp.asarray(WEIGHTS, jnp.float32), found

    return jax.value_and_grad(weighed, has_aux=True)


@FORMS
@pytest.mark.parametrize('n', [1, 16, 37])
def test_sums_numbers_and_gradient(rng, monkeypatch, form, n):
    monkeypatch.setattr(pairs, '_BLOCK', 8)  # 37 are five blocks, the last not full.
    points = points_of(rng, n)
    (_, found), slope = with_gradient(form)(*points)
    want = oracle(*points, form)
    np.testing.assert_allclose(found.losses, want[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found.counts, want[1])
    np.testing.assert_allclose(slope, want[2], rtol=1e-5, atol=1e-5)


def test_inside_pictures_it_is_the_loss_of_pairs(rng):
    x, label, picture = points_of(rng, 20)
    found = losses.contrastive_sums(x, label, picture)
    many = (4, 5, -1)
    x, label = x.reshape(many), label.reshape(4, 5)
    squares = ((x[:, :, None] - x[:, None]) ** 2).sum(-1)
    there = label >= 0
    counts = there[:, :, None] & there[:, None] & ~np.eye(5, dtype=bool)
    same = label[:, :, None] == label[:, None]
    want = losses.contrastive_landmarks(squares, same, counts)
    got = found.losses[:2].sum() / found.counts[:2].sum()
    assert got == pytest.approx(float(want), rel=1e-5)


@FORMS
def test_coinciding_points_have_a_finite_gradient(form):
    label, picture = jnp.arange(3), jnp.arange(3)
    assert jnp.isfinite(with_gradient(form)(jnp.ones((3, 2)), label, picture)[1]).all()


def test_halves_are_summed_in_single(rng):
    x, label, picture = points_of(rng, 20)
    x = jnp.asarray(x, jnp.bfloat16)
    (_, found), slope = with_gradient('distance')(x, label, picture)
    loss, _, want = oracle(np.asarray(x, np.float32), label, picture, 'distance')
    assert found.losses.dtype == jnp.float32 and slope.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.losses, loss, rtol=1e-5)
    np.testing.assert_allclose(slope.astype(np.float32), want, rtol=1e-2, atol=1e-4)


def test_batches_by_vmap(rng):
    x, label, picture = points_of(rng, 20)
    both = jnp.stack([x, x[::-1]])
    _, slope = jax.vmap(with_gradient('distance'), (0, None, None))(
        both, label, picture
    )
    alone = with_gradient('distance')(both[1], label, picture)[1]
    np.testing.assert_allclose(slope[1], alone, atol=1e-5)


def test_eight_devices_find_what_one_finds(rng, monkeypatch):
    """As in a step: a loss of a sharded batch under jit, the devices in the mesh."""
    monkeypatch.setattr(pairs, '_BLOCK', 2)  # Three rows a device.
    points = points_of(rng, 24)
    (_, want), slope = with_gradient('distance')(*points)
    mesh = jax.make_mesh((8,), ('data',), (AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec('data'))
    with jax.set_mesh(mesh):
        run = jax.jit(with_gradient('distance'))
        (_, found), split = run(*jax.device_put(points, rows))
    np.testing.assert_array_equal(found.counts, want.counts)
    np.testing.assert_allclose(found.losses, want.losses, rtol=1e-5)
    np.testing.assert_allclose(split, slope, atol=1e-5)
    assert split.sharding.spec == PartitionSpec('data')


def test_no_number_a_pair_is_stored():
    n = 8192
    shapes = [jax.ShapeDtypeStruct(shape, kind) for shape, kind in
              (((n, 4), jnp.float32), ((n,), jnp.int32), ((n,), jnp.int32))]  # fmt: skip
    program = jax.jit(with_gradient('distance')).lower(*shapes).compile()
    assert program.memory_analysis().temp_size_in_bytes < 4 * n * n / 3


@pytest.mark.parametrize('count, form, match', [
    (4, 'distance', r'label \[N\].*\(3, 2\), \(4,\) and \(4,\)'),
    (3, 'cubed', "form must be one of .* got 'cubed'"),
])  # fmt: skip
def test_bad_input(count, form, match):
    who = jnp.zeros(count, jnp.int32)
    with pytest.raises(ValueError, match=match):
        losses.contrastive_sums(jnp.zeros((3, 2)), who, who, form=form)


@pytest.mark.tpu_aot
@pytest.mark.parametrize('n, depth', [
    (2048, 64), pytest.param(256 * 2 * 30, 256, marks=pytest.mark.slow),
])  # fmt: skip
def test_eight_chips_keep_pairs_on_the_chip(tpu_topology, n, depth):
    """At the larger size those of 256 pictures, two views and 30 points."""
    mesh = Mesh(tpu_topology('v5e:2x4'), ('data',), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec('data'))
    arguments = [jax.ShapeDtypeStruct(shape, kind, sharding=rows) for shape, kind in
                 (((n, depth), jnp.float32), ((n,), jnp.int32), ((n,), jnp.int32))]  # fmt: skip
    with jax.set_mesh(mesh):
        program = jax.jit(with_gradient('distance')).lower(*arguments).compile()
    assert 'all-gather' in program.as_text()
    mine = 4 * n * n / 8  # Bytes of a number for each of a chip's pairs.
    assert program.memory_analysis().temp_size_in_bytes < mine / 2
