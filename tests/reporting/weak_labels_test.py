"""Report pages of LMPNet and of the weight map, with untrained networks."""

import dataclasses

import jax
import numpy as np
import pytest

pytest.importorskip('jinja2')

from kpdiscovery import config, inference, methods
from kpdiscovery.reporting import lmpnet, page, weight_map
from kpdiscovery.reporting.album import Album
from kpdiscovery.reporting.seen import Run, look
from tests.methods.weak_labels import Squares

N = 5


def see(name):
    """Pictures of five squares and what an untrained network says of them."""
    settings = config.load(name, ['method.num_classes=3'])
    method, source = methods.build(settings.method), Squares(N)
    batch = {n: np.stack([source[0][n]]) for n in ('image', 'index', 'label')}
    variables, before = {}, None
    for phase in method.phases(settings):
        start = lambda key, phase=phase, before=before: phase.init(key, batch, before)
        before = jax.eval_shape(start, jax.random.key(0))
        variables = before.variables
    rng = np.random.default_rng(0)
    fill = lambda leaf: np.abs(rng.normal(0, 0.1, leaf.shape)).astype(leaf.dtype)
    trained = inference.Trained(method, jax.tree.map(fill, variables), settings, {})
    return look(trained, source, 'test', count=N)


@pytest.fixture(scope='module')
def filters():
    return see('lmpnet/critters:smoke')


def test_filters_by_pictures(filters):
    section, below = lmpnet.sections(filters, Run('', None))
    overview, *rows = section.rows
    assert '32 filters (down) by 5 pictures' in overview.figures[0].caption
    assert rows and all(len(row.figures) <= N for row in rows)
    assert 'On noise' in section.note and 'operations' in section.note
    assert len(below.rows) == N
    none = Album('keypoint', '', [])
    assert 'Proposals' in page.render('t', '', none, [section, below])


def test_filters_that_fire_in_one_place_survive_noise(filters):
    method, size = filters.trained.method, (36, 36)
    shares = lmpnet.firing_on_noise(method, filters.trained.variables, size)
    assert 0 <= shares[0.1] <= shares[0.01] <= 1


def test_pooling_is_counted(filters):
    method = filters.trained.method
    one = lmpnet.pooling_flops(method, np.zeros((1, 8, 8, 1), np.float32))
    two = lmpnet.pooling_flops(method, np.zeros((1, 8, 8, 2), np.float32))
    assert 64 <= one < two <= 2 * one + 1
    variables = filters.trained.variables
    small, large = (
        lmpnet.network_flops(method, variables, (side, side)) for side in (36, 72)
    )
    assert 3 < large / small < 5  # As many more cells, but for borders.


def test_proposals_lie_where_the_filters_fire(filters):
    method = dataclasses.replace(filters.trained.method, filters=1.0)
    maps = np.zeros((4, 4, 3), np.float32)
    maps[1, 2, 0], maps[3, 3, 1] = 1, 2
    points = lmpnet._fired(filters, method, maps)
    stride, corner = method.classifier.stride, np.array(method.crops.corner(36, 36))
    found = points.xy[points.valid]
    want = [3 * stride, 3 * stride] + corner  # A ResNet's cells.
    assert points.valid.sum() == 2 and (points.label == -1).all()
    np.testing.assert_allclose(found[0], want)


def test_maps_beside_the_truth():
    seen = see('weight_map/critters:smoke')
    section = weight_map.maps(seen)
    assert [f.caption for f in section.rows[0].figures] == ['boxes', 'map', 'true mask']
    bare = seen._replace(found=seen.found._replace(truth={}))
    assert len(weight_map.maps(bare).rows[0].figures) == 2


def test_epochs_of_a_run(tmp_path):
    assert 'holds no labels' in weight_map.epochs(tmp_path).note
    folder = tmp_path / 'labels'
    folder.mkdir()
    images = np.stack([Squares(N)[i]['image'] for i in range(N)])
    np.savez(folder / 'images.npz', image=images)
    for step, score in ((10, 0.25), (2, 0.5)):
        np.savez(folder / f'{step}.npz', map=np.ones((N, 32, 32), np.float32),
                 box=np.tile([0.2, 0.2, 0.6, 0.8], (N, 1)), score=np.full(N, score))  # fmt: skip
    section = weight_map.epochs(tmp_path)
    titles = [row.title for row in section.rows]
    assert titles == ['2 steps, S 0.50 in these', '10 steps, S 0.25 in these']
    assert section.rows[0].figures[0].caption == 'S 0.50'
