"""Report pages of feature alignment, with parts that colours stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip('jinja2')

from kpdiscovery import config, inference, methods
from kpdiscovery.data.joined import Joined
from kpdiscovery.reporting import feature_alignment, page
from kpdiscovery.reporting.album import Album
from kpdiscovery.reporting.seen import Run, look
from kpdiscovery.types import UserError
from tests.methods.weak_labels import Squares, Unlabelled

N, PARTS = 6, 4


@pytest.fixture(scope='module')
def seen():
    """Features are one-hot vectors by the place in a square of 2 x 2 cells."""
    settings = config.load('feature_alignment/critters:smoke', [
        'method.features.backbone=given', 'method.neighbours=3',
    ])  # fmt: skip
    method = methods.build(settings.method)
    rng, kinds = np.random.default_rng(0), np.eye(PARTS + 1, dtype=np.float32)
    features = np.tile(kinds[PARTS], (N, 6, 6, 1))
    for row, (x, y) in zip(features, rng.integers(0, 4, (N, 2)), strict=True):
        row[y : y + 2, x : x + 2] = kinds[:PARTS].reshape(2, 2, -1)
    source = Joined(Squares(N), {'features': features})
    variables = {'parts': {'directions': jnp.eye(PARTS + 1)}}
    trained = inference.Trained(method, variables, settings, {})
    return look(trained, source, 'test', count=N), source


def test_all_sections_render(seen):
    found = feature_alignment.sections(seen[0], Run('', lambda: seen[1]))
    assert [s.anchor for s in found] == ['parts', 'on_pictures', 'pools', 'agreement']
    assert len(found[0].rows) == PARTS
    text = page.render('t', '', Album('part', '', []), found)
    assert 'pseudo ground truth' in text and 'divergence 0.' in text


def test_pools_hold_no_query_and_matches_agree(seen):
    method, variables = seen[0].trained.method, seen[0].trained.variables
    pool = feature_alignment.look(method, variables, seen[1])
    for query in range(N):
        near = feature_alignment._neighbours(pool, query, 5)
        assert len(near) == 3 and query not in [other for other, _ in near]
    section = feature_alignment.agreement(method, pool)
    captions = [f.caption for row in section.rows for f in row.figures]
    assert sum(c in ('3 cells alike', '4 cells alike') for c in captions) >= N


def test_the_highest_peak_of_each_part(seen):
    score, xy = feature_alignment.best_peaks(seen[0].keypoints, PARTS)
    assert score.shape == (N, PARTS) and (score > 0.9).all()
    np.testing.assert_allclose(xy[:, 1] - xy[:, 0], [[6, 0]] * N)
    np.testing.assert_allclose(xy[:, 2] - xy[:, 0], [[0, 6]] * N)


def test_cells_are_tinted_and_the_ground_is_not():
    image = np.full((8, 8, 3), 100, np.uint8)
    got = feature_alignment._tinted(image, jnp.array([[0, 4], [4, 4]]), 4)
    changed = (got != image).any(axis=-1)
    assert changed[:4, :4].all() and changed.sum() == 16


def test_without_training_pictures_the_rest_is_there(seen):
    def gone():
        raise UserError('no folder')

    found = feature_alignment.sections(seen[0], Run('', gone))
    assert [s.anchor for s in found] == ['parts', 'on_pictures', 'pools']
    assert 'no folder' in found[-1].note


def test_features_from_pictures_and_padding():
    """Every field that the method reads is taken along."""
    settings = config.load('feature_alignment/critters:smoke')
    method = methods.build(settings.method)
    source = Unlabelled(3, size=32)
    batch = {n: np.stack([source[0][n]]) for n in ('image', 'index')}
    init = method.phases(settings)[0].init
    state = jax.jit(lambda key: init(key, batch, None))(jax.random.key(0))
    pool = feature_alignment.look(method, state.variables, source)
    assert pool.seen.maps.shape == (3, 4, 4, PARTS + 1) and pool.seen.valid.all()
