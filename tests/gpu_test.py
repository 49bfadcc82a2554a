"""On a real GPU: the numbers of the CPU, and every method's smoke run.

JAX_PLATFORMS=cuda,cpu pytest -m gpu
"""

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import config, losses, methods, train
from kpdiscovery.ops import kmeans, masks, neighbors, pooling, warps
from tests.methods import weak_labels

pytestmark = pytest.mark.gpu
normal = functools.partial(jax.random.normal, jax.random.key(0))


def warped(maps):
    keys = jax.random.split(jax.random.key(1), len(maps))
    bend = functools.partial(warps.random_tps, shape=maps.shape[1:3], bend=0.05)
    return jnp.sum(warps.warp_image(jax.vmap(bend)(keys), maps, mode='edge') ** 2)


def distance(cloud):
    directions = losses.random_directions(jax.random.key(1), 50, cloud.shape[1])
    return losses.sliced_wasserstein(cloud, cloud[::-1] * 1.5, directions)


CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    'kmeans': (lambda x: kmeans.kmeans(
        jax.random.key(1), x, 9, init=x[:9], iterations=4).centroids, (5000, 32)),
    'neighbours': (lambda x: neighbors.nearest_distances(x, 20), (3000, 16)),
    'pictures': (jax.grad(warped), (4, 40, 50, 3)),
    'maps': (jax.grad(warped), (2, 40, 50, 64)),
    'pooling': (jax.grad(lambda x: jnp.sum(pooling.leaky_max_pool(x) ** 2)), (4, 9, 9, 130)),
    'clouds': (jax.grad(distance), (500, 16)),
    'components': (lambda x: masks.connected_components(x > 0), (3, 40, 40)),
}  # fmt: skip


@pytest.mark.parametrize('name', CASES)
def test_a_hot_loop_gives_what_it_does_on_the_cpu(name):
    function, shape = CASES[name]
    x = np.asarray(normal(shape))
    got, want = (
        np.asarray(jax.jit(function)(jax.device_put(x, jax.devices(kind)[0])))
        for kind in ('gpu', 'cpu')
    )
    near = 1e-3 * np.abs(want).max()
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=near)


@pytest.mark.parametrize('name', ['tusk/tetrominoes:smoke', 'lmpnet/critters:smoke'])
def test_the_first_step_loses_what_it_does_on_the_cpu(name):
    settings = config.load(name)
    if 'lmpnet' in name:
        settings.method.num_classes = 3
    (phase, *_) = methods.build(settings.method).phases(settings.to_dict())
    rows = [weak_labels.Squares()[i] for i in range(4)]
    batch = {k: np.stack([row[k] for row in rows]) for k in ('image', 'index', 'label')}
    found = []
    for kind in ('gpu', 'cpu'):
        with jax.default_device(jax.devices(kind)[0]):
            state = jax.jit(phase.init, static_argnums=2)(
                jax.random.key(0), batch, None
            )
            _, scalars = jax.jit(phase.step)(state, batch, {}, jax.random.key(1))
        found.append(float(scalars['loss']))
    assert found[0] == pytest.approx(found[1], rel=2e-2)


@pytest.mark.parametrize('name', [
    'tusk/tetrominoes', 'self_training/critters', 'lmpnet/critters', 'weight_map/critters',
    'feature_alignment/critters',
])  # fmt: skip
def test_a_smoke_run_ends_with_finite_losses(name, tmp_path):
    assert train.main([f'--config={name}:smoke', f'--workdir={tmp_path}']) == 0
    lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
    losses_ = [row['loss'] for row in map(json.loads, lines) if 'loss' in row]
    assert losses_ and np.isfinite(losses_).all()
