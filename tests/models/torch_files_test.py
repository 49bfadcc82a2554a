"""Torch's files: what is read, what is refused, and that nothing else can happen."""

import contextlib
import random
import re
import time
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kpdiscovery.models import backbones, superpoint, weights
from kpdiscovery.types import UserError
from tests.models import torch_resnet, torch_writer
from tests.models.torch_writer import (
    FORMATS,
    Call,
    Ordered,
    Stored,
    archive,
    pickled,
    tensor,
    whole,
)

BASE = np.arange(24, dtype=np.float32)
NETWORK = {'a.weight': BASE.reshape(2, 3, 4), 'a.bias': BASE[:5] / 7}


@pytest.fixture(params=FORMATS)
def write(request, tmp_path):
    def write(value, **options):
        path = tmp_path / 'net'  # The format is told by content.
        path.write_bytes(FORMATS[request.param](value, **options))
        return path

    return write


def network():
    return Ordered({name: whole(array) for name, array in NETWORK.items()})


def contents(path):
    with weights._open(path) as file:
        keys = file.keys()
        return {key: np.array(file.get_tensor(key)) for key in keys}


def refusal(path, content=None):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        contents(path)
    message = str(caught.value)
    assert '\n' not in message and str(path) in message and len(message) < 400
    return message


def check(path, want=NETWORK):
    got = contents(path)
    assert list(got) == list(want)
    for name, array in want.items():
        assert got[name].dtype == array.dtype, name
        np.testing.assert_array_equal(got[name], array, name)


@pytest.mark.parametrize('dtype', torch_writer.STORAGES)
def test_types(write, dtype):
    array = BASE.reshape(4, 6).astype(jnp.dtype(dtype))
    check(write({'x': whole(array), 's': whole(array[0, 1])}),
          {'x': array, 's': array[0, 1]})  # fmt: skip


def test_views_of_one_storage(write):
    base = Stored(BASE)
    views = {
        'turned': tensor(base, (4, 6), (1, 4)),
        'every third': tensor(base, (7,), (3,), 2),
        'repeated': tensor(base, (3, 2), (0, 1), 22),
        'empty': tensor(base, (0, 3), (3, 1), 24),
        'alone': tensor(base, (), (), 23),
    }
    want = {
        'turned': BASE.reshape(6, 4).T,
        'every third': BASE[2:21:3],
        'repeated': np.tile(BASE[22:], (3, 1)),
        'empty': np.zeros((0, 3), np.float32),
        'alone': BASE[23],
    }
    check(write(views), want)


@pytest.mark.parametrize('key', ['state_dict', 'model', 'model_state_dict'])
def test_the_network_of_a_checkpoint(write, key):
    moments = {'state': {0: {'exp_avg': whole(BASE)}}, 'lr': 0.1, 'betas': (0.9, 0.99)}
    rest = {'epoch': 3, 'optimizer': moments, 'best': None, 'done': False, 'n': 1 << 70}
    check(write(rest | {key: network(), 'model_state_dict ': {}}))


def test_names_of_nested_tensors(write):
    parameter = Call('torch._utils _rebuild_parameter', whole(BASE), True, Ordered())
    value = {'a': {'b': parameter, 3: [whole(BASE[:2]), 'word']}, 'model': {'epoch': 3}}
    check(write(value), {'a.b': BASE, 'a.3.0': BASE[:2]})
    both = {'model': {'x': whole(BASE)}, 'state_dict': {'x': whole(BASE)}}
    check(write(both), {'model.x': BASE, 'state_dict.x': BASE})
    twice = [whole(BASE)]
    check(write({'a': twice, 'b': twice}), {'a.0': BASE})
    check(write(3), {})


def test_training_on_several_gpus_leaves_no_prefix(write):
    check(write({'state_dict': {f'module.{k}': v for k, v in network().items()}}))
    some = {'module.a': whole(BASE), 'b': whole(BASE)}
    check(write(some), {'module.a': BASE, 'b': BASE})


def test_the_oldest_files(tmp_path):
    """As Python 2 and torch before 0.4 wrote them, VGG-16's among them."""
    old = Call('torch._utils _rebuild_tensor', Stored(BASE), 4, (5, 4), (4, 1))
    pairs = Call('collections OrderedDict', [['a', old], ['b', whole(BASE)]])
    content = torch_writer.legacy(pairs).replace(b'X\x01\0\0\0a', b'U\x01a')
    content = content.replace(b'torch\nFloat', b'torch.cuda\nFloat')
    (tmp_path / 'old.pth').write_bytes(content)
    check(tmp_path / 'old.pth', {'a': BASE[4:].reshape(5, 4), 'b': BASE})


def test_loaders_read_torch_files_as_safetensors(write, tmp_path):
    depths, net = (2, 2, 2, 2), backbones.build('resnet18', width=4)
    arrays = torch_resnet.tensors(depths, bottleneck=False, width=4, classes=5)
    path = write(Ordered({name: whole(array) for name, array in arrays.items()}))
    save_file(arrays, tmp_path / 'safe')
    assert weights.shapes(path) == weights.shapes(tmp_path / 'safe')
    got, want = backbones.load(path, net), backbones.load(tmp_path / 'safe', net)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_superpoint_as_it_is_published(write, tmp_path):
    model = superpoint.SuperPoint((2, 3, 4, 5), 6, 7, batch_norm=False)
    fill = lambda like: np.arange(like.size, dtype=np.float32).reshape(like.shape)
    variables = jax.tree.map(fill, superpoint.like(model))
    weights.save(tmp_path / 'safe', variables, superpoint.table())
    arrays = load_file(tmp_path / 'safe')
    path = write({name: whole(array) for name, array in arrays.items()})
    assert superpoint.load(path)[0] == model
    jax.tree.map(np.testing.assert_array_equal, superpoint.load(path)[1], variables)


LIKE = {'w': jax.ShapeDtypeStruct((24,), jnp.float32)}


@pytest.mark.parametrize(
    ('tensors', 'message'),
    [
        (
            {'v': BASE},
            "no tensor 'w' for parameter 'w', nearest is 'v'; 1 of 1 tensors",
        ),
        ({}, 'nearest is nothing; 1 of 1 tensors are missing'),
        (
            {'w': BASE[:5]},
            "'w' must have shape (24,), got (5,); is the file of another",
        ),
        (
            {'w': BASE.astype(int)},
            'one of F16, BF16, F32, F64, got I64; save it as flo',
        ),
    ],
)
def test_what_does_not_fit_is_told_as_of_safetensors(write, tensors, message):
    path = write({name: whole(array) for name, array in tensors.items()})
    with pytest.raises(UserError) as caught:
        weights.load(path, None, LIKE)
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_another_architecture_and_superfluous_tensors(write):
    arrays = torch_resnet.tensors((2, 2, 2, 2), bottleneck=False, width=4, classes=5)
    arrays['layer1.0.conv1.bias'] = BASE
    path = write({name: whole(array) for name, array in arrays.items()})
    message = "tensor 'layer1.0.conv1.bias' of shape (24,) has no place in the network"
    with pytest.raises(UserError, match=re.escape(message)):
        backbones.load(path, backbones.build('resnet18', width=4))
    with pytest.raises(UserError, match='the file is of resnet18 .* wanted resnet50'):
        backbones.load(path, backbones.build('resnet50', width=4))


@pytest.mark.parametrize(
    ('name', 'arguments'),
    [('os system', ('touch FILE',)), ('builtins eval', ('open("FILE", "w")',)),
     ('torch.nn.modules.container Sequential', ()), ('argparse Namespace', ()),
     ('numpy.core.multiarray scalar', ()), ('torch ComplexFloatStorage', ())],
)  # fmt: skip
def test_what_is_not_admitted_is_named_and_not_run(write, tmp_path, name, arguments):
    there = tmp_path / 'run'
    arguments = [text.replace('FILE', str(there)) for text in arguments]
    message = refusal(write({'a': whole(BASE), 'args': Call(name, *arguments)}))
    assert f'a torch file with {name.replace(" ", ".")} in it' in message
    assert message.endswith('save the state dict alone')
    assert not there.exists()


def test_names_cannot_break_the_line(tmp_path):
    assert r'os\r.system' in refusal(tmp_path / 'x', archive(b'cos\r\nsystem\n.'))
    refusal(tmp_path / 'x', archive(b'c%s\nx\n.' % (b'y' * 9999)))


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (tensor(Stored(BASE), (5, 5), (5, 1)), 'beyond its storage'),
        (tensor(Stored(BASE), (24,), (1,), 1), 'beyond its storage'),
        (tensor(Stored(BASE), (1,), (1,), -1), 'not a size'),
        (tensor(Stored(BASE), (4,), (-1,), 8), 'not a size'),
        (tensor(Stored(BASE), (-4,), (1,)), 'not a size'),
        (tensor(Stored(BASE), (True,), (1,)), 'not a size'),
        (tensor(Stored(BASE), (2,), (1 << 62,)), 'not a size'),
        (tensor(Stored(BASE), (4,), (1, 1)), 'zip() argument'),
        (tensor(Stored(BASE), (1,) * 33, (1,) * 33), 'too many axes'),
        (tensor(Stored(BASE), (1 << 40,), (0,)), "'x' is larger than the file"),
        (tensor(Stored(BASE), (0, 1 << 40), (0, 0)), "'x' is larger than the file"),
        (tensor(Stored(BASE, 1 << 40), (24,), (1,)), 'storage'),
        (tensor(Stored(BASE, 25), (24,), (1,)), 'storage'),
        (tensor(Stored(BASE, -1), (0,), (1,)), 'not a size'),
        (tensor('storage', (24,), (1,)), 'a str for a Storage'),
        (tensor(Stored(BASE), [24], (1,)), 'a list for a tuple'),
        ({(1, 2): 3}, 'a tuple for a key'),
        ({1 << 64: 3}, 'a int for a key'),
        (Call('torch Size', 3), 'a int for a tuple'),
        (Call('torch Size', (), ()), 'positional arg'),
        ({'n' * 300: whole(BASE)}, 'name of more than 256'),
        ({1, 2}, '__builtin__.set'),
    ],
)
def test_sizes_that_cannot_be(write, value, message):
    assert message in refusal(write({'x': value} if isinstance(value, Call) else value))


@pytest.mark.parametrize(
    ('pickle', 'message'),
    [
        (b'0', 'pickled otherwise than torch'),
        (b'K\x01K\x01R.', 'a int for a tuple'),
        (b'}(K\x01tR.', 'a dict for a function'),
        (b'ctorch\nFloatStorage\n)R.', 'a Dtype for a function'),
        (b')K\x01a.', 'a tuple for a list'),
        (b']}b.', 'a list for a dict'),
        (b'}(K\x01u.', 'shorter'),
        (b'K\x01Q.', 'a int for a tuple'),
        (b'(U\x06moduleK\x01K\x01K\x01K\x01tQ.', 'more than tensors'),
        (b'h\x05.', '(5)'),
        (b't.', 'pop from empty list'),
        (b'\x80\x05.', 'pickle protocol 5'),
        (b'\x8b\xff\xff\xff\x7f.', 'damaged'),
        (b'X\xff\xff\xff\xff.', 'damaged'),
        (b'N' * 1_000_001 + b'.', 'more than 1,000,000 instructions'),
    ],
)
def test_pickles_that_torch_does_not_write(tmp_path, pickle, message):
    assert message in refusal(tmp_path / 'x', archive(pickle))


BOMBS = {
    'lists': b']q\x00' + b''.join(
        b'](h%ch%ceq%c' % (i, i, i + 1) for i in range(99)) + b'.',
    'tuples': b')q\x00' + b''.join(
        b'(h%ch%ctq%c' % (i, i, i + 1) for i in range(99)) + b'.',
    'keys': b'})q\x00' + b''.join(
        b'(h%ch%ctq%c' % (i, i, i + 1) for i in range(40)) + b'Ns.',
    'itself': b'}q\x00X\x05\0\0\0modelh\x00s.',
    'deep': b']' * 400_000 + b'a' * 399_999 + b'.',
    'copied': b']q\x00(U\x02abq\x01' + b'h\x01' * 200_000 + b'e('
              + b'ccollections\nOrderedDict\nh\x00\x85R' * 1000 + b't.',
    'arguments': b'ctorch._utils\n_rebuild_parameter\nq\x00('
                 + b'(ctorch._utils\n_rebuild_tensor\n(('
                 + b'U\x07storagectorch\nFloatStorage\nU\x010NK\x01tQK\x00))tR'
                 + b'N' * 200_000 + b'tq\x01' + b'h\x00h\x01R' * 20_000 + b't.',
    'references': b'((U\x07storagectorch\nFloatStorage\nU\x010NK\x01'
                  + b'N' * 200_000 + b'tq\x00' + b'h\x00Q' * 20_000 + b't.',
    'collisions': b'}(' + b''.join(
        b'\x8a\x0b' + (i * (2**61 - 1)).to_bytes(11, 'little') + b'N'
        for i in range(50_000)) + b'u.',
}  # fmt: skip


@pytest.mark.parametrize('bomb', BOMBS)
def test_bombs(tmp_path, bomb):
    path, start = tmp_path / 'x', time.monotonic()
    path.write_bytes(archive(BOMBS[bomb]))
    with contextlib.suppress(UserError):
        assert contents(path) == {}
    assert time.monotonic() - start < 5


def test_other_archives_and_byte_orders(write, tmp_path):
    path = tmp_path / 'other'
    np.savez(path, a=BASE)
    assert "not torch's: no data.pkl" in refusal(tmp_path / 'other.npz')
    assert "a pickle, but not torch's" in refusal(path, pickled([1, 2])[0])
    compressed = torch_writer.zipped(network(), compression=zipfile.ZIP_DEFLATED)
    assert 'a compressed archive' in refusal(path, compressed)
    big = torch_writer.zipped(network(), order='big')
    assert 'big-endian' in refusal(path, big)
    assert 'big-endian' in refusal(path, torch_writer.legacy(network(), little=False))


def test_truncated_files(write):
    path = write(network())
    content = path.read_bytes()
    for size in {len(content) * i // 10 for i in range(1, 10)} | {len(content) - 1}:
        message = refusal(path, content[:size])
        assert f'truncated or damaged at {size} bytes; download or copy' in message


def test_damaged_files_are_read_or_refused(write):
    rng, path = random.Random(0), write({'model': network(), 'epoch': 3})
    content, start = path.read_bytes(), time.monotonic()
    for _ in range(250):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 4))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            contents(path)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize('zipped', [False, True])
def test_files_that_torch_writes(tmp_path, zipped):
    torch = pytest.importorskip('torch')
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    saved = {'state_dict': net.state_dict(), 'optimizer': optimizer.state_dict()}
    saved['state_dict']['turned'] = torch.arange(6.0).bfloat16().reshape(2, 3).T
    path = tmp_path / 'net.pth'
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    got = contents(path)
    assert got.keys() == saved['state_dict'].keys()
    for name, want in saved['state_dict'].items():
        np.testing.assert_array_equal(got[name].astype(float), want.double().numpy())
