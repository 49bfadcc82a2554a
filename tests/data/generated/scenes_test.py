import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.data.generated.scenes import (
    COLORS,
    RGB,
    SHAPES,
    painting,
    placement,
    scenes,
    solids,
)
from kpdiscovery.data.generated.scenes import objects as objects_module
from kpdiscovery.data.generated.scenes.camera import see
from kpdiscovery.types import UserError

ROWS = 192


@pytest.fixture(scope='module')
def train():
    return scenes(split='train')


@pytest.fixture(scope='module')
def rows(train):
    return jax.tree.map(np.asarray, train.batch(range(ROWS)))


@pytest.fixture(scope='module')
def crowds():
    source = scenes(split='test', size=64, min_objects=7, max_objects=10)
    return jax.tree.map(np.asarray, source.batch(range(ROWS)))


def test_fields(train, rows):
    assert train.truth == ('attributes', 'boxes', 'boxes_valid', 'instances',
                           'keypoints', 'visible')  # fmt: skip
    assert rows['image'].shape == (ROWS, 112, 112, 3)
    assert rows['image'].dtype == np.uint8 and rows['instances'].dtype == np.int32
    assert rows['boxes'].shape == (ROWS, 6, 4) and rows['boxes'].dtype == np.float32
    assert rows['keypoints'].dtype == np.float32 and rows['visible'].dtype == bool
    assert all(v.dtype == np.int32 for v in rows['attributes'].values())


@pytest.mark.parametrize(('name', 'low', 'high'), [('rows', 3, 6), ('crowds', 7, 10)])
def test_numbers_and_padding(request, name, low, high):
    rows = request.getfixturevalue(name)
    count = rows['boxes_valid'].sum(1)
    assert set(count) == set(range(low, high + 1))
    assert (rows['boxes_valid'] == (np.arange(high) < count[:, None])).all()
    np.testing.assert_array_equal(rows['visible'][..., 0], rows['boxes_valid'])
    for value in rows['attributes'].values():
        np.testing.assert_array_equal(value == -1, ~rows['boxes_valid'])
    assert (rows['boxes'][~rows['boxes_valid']] == -1).all()
    assert (rows['keypoints'][..., 0, :][~rows['boxes_valid']] == -1).all()


@pytest.mark.parametrize('name', ['rows', 'crowds'])
def test_boxes_are_tight_and_centres_are_seen(request, name):
    rows = request.getfixturevalue(name)
    for owners, boxes, centres, real in zip(
        rows['instances'],
        rows['boxes'],
        rows['keypoints'][..., 0, :],
        rows['boxes_valid'],
        strict=True,
    ):
        assert set(np.unique(owners)) == {-1, *np.flatnonzero(real)}
        for n in np.flatnonzero(real):
            y, x = np.nonzero(owners == n)
            want = [x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5]
            np.testing.assert_array_equal(boxes[n], want)
            column, row = np.round(centres[n]).astype(int)
            assert owners[row, column] == n


@pytest.mark.parametrize('name', ['rows', 'crowds'])
def test_objects_stay_inside(request, name):
    owners = request.getfixturevalue(name)['instances']
    for border in (owners[:, 0], owners[:, -1], owners[:, :, 0], owners[:, :, -1]):
        assert (border == -1).all()


def test_objects_hide_each_other(rows, crowds):
    def touching(owners):
        left, right = owners[:, :, :-1], owners[:, :, 1:]
        return ((left != right) & (left >= 0) & (right >= 0)).any((1, 2)).mean()

    assert touching(rows['instances']) > 0.3
    assert touching(crowds['instances']) > 0.8


def test_factors_are_uniform(rows):
    kinds = {'shape': 3, 'color': 8, 'size': 2, 'material': 2}
    n = rows['boxes_valid'].sum()
    for name, kind in kinds.items():
        values = rows['attributes'][name][rows['boxes_valid']]
        share = np.bincount(values, minlength=kind) / n
        assert share.shape == (kind,)
        assert np.abs(share - 1 / kind).max() < 4 * np.sqrt(1 / (kind * n))


def test_pictures_show_the_factors(rows):
    """Colours are nearest to their own; large objects are larger; ground is grey."""
    image, owners = rows['image'].astype(float), rows['instances']
    ground = image[owners == -1]
    assert np.ptp(ground, axis=-1).mean() < 12 and 90 < ground.mean() < 190
    unit = RGB / np.linalg.norm(RGB.astype(float), axis=1, keepdims=True)
    right, area = [], {0: [], 1: []}
    for i, n in zip(*np.nonzero(rows['boxes_valid']), strict=True):
        mine = owners[i] == n
        mean = np.median(image[i][mine], axis=0)
        color = np.argmax(unit @ mean / np.linalg.norm(mean))
        right.append(color == rows['attributes']['color'][i, n])
        area[int(rows['attributes']['size'][i, n])].append(mine.sum())
    assert np.mean(right) > 0.95 and len(COLORS) == len(RGB)
    assert 2.5 < np.mean(area[0]) / np.mean(area[1]) < 5  # 4 without occlusion.
    assert min(area[1]) >= 20  # A disc of 2.5 px is always left.


def test_row_is_the_same_in_any_batch(train, rows):
    order = np.random.default_rng(0).permutation(ROWS)
    again = train.batch(order)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(rows), strict=True):
        np.testing.assert_array_equal(a, b[order])


def test_splits_differ_and_share_a_compilation():
    sources = [scenes(split=s, seed=seed)
               for s in ('train', 'validation', 'test') for seed in (0, 1)]  # fmt: skip
    assert [len(s) for s in sources[::2]] == [50_000, 1_000, 10_000]
    assert len({int(jax.random.key_data(s.key)[-1]) for s in sources}) == 6
    assert len({s.draw_rows.args[0] for s in sources}) == 1
    assert len(scenes(split='test', length=5)) == 5


def objects(n, **fields):
    blank = dict.fromkeys(objects_module.Objects._fields, jnp.zeros(n, jnp.int32))
    blank |= {'exists': jnp.ones(n, bool), 'yaw': jnp.full(n, 0.5)}
    values = {k: jnp.asarray(v) for k, v in fields.items()}
    return objects_module.Objects(**(blank | values))


def test_nearer_is_lower_larger_and_in_front():
    line = objects(2, x=[0.0, 0.0], z=[-1.2, 0.4])
    view = see(line, 64)
    assert view.py[0] > view.py[1] and view.zoom[0] > view.zoom[1]
    _, owners = jax.jit(painting.paint, static_argnums=2)(jnp.full(3, 0.5), line, 64)
    near, far = ((np.asarray(owners) == n).sum(1) for n in (0, 1))
    both = np.flatnonzero((near > 0) & (far > 0))
    assert len(both) > 2  # The near one cuts into the far one.
    radius = 0.7 * np.asarray(view.zoom)
    assert abs(near.sum() - np.pi * radius[0] ** 2) < 6  # A whole disc of pixels.
    assert far.sum() < np.pi * radius[1] ** 2 - 6


def test_lattice_keeps_the_promises():
    """The fallback: small objects of any shape, inside and apart."""

    @jax.jit
    @jax.vmap
    def check(key):
        uniform = jax.random.uniform(key, (12, 4))
        shape = (uniform[:, 3] * len(SHAPES)).astype(int)
        spot = placement._spot(
            placement._on_lattice(uniform[:, :3], objects(12, shape=shape))
        )
        apart = placement._apart(placement._column(spot), placement._row(spot))
        return jnp.all(placement._inside(spot)), jnp.all(
            apart | jnp.eye(12, dtype=bool)
        )

    inside, apart = check(jax.random.split(jax.random.key(0), 2000))
    assert inside.all() and apart.all()


def test_lattice_is_rarely_needed(rows, crowds):
    small = [(r['attributes']['size'] != 0).all(1).mean() for r in (rows, crowds)]
    assert small[0] < 0.15 and small[1] < 0.04  # By chance alone 0.06 and 0.004.


def test_distances_by_hand():
    square = ((1.0, 0.0), (0.0, 1.0))
    assert solids.zonogon(3.0, 0.0, *square) == 2
    assert solids.zonogon(0.0, 0.0, *square) == -1
    hexagon = solids.zonogon(0.0, 3.0, *square, (0.0, 1.0))  # Twice as high.
    assert hexagon == 1
    outline, normal = solids._tube(0.0, 0.0, 1.0, 0.8, 0.6, 50.0)
    np.testing.assert_allclose(outline, -1)
    np.testing.assert_allclose(normal, (0, 0, -1), atol=1e-6)  # Side, to the camera.
    outline, normal = solids._tube(
        0.0, 1.4, 1.0, 0.8, 0.6, 50.0
    )  # Back rim of the lid.
    np.testing.assert_allclose(outline, 0, atol=1e-6)
    outline, normal = solids._ball(0.0, 0.8, 1.0, 0.8, 0.6)
    np.testing.assert_allclose(outline, -0.2, atol=1e-6)
    np.testing.assert_allclose(normal, (0, 1, 0), atol=1e-6)  # Up: 0.8 c + 0.6 s.


@pytest.mark.parametrize('numbers', [(0, 3), (5, 4), (3, 13)])
def test_bad_numbers_of_objects(numbers):
    with pytest.raises(ValueError, match='min_objects <= max_objects'):
        scenes(split='train', min_objects=numbers[0], max_objects=numbers[1])


def test_bad_split():
    with pytest.raises(UserError, match="not 'val'"):
        scenes(split='val')
