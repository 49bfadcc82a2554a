"""Features of landmarks, with a tiny untrained network."""

import jax
import numpy as np
import pytest

pytest.importorskip('jinja2')

from kpdiscovery import config, inference, methods
from kpdiscovery.reporting import landmarks
from kpdiscovery.reporting.seen import Seen
from kpdiscovery.types import Keypoints, Prediction, Split

N, K = 5, 4


@pytest.fixture(scope='module')
def stages():
    """Settings, and shapes of the variables of stage 1 and of stage 2 filled at random."""
    small = ['method.network.depth=1', 'method.network.groups=1']
    settings = config.load('self_training/critters:smoke', small)
    method, rng = methods.build(settings.method), np.random.default_rng(0)
    batch = {'image': np.zeros((1, 32, 32, 3), np.uint8)}
    fill = lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(leaf.dtype)
    found = {}
    for phase in method.phases(settings):
        start = lambda key, phase=phase: phase.init(key, batch, None)
        shapes = jax.eval_shape(start, jax.random.key(0))
        found[phase.name] = jax.tree.map(fill, shapes.variables)
    return settings, method, found


def see(stages, phase, valid):
    settings, method, variables = stages
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, 31, (N, K, 2)).astype(np.float32)
    score = np.arange(N * K, dtype=np.float32).reshape(N, K) / (N * K)
    label = np.tile(np.arange(K, dtype=np.int32), (N, 1))
    points = Keypoints(xy, score, label, np.broadcast_to(valid, (N, K)))
    split = Split(Prediction(points), {}, (32, 32), K)
    trained = inference.Trained(method, variables[phase], settings, {})
    images = rng.integers(0, 255, (N, 32, 32, 3), np.uint8)
    return Seen(trained, 'test', images, tuple('abcde'), split)


@pytest.mark.parametrize(
    ('phase', 'kind'), [('landmarks', 'trunk'), ('warm_up', 'descriptor')]
)
def test_features_of_each_stage(stages, phase, kind):
    seen = see(stages, phase, True)
    found = landmarks.read_features(seen, seen.trained.variables, kind, 3)
    assert found.shape == (3, K, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-4)
    section = landmarks.features(seen)
    assert f'The {kind}' in section.note and '20 landmarks of 5' in section.note
    assert [f.caption for f in section.rows[0].figures] == [
        'before training (PCA)',
        'after (PCA)',
    ]


def test_nothing_found_is_a_line(stages):
    section = landmarks.features(see(stages, 'landmarks', False))
    assert 'No landmark' in section.note and not section.rows
