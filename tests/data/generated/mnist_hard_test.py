import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.data.generated import mnist_hard as module
from kpdiscovery.data.generated.mnist_hard import draw, mnist_hard, place
from kpdiscovery.types import UserError

MNIST = pathlib.Path(__file__).parents[3].parent / 'shared' / 'data' / 'mnist.npz'


@pytest.fixture(scope='module')
def npz(tmp_path_factory):
    """60,000 + 10,000 'digits', each of one grey that says which part it is from."""
    file = tmp_path_factory.mktemp('mnist') / 'mnist.npz'
    grey = np.repeat([50, 100], [50_000, 10_000]).astype(np.uint8)
    train = np.broadcast_to(grey[:, None, None], (60_000, 28, 28))
    test = np.full((10_000, 28, 28), 200, np.uint8)
    np.savez_compressed(
        file,
        train_images=train,
        train_labels=np.arange(60_000, dtype=np.uint8) % 10,
        test_images=test,
        test_labels=np.arange(10_000, dtype=np.uint8) % 10,
    )
    return file


@pytest.fixture(scope='module')
def train(npz):
    return mnist_hard(split='train', path=npz)


@pytest.fixture(scope='module')
def rows(train):
    return jax.tree.map(np.asarray, train.batch(range(32)))


def gaps(xy):
    distance = np.linalg.norm(xy[:, :, None] - xy[:, None], axis=-1)
    return distance[:, *np.triu_indices(xy.shape[1], 1)]


def test_placement_keeps_distance_and_border():
    keys = jax.random.split(jax.random.key(3), 5000)
    xy = np.asarray(jax.jit(jax.vmap(place))(keys))
    assert xy.shape == (5000, 9, 2) and np.isfinite(xy).all()
    assert gaps(xy).min() >= 17 - 1e-4
    assert xy.min() > 9.499 and xy.max() < 69.501  # The border is at -0.5 and 79.5.
    np.testing.assert_allclose(xy.mean((0, 1)), 39.5, atol=0.5)
    assert len(np.unique(np.floor(xy / 4).reshape(-1, 2), axis=0)) > 200  # Everywhere.


@pytest.mark.parametrize(('digits', 'side'), [(9, 3), (16, 4), (1, 1)])
def test_lattice_keeps_them_too(digits, side):
    assert side**2 >= digits
    keys = jax.random.split(jax.random.key(4), 2000)
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (side**2, 2)))(keys)
    lattice = jax.vmap(lambda u: module._lattice(u, digits, 60.0, 17.0))
    xy = np.asarray(jax.jit(lattice)(uniform))
    assert xy.min() >= 0 and xy.max() <= 60
    assert digits == 1 or gaps(xy).min() >= 17


def test_lattice_is_used_when_darts_fail(monkeypatch):
    fail = lambda darts, apart: (darts[:, 0], jnp.array(False))
    monkeypatch.setattr(module, '_throw_darts', fail)
    xy = jax.jit(lambda key: place(key, size=112))(jax.random.key(0))  # 1.4 times 80.
    assert gaps(np.asarray(xy)[None]).min() >= 17 * 1.4 - 1e-3
    assert xy.min() > 13.499 and xy.max() < 97.501


def test_too_many_digits():
    with pytest.raises(ValueError, match='do not fit'):
        jax.eval_shape(lambda key: place(key, digits=17), jax.random.key(0))


def test_rows(rows):
    assert rows['image'].shape == (32, 80, 80, 3) and rows['image'].dtype == np.uint8
    assert rows['boxes'].dtype == rows['keypoints'].dtype == np.float32
    assert rows['visible'].all() and rows['boxes_valid'].all()
    np.testing.assert_allclose(
        rows['boxes'][..., 2:] - rows['boxes'][..., :2], 20, atol=1e-4
    )
    centre = (rows['boxes'][..., 2:] + rows['boxes'][..., :2]) / 2
    np.testing.assert_allclose(centre, rows['keypoints'][..., 0, :], atol=1e-5)
    digit = rows['attributes']['digit']
    assert digit.dtype == np.int32 and set(np.unique(digit)) == set(range(10))


def test_pictures_fill_exactly_the_boxes(rows):
    """The fake digits are full 28 px squares: grey inside the boxes, black outside."""
    y, x = np.mgrid[:80, :80]
    for image, boxes in zip(rows['image'][..., 0], rows['boxes'], strict=True):
        x0, y0, x1, y1 = boxes.T[:, :, None, None]
        depth = np.minimum(np.minimum(x - x0, x1 - x), np.minimum(y - y0, y1 - y))
        depth = depth.max(axis=0)  # Pixels inside the nearest box's edge.
        assert (image[depth >= 0.5] == 50).all()
        assert (image[depth <= -0.5] == 0).all()


def test_resize_keeps_ink_and_centre():
    """A dot of one source pixel keeps its mass (28 -> 20 px) and its place."""
    dot = np.zeros((1, 28, 28), np.uint8)
    dot[0, 10, 20] = 255
    xy = jnp.array([[31.3, 40.9]])
    image = np.asarray(module._paint(jnp.asarray(dot), xy, 80)).astype(float)
    y, x = np.mgrid[:80, :80]
    assert abs(image.sum() / 255 - (20 / 28) ** 2) < 0.01
    want = np.array(xy[0]) + (np.array([20, 10]) - 13.5) * 20 / 28
    got = np.array([(image * x).sum(), (image * y).sum()]) / image.sum()
    np.testing.assert_allclose(
        got, want, atol=0.25
    )  # Area averages, about a pixel wide.


def test_row_is_the_same_in_any_batch(train, rows):
    order = np.random.default_rng(0).permutation(32)
    again = train.batch(order)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(rows), strict=True):
        np.testing.assert_array_equal(a, b[order])


def test_splits_have_their_own_digits_seeds_and_lengths(npz, train):
    sources = {s: mnist_hard(split=s, path=npz) for s in ('validation', 'test')}
    sources['train'] = train
    lengths = {'train': 50_000, 'validation': 1_000, 'test': 50_000}
    grey = {'train': 50, 'validation': 100, 'test': 200}
    for name, source in sources.items():
        assert len(source) == lengths[name]
        assert set(np.unique(source.tables['images'])) == {grey[name]}
    other = mnist_hard(split='train', path=npz, seed=1, length=7)
    assert len(other) == 7
    keys = {int(jax.random.key_data(s.key)[-1]) for s in (*sources.values(), other)}
    assert len(keys) == 4


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match='splits'):
        mnist_hard(split='val')
    few = np.zeros((12, 28, 28), np.uint8), np.zeros(12, np.uint8)
    np.savez(tmp_path / 'few.npz', train_images=few[0], train_labels=few[1])
    with pytest.raises(UserError, match='60,000'):
        mnist_hard(split='train', path=tmp_path / 'few.npz')


def test_other_sizes_scale(train):
    row = jax.eval_shape(lambda key: draw(train.tables, key, size=112), train.key)
    assert row['image'].shape == (112, 112, 3)


@pytest.mark.skipif(not MNIST.exists(), reason='needs ../shared/data/mnist.npz')
def test_real_digits_fit_their_boxes():
    rows = mnist_hard(split='train', path=MNIST).batch(range(32))
    image = np.asarray(rows['image'], float)[..., 0]
    assert 0.03 < image.mean() / 255 < 0.12
    x, y = np.moveaxis(
        np.round(np.asarray(rows['keypoints'][..., 0, :])).astype(int), -1, 0
    )
    near = [image[i, y[i, j] - 6 : y[i, j] + 7, x[i, j] - 6 : x[i, j] + 7].max()
            for i in range(32) for j in range(9)]  # fmt: skip
    assert min(near) > 80  # Every box has ink in the middle.
