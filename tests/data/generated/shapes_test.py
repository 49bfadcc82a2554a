import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import data
from kpdiscovery.data.generated import mixed, shapes
from kpdiscovery.data.generated.shapes import KINDS, figures, painting
from kpdiscovery.types import UserError

COUNT = 240


@pytest.fixture(scope='module')
def rows():
    return jax.device_get(shapes.shapes(split='test', size=64).batch(range(COUNT)))


def of_kind(rows, kind):
    mine = rows['label'] == KINDS.index(kind)
    assert mine.any(), kind
    return {name: value[mine] for name, value in rows.items()}


def test_rows_have_their_fields(rows):
    assert rows['image'].shape == (COUNT, 64, 64, 3) and rows['image'].dtype == np.uint8
    assert (rows['image'] == rows['image'][..., :1]).all()
    assert rows['keypoints'].shape == (COUNT, shapes.MOST_POINTS, 2)
    source = shapes.shapes(split='test', size=64)
    assert source.truth == ('keypoints', 'label', 'visible')
    shown = rows['keypoints'][rows['visible']]
    assert (shown >= -0.5).all() and (shown < 63.5).all()
    assert len(np.unique(rows['label'])) == len(KINDS)


def test_numbers_of_points(rows):
    count = lambda kind: of_kind(rows, kind)['visible'].sum(axis=1)
    assert (count('ellipses') == 0).all() and (count('noise') == 0).all()
    assert (count('box') <= 7).all() and count('box').max() == 7
    assert (count('star') <= 6).all() and (count('polygon') <= 7).all()
    assert (count('lines') % 1 == 0).all() and count('lines').max() <= 16
    assert 9 < count('checkerboard').max() <= 49 and count('stripes').max() <= 26


@pytest.mark.parametrize('kind', ['lines', 'polygon', 'star', 'checkerboard', 'box'])
def test_there_is_something_where_the_points_are(rows, kind):
    """The picture changes more around a labelled point than at places anywhere."""
    mine, changes = of_kind(rows, kind), {True: [], False: []}
    luck = np.random.default_rng(0)
    for image, xy, visible in zip(
        mine['image'], mine['keypoints'], mine['visible'], strict=True
    ):
        gray = image[..., 0].astype(float)
        for labelled, points in (
            (True, xy[visible]),
            (False, luck.uniform(4, 60, (20, 2))),
        ):
            for x, y in np.round(points).astype(int):
                if 3 <= x < 61 and 3 <= y < 61:
                    changes[labelled].append(gray[y - 3 : y + 4, x - 3 : x + 4].std())
    assert np.median(changes[True]) > 1.5 * np.median(changes[False])


def test_corners_of_a_checkerboard_are_saddles(rows):
    """Opposite cells alike, neighbours unlike, around most inner crossings."""
    mine, good = of_kind(rows, 'checkerboard'), []
    for image, xy, visible in zip(
        mine['image'], mine['keypoints'], mine['visible'], strict=True
    ):
        gray = image[..., 0].astype(float)
        inner = xy[visible]
        inner = inner[(np.abs(inner - inner.mean(0)).max(-1) < 12)]
        for x, y in np.round(inner).astype(int):
            a, b = (
                gray[y - 2, x - 2] + gray[y + 2, x + 2],
                gray[y - 2, x + 2] + gray[y + 2, x - 2],
            )
            good.append(abs(a - b))
    assert np.median(good) > 40


def test_all_sizes_show_the_same_drawing():
    small, large = (
        jax.device_get(shapes.shapes(split='test', size=n).batch(range(6)))
        for n in (32, 64)
    )
    np.testing.assert_array_equal(small['label'], large['label'])
    np.testing.assert_array_equal(small['visible'], large['visible'])
    there = small['visible']
    np.testing.assert_allclose(
        (small['keypoints'][there] + 0.5) * 2,
        large['keypoints'][there] + 0.5,
        atol=1e-3,
    )


def test_a_row_is_a_function_of_seed_and_number():
    train, again = (shapes.shapes(split='train', size=32) for _ in range(2))
    test = shapes.shapes(split='test', size=32)
    np.testing.assert_array_equal(train[5]['image'], again[5]['image'])
    np.testing.assert_array_equal(train[5]['image'], train.batch([9, 5])['image'][1])
    assert (train[5]['image'] != test[5]['image']).any()


def test_kinds_can_be_chosen():
    only = shapes.shapes(split='test', size=32, kinds=('lines', 'star'))
    labels = np.asarray(only.batch(range(40))['label'])
    assert set(labels.tolist()) == {KINDS.index('lines'), KINDS.index('star')}


def test_mistakes_are_named():
    with pytest.raises(UserError, match="not 'dev'"):
        shapes.shapes(split='dev')
    with pytest.raises(UserError, match=r"not \['cubes'\]"):
        shapes.shapes(split='test', kinds=('cubes',))
    with pytest.raises(UserError, match='mixed has the splits'):
        mixed.mixed(split='dev')


# Geometry.


def square(half=0.25, angle=0.0):
    turns = angle + np.pi / 4 + np.pi / 2 * np.arange(4)
    ring = np.sqrt(2) * half * np.stack([np.cos(turns), np.sin(turns)], -1)
    corners = np.concatenate([ring, np.repeat(ring[-1:], 3, 0)])
    return figures.Figures(jnp.array([0.5, 0.5]), jnp.asarray(corners, jnp.float32),
                           jnp.zeros(3), jnp.array(1.0), jnp.array(True))  # fmt: skip


@pytest.mark.parametrize('flip', [1, -1])
def test_distance_to_a_square(flip):
    figure = square()
    figure = figure._replace(
        corners=figure.corners[:, ::flip]
        if flip > 0
        else figure.corners * jnp.array([[1, -1]])
    )
    x, y = jnp.array([0.5, 0.5, 0.9, 0.3]), jnp.array([0.55, 0.9, 0.5, 0.5])
    got = painting.distance(figure, x, y)
    np.testing.assert_allclose(got, [-0.2, 0.15, 0.15, -0.05], atol=1e-5)


def test_distance_to_an_ellipse():
    disc = square()._replace(axes=jnp.array([0.2, 0.2, 0.3]))
    x, y = jnp.array([0.5, 0.5]), jnp.array([0.6, 0.9])
    np.testing.assert_allclose(painting.distance(disc, x, y), [-0.1, 0.2], atol=1e-5)


def test_flat_corners_are_not_sharp():
    corners = square().corners[None]
    assert figures._sharp(corners)[0, :4].all()
    flat = jnp.stack(
        [jnp.array([np.cos(a), np.sin(a)]) for a in 2 * np.pi * np.arange(7) / 7]
    )
    third = jnp.asarray(flat, jnp.float32)[None]
    assert figures._sharp(third).all()  # 128.6 degrees.
    bent = corners.at[0, 1].set((corners[0, 0] + corners[0, 2]) / 2 * 1.1)
    assert not figures._sharp(bent)[0, 1]


def test_lines_that_cross_are_told():
    a = (
        jnp.zeros((figures.MOST, 2))
        .at[1]
        .set(jnp.array([0.0, 1.0]))
        .at[2]
        .set(jnp.array([5.0, 5]))
    )
    b = (
        jnp.ones((figures.MOST, 2))
        .at[1]
        .set(jnp.array([1.0, 0.0]))
        .at[2]
        .set(jnp.array([6.0, 5]))
    )
    meet = figures._meet(a, b)
    assert meet[0, 1] and meet[1, 0] and not meet[0, 2] and not meet[2, 1]


# Mixed.


def test_mixed_pictures_come_from_three_worlds():
    source = mixed.mixed(split='test', size=32, length=24)
    rows = source.batch(range(24))
    assert set(np.asarray(rows['label']).tolist()) == {0, 1, 2}
    assert source.truth == ('label',) and rows['image'].dtype == np.uint8


@pytest.mark.parametrize('name', ['shapes', 'mixed'])
def test_sources_by_name(name):
    section = {'source': name, 'size': 32, 'options': {'length': 3}}
    assert len(data.build(section, split='train')) == 3
