import json
import logging
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from kpdiscovery.models import vgg, weights
from kpdiscovery.types import UserError

BLOCKS = ((4, 4), (6, 6), (5, 5, 5), (7, 7, 7), (8, 8, 8))  # VGG-16's depths.
TAPS = ('relu1_1', 'relu1_2', 'relu2_2', 'relu3_3', 'relu4_3', 'relu5_3', 'pool5')
# The modules of torchvision's vgg16().features that have parameters.
TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
MODEL = vgg.Vgg16(taps=TAPS, blocks=BLOCKS)


def torchvision_tensors(seed=0):
    """Random tensors under torchvision's names, convolutions OIHW."""
    rng = np.random.default_rng(seed)
    tensors, channels = {}, 3
    for n, width in zip(TORCHVISION, sum(BLOCKS, ()), strict=True):
        kernel = rng.normal(size=(width, channels, 3, 3)) * np.sqrt(2 / channels / 9)
        tensors[f'features.{n}.weight'] = kernel.astype(np.float32)
        tensors[f'features.{n}.bias'] = rng.normal(size=width).astype(np.float32) / 10
        channels = width
    tensors['classifier.0.weight'] = np.zeros((2, 8), np.float32)
    return tensors


def params_like(model=MODEL):
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), images)['params']


@pytest.fixture
def vgg_file(tmp_path):
    save_file(torchvision_tensors(), tmp_path / 'vgg.safetensors')
    return tmp_path / 'vgg.safetensors'


def numpy_vgg(tensors, image):
    """Float64 forward pass of one `[3, H, W]` image, PyTorch's layout throughout."""
    maps, x, modules = {}, image.astype(np.float64), iter(TORCHVISION)
    for b, widths in enumerate(BLOCKS, start=1):
        for i, _ in enumerate(widths, start=1):
            n = next(modules)
            kernel = tensors[f'features.{n}.weight'].astype(np.float64)
            bias = tensors[f'features.{n}.bias'].astype(np.float64)
            h, w = x.shape[1:]
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
            y = np.zeros((len(bias), h, w)) + bias[:, None, None]
            for r in range(3):
                for c in range(3):
                    patch = padded[:, r : r + h, c : c + w]
                    y += np.tensordot(kernel[:, :, r, c], patch, axes=1)
            x = maps[f'relu{b}_{i}'] = np.maximum(y, 0)
        h, w = x.shape[1] // 2, x.shape[2] // 2
        x = x[:, : 2 * h, : 2 * w].reshape(-1, h, 2, w, 2).max(axis=(2, 4))
        maps[f'pool{b}'] = x
    return maps


def test_activations_equal_a_float64_forward_pass(vgg_file):
    params = weights.load_vgg16(vgg_file, params_like())
    images = np.random.default_rng(1).normal(size=(2, 3, 37, 50)).astype(np.float32)
    got = jax.jit(MODEL.apply)({'params': params}, images.transpose(0, 2, 3, 1))
    for b in range(2):
        want = numpy_vgg(torchvision_tensors(), images[b])
        for tap in TAPS:
            assert want[tap].max() > 0.1  # Not a dead network.
            ours = got[tap][b].transpose(2, 0, 1)
            error = np.abs(ours - want[tap]).max() / np.abs(want[tap]).max()
            assert error < 1e-4, (tap, error)


def test_vgg16_table_covers_the_real_network():
    like = params_like(vgg.Vgg16(taps=('relu5_3',)))
    table = weights.vgg16_table()
    assert sorted(table) == sorted(traverse_util.flatten_dict(like, sep='/'))
    assert table['conv5_3/kernel'] == weights.Entry('features.28.weight', weights.OIHW)
    assert len({entry.key for entry in table.values()}) == 26


def test_a_network_cut_early_loads_its_part(vgg_file, caplog):
    caplog.set_level(logging.DEBUG, logger='kpdiscovery.models.weights')
    like = params_like(vgg.Vgg16(taps=('relu2_1',), blocks=BLOCKS))
    params = weights.load_vgg16(vgg_file, like)
    assert sorted(params) == ['conv1_1', 'conv1_2', 'conv2_1']
    assert '21 tensors not used: classifier.0.weight, features.10.bias' in caplog.text


def test_save_and_load_round_trip_is_exact(tmp_path):
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
    tree = {
        'params': {
            'conv': {'kernel': draw(3, 2, 4, 5)},
            'dense': {'kernel': draw(4, 5)},
        },
        'batch_stats': {'mean': draw(5), 's': np.float32(3)},
    }
    table = {
        'params/conv/kernel': weights.Entry('c.weight', weights.OIHW),
        'params/dense/kernel': weights.Entry('d.weight', weights.OI),
        'batch_stats/mean': weights.Entry('running_mean'),
        'batch_stats/s': weights.Entry('scale'),
    }
    for name, names in (('own', None), ('theirs', table)):
        path = tmp_path / 'new folder' / name
        weights.save(path, tree, names)
        back = weights.load(path, names, jax.eval_shape(lambda: tree))
        assert jax.tree.structure(back) == jax.tree.structure(tree)
        jax.tree.map(np.testing.assert_array_equal, back, tree)
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(back))
    theirs = load_file(tmp_path / 'new folder' / 'theirs')
    kernel = tree['params']['conv']['kernel']
    assert theirs['c.weight'].shape == (5, 4, 3, 2)
    assert theirs['c.weight'][4, 3, 2, 1] == kernel[2, 1, 3, 4]
    assert theirs['d.weight'].shape == (5, 4)
    assert sorted(os.listdir(tmp_path / 'new folder')) == ['own', 'theirs']


def test_saving_again_replaces_the_file(tmp_path):
    path = tmp_path / 'w'
    for value in (1.0, 2.0):
        weights.save(path, {'a': jnp.full((2,), value)})
    like = {'a': jax.ShapeDtypeStruct((2,), jnp.float32)}
    np.testing.assert_array_equal(weights.load(path, None, like)['a'], [2, 2])


@pytest.mark.parametrize(
    'dtype, name, error',
    [(jnp.float16, 'F16', 2**-11), (jnp.bfloat16, 'BF16', 2**-8), (np.float64,) * 3],
)
def test_half_and_double_files_are_cast_to_float32(tmp_path, dtype, name, error):
    value = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)
    path, table = tmp_path / 'w', {'a/k': weights.Entry('k', weights.OIHW)}
    weights.save(path, {'a': {'k': value}}, table, dtype=dtype)
    with safe_open(path, framework='np') as file:
        assert file.get_slice('k').get_dtype() == ('F64' if name is dtype else name)
    got = weights.load(path, table, {'a': {'k': value}})['a']['k']
    assert got.dtype == jnp.float32
    rtol = 0 if name is dtype else error
    np.testing.assert_allclose(got, value, rtol=rtol, atol=1e-6 if rtol else 0)


def test_saving_what_half_precision_cannot_hold(tmp_path):
    tree = {'var': jnp.array([1e5])}
    with pytest.raises(ValueError, match=r"'var' is too large for float16; use bfl"):
        weights.save(tmp_path / 'w', tree, dtype=jnp.float16)
    weights.save(tmp_path / 'w', tree, dtype=jnp.bfloat16)


def test_saving_where_one_cannot(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'cannot write weights to .*file/w'):
        weights.save(tmp_path / 'file' / 'w', {'a': jnp.zeros(2)})
    (tmp_path / 'folder').mkdir()
    with pytest.raises(UserError, match=r'cannot write weights to .*folder: '):
        weights.save(tmp_path / 'folder', {'a': jnp.zeros(2)})
    assert sorted(os.listdir(tmp_path)) == ['file', 'folder']  # No leftovers.


def refusal(path):
    with pytest.raises(UserError) as caught:
        weights.load_vgg16(path, params_like())
    message = str(caught.value)
    assert '\n' not in message and str(path) in message
    return message


def test_no_such_file(tmp_path):
    assert 'there is no such file; give a .safetensors or .pth' in refusal(
        tmp_path / 'vgg'
    )
    assert 'is a folder; give a .safetensors or .pth' in refusal(tmp_path)


def test_truncated_file(vgg_file):
    whole = vgg_file.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 100, 9):
        vgg_file.write_bytes(whole[:size])
        assert f'truncated or damaged at {size} bytes; download' in refusal(vgg_file)


@pytest.mark.parametrize('content', [b'', b'{"a": 1}', b'<!DOCTYPE html><html>', b'0'])
def test_not_a_file_of_weights(tmp_path, content):
    path = tmp_path / 'vgg.safetensors'
    path.write_bytes(content)
    assert ': not a file of weights, neither safetensors nor of torch (' in refusal(
        path
    )


def test_missing_tensors_name_the_nearest(tmp_path):
    path = tmp_path / 'w'
    save_file({f'module.{k}': v for k, v in torchvision_tensors().items()}, path)
    message = refusal(path)
    assert "no tensor 'features.0.bias' for parameter 'conv1_1/bias'" in message
    assert "nearest is 'module.features.0.bias'; 26 of 26 tensors are mis" in message
    tensors = torchvision_tensors()
    del tensors['features.28.weight']
    save_file(tensors, path)
    assert "no tensor 'features.28.weight'" in refusal(path)
    assert '1 of 26' in refusal(path)
    save_file({}, path)
    assert 'nearest is nothing' in refusal(path)


def test_unexpected_shape(tmp_path):
    path, tensors = tmp_path / 'w', torchvision_tensors()
    turned = tensors['features.7.weight'].transpose(2, 3, 1, 0)
    save_file(tensors | {'features.7.weight': np.ascontiguousarray(turned)}, path)
    want = (
        "tensor 'features.7.weight' for parameter 'conv2_2/kernel' must have shape "
        '(6, 6, 3, 3), got (3, 3, 6, 6); is the file of another network?'
    )
    assert want in refusal(path)


def test_integer_tensors_are_refused(tmp_path):
    path, tensors = tmp_path / 'w', torchvision_tensors()
    save_file(tensors | {'features.0.bias': np.zeros(4, np.int8)}, path)
    message = refusal(path)
    assert "tensor 'features.0.bias' must be one of F16, BF16, F32, F64," in message
    assert 'got I8' in message


def test_parameters_without_entry_are_the_callers_mistake(vgg_file):
    want = "no table entry for parameter 'params/conv1_1/bias' (26 such); nearest is"
    with pytest.raises(ValueError, match=re.escape(want) + " 'conv1_1/bias'"):
        weights.load_vgg16(vgg_file, {'params': params_like()})
    with pytest.raises(ValueError, match='nearest is nothing'):
        weights.load(vgg_file, {}, params_like())
    table = {'a': weights.Entry('features.0.bias', weights.OIHW)}
    with pytest.raises(ValueError, match=r'needs 4 axes, got shape \(4,\)'):
        weights.load(vgg_file, table, {'a': jnp.zeros(4)})


def test_files_hold_no_pickle(tmp_path):
    weights.save(tmp_path / 'w', {'a': {'b': jnp.arange(2.0)}})
    raw = (tmp_path / 'w').read_bytes()
    size = int.from_bytes(raw[:8], 'little')
    assert json.loads(raw[8 : 8 + size])['a/b']['shape'] == [2]
