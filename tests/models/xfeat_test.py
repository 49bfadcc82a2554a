import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.data.files.folder import Folder
from kpdiscovery.models import weights, xfeat
from kpdiscovery.types import UserError

find = jax.jit(xfeat.find, static_argnums=2)
read_points = jax.jit(xfeat.read_points, static_argnums=(1, 2))


@pytest.fixture(scope='module')
def tensors():
    """A file's, random in everything, so that a mix-up shows."""
    draw = np.random.default_rng(0).normal
    shapes, out = jax.tree.leaves_with_path(xfeat.like()), {}
    for path, leaf in shapes:
        entry = xfeat.table()['/'.join(key.key for key in path)]
        shape = [leaf.shape[i] for i in np.argsort(entry.axes or range(leaf.ndim))]
        value = draw(size=shape) / np.sqrt(np.prod(shape[1:]))
        out[entry.key] = (abs(value) if 'var' in entry.key else value).astype('float32')
    return out


@pytest.fixture(scope='module')
def path(tensors, tmp_path_factory):
    from safetensors.numpy import save_file

    path = tmp_path_factory.mktemp('xfeat') / 'random.safetensors'
    save_file({**tensors, 'fine_matcher.0.bias': np.zeros(3, np.float32)}, path)
    return path


# The network, by the published table in float64, pictures as [C, H, W].


def conv(x, kernel, stride=1):
    around = kernel.shape[-1] // 2
    x = np.pad(x.astype(float), ((0, 0), (around, around), (around, around)))
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (1, 2))
    return np.einsum('ihwyx,oiyx->ohw', seen[:, ::stride, ::stride], kernel)


def layers(t, x, name, strides):
    for n, stride in enumerate(strides):
        key = f'{name}.{n}.layer'
        x = conv(x, t[f'{key}.0.weight'], stride)
        mean, var = (t[f'{key}.1.running_{s}'][:, None, None] for s in ('mean', 'var'))
        x = np.maximum((x - mean) / np.sqrt(var.astype(float) + 1e-5), 0)
    return x


def last(t, x, name):
    return conv(x, t[f'{name}.weight']) + t[f'{name}.bias'][:, None, None]


def enlarged(x, times):
    """Bilinear, half-pixel centres, the border repeated."""
    for axis in (1, 2):
        n = x.shape[axis]
        at = np.clip((np.arange(n * times) + 0.5) / times - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        part = (at - low).reshape([-1 if i == axis else 1 for i in range(3)])
        high = np.minimum(low + 1, n - 1)
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x


def oracle(t, gray):
    x = (gray - gray.mean()) / np.sqrt(gray.var() + 1e-5)
    h, w = x.shape
    blocks = x.reshape(h // 4, 4, w // 4, 4).mean((1, 3))[None]
    one = layers(t, x[None], 'block1', (1, 2, 1, 2)) + last(t, blocks, 'skip1.1')
    three = layers(t, layers(t, one, 'block2', (1, 1)), 'block3', (2, 1, 1))
    four = layers(t, three, 'block4', (2, 1, 1))
    five = layers(t, four, 'block5', (2, 1, 1, 1))
    fused = three + enlarged(four, 2) + enlarged(five, 4)
    fused = last(t, layers(t, fused, 'block_fusion', (1, 1)), 'block_fusion.2')
    sure = last(t, layers(t, fused, 'heatmap_head', (1, 1)), 'heatmap_head.2')
    cells = (
        x.reshape(h // 8, 8, w // 8, 8).transpose(1, 3, 0, 2).reshape(64, h // 8, -1)
    )
    logits = last(t, layers(t, cells, 'keypoint_head', (1, 1, 1)), 'keypoint_head.3')
    return logits, 1 / (1 + np.exp(-sure[0])), fused


def test_the_network_is_the_published_one(tensors, path, rng):
    gray = rng.uniform(size=(32, 64))
    logits, reliability, descriptors = oracle(tensors, gray)
    got = jax.jit(xfeat.XFeat().apply)(
        xfeat.load(path), jnp.asarray(gray[None, ..., None], jnp.float32)
    )
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    close(got.logits[0], logits.transpose(1, 2, 0))
    close(got.reliability[0], reliability)
    close(got.descriptors[0], descriptors.transpose(1, 2, 0))


# Files.


def test_files_of_other_networks_are_named(tensors, path, tmp_path):
    from safetensors.numpy import save_file

    other = tmp_path / 'other.safetensors'
    weights.save(other, {'conv1a': {'kernel': jnp.zeros(3)}})
    assert xfeat.is_file_of(path) and not xfeat.is_file_of(other)
    with pytest.raises(UserError, match=r"no tensor 'block1.0.layer.*77 of 77"):
        xfeat.load(other)
    key = 'block5.1.layer.1.running_var'
    save_file({k: v for k, v in tensors.items() if k != key}, other)
    with pytest.raises(UserError, match=f'no tensor {key!r}.* 1 of '):
        xfeat.load(other)
    save_file({**tensors, key: np.zeros(5, np.float32)}, other)
    with pytest.raises(UserError, match=r'shape \(128,\), got \(5,\)'):
        xfeat.load(other)


# Points.


def maps_with(*points, size=(4, 8)):
    """Of peaks (x, y, reliability of its cell); all else is dustbin."""
    logits = np.zeros((1, *size, 65), np.float32)
    logits[..., 64] = 9.0
    sure = np.full((1, *size), 0.5, np.float32)
    for x, y, share in points:
        logits[0, y // 8, x // 8, 8 * (y % 8) + x % 8] = 12.0
        sure[0, y // 8, x // 8] = share
    grid = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1)
    return xfeat.Maps(
        logits, sure, np.concatenate([grid, 7 + 0 * grid], -1)[None] + 1.0
    )


def test_points_come_back_in_the_pixels_of_the_picture():
    """Looked at in 32 x 64; (19.6, 11.7) there is (9.55, 17.8) where there are 48 x 32.

    The network finds it at pixel (20, 10), above what it marks (`xfeat.OFFSET`).
    """
    found, _ = read_points(maps_with((20, 10, 0.5)), (48, 32), 3)
    np.testing.assert_array_equal(found.valid, [[True, False, False]])
    np.testing.assert_allclose(found.xy[0], [[9.55, 17.8], [0, 0], [0, 0]], atol=1e-5)


def test_a_point_scores_by_its_probability_and_reliability():
    """Of two within four pixels the better one stays."""
    maps = maps_with((14, 11, 0.9), (17, 12, 0.3), (14, 16, 0.8))
    found, _ = read_points(maps, (32, 64), 4)
    kept = np.round(np.asarray(found.xy[0]) - xfeat.OFFSET).tolist()
    assert sorted(kept[:2]) == [[14, 11], [14, 16]] and found.valid.sum() == 2
    chance = np.exp(12) / (np.exp(12) + np.exp(9) + 63)
    sure = 0.0625 * 0.5 + 0.9375 * (0.6875 * 0.9 + 0.3125 * 0.3)  # Cell (1.31, .94).
    np.testing.assert_allclose(
        found.score[0, kept.index([14, 11])], chance * sure, rtol=1e-5
    )


def test_descriptors_are_read_between_cells():
    """One channel a column: at cell 4.0625 it shows the cubic's weights."""
    channels = np.tile(3 * np.eye(8), (1, 4, 1, 1))  # Of any length.
    maps = maps_with((36, 12, 0.5))._replace(descriptors=channels)
    _, read = read_points(maps, (32, 64), 1)
    weights = np.zeros(8)
    weights[3:7] = -0.041199, 0.991516, 0.052429, -0.002747
    want = weights / np.linalg.norm(weights)
    np.testing.assert_allclose(read[0, 0], want, atol=1e-5)


def test_points_move_with_the_picture(path, rng):
    """By 32 px; reliability, which borders reach, is the same everywhere."""
    variables = xfeat.load(path)
    variables['params']['heatmap_head.2']['kernel'] *= 0
    image = rng.uniform(size=(1, 64, 160, 3)).astype(np.float32)
    points, _ = find(variables, np.concatenate([image, np.roll(image, 32, 2)]), 640)
    here, there = (
        {tuple(xy) for xy in np.round(one - xfeat.OFFSET).tolist()}
        for one in np.asarray(points.xy)
    )
    moved = {(x + 32, y) for x, y in here if 16 < x < 112}
    assert len(moved) > 20 and moved <= there


def test_pictures_of_any_size_and_of_one_colour(path, rng):
    image = rng.uniform(size=(2, 9, 70, 3)).astype(np.float32)
    image[1] = 0.5
    points, read = find(xfeat.load(path), image, 5)
    xy = np.asarray(points.xy)
    assert points.valid[0].any() and np.isfinite(read).all()
    assert (xy >= -0.5).all() and (xy <= [69.5, 8.5]).all()


# The real network.


def test_real_points_are_found_again_without_bias(network, shared_data):
    """In mirrored pictures and in such upside down; measured .42 and .36 of points."""
    source = Folder(sorted((shared_data / 'faces').glob('*_00.jpg'))[::40], size=256)
    images = np.stack([row['image'] for row in source]) / np.float32(255)
    variables = xfeat.load(network('xfeat'))
    look = lambda x: np.asarray(find(variables, x, 100)[0].xy)
    here = look(images)
    mirrored = look(images[:, :, ::-1]) * [-1, 1] + [255, 0]
    turned = look(images[:, ::-1]) * [1, -1] + [0, 255]
    for there in (mirrored, turned):
        gap = there[:, None] - here[:, :, None]
        near = np.linalg.norm(gap, axis=-1) <= 3
        assert near.any(axis=-1).mean() > 0.3
        assert np.abs(gap[near].mean(axis=0)).max() / 2 < 0.5  # Of either view.
