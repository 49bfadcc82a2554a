"""What this machine has and lacks: small checks, each with one finding."""

from __future__ import annotations

import glob
import importlib.util
import os
import pathlib
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from kpdiscovery.models import zoo
from kpdiscovery.types import UserError

OK, MISSING, ABSENT = 'ok', 'missing', 'absent'  # Absent is what not all need.
_GIB = 1 << 30
_LEAST = 2  # GiB of disk and memory: own choice, for the `:cpu` configs.
_PACKAGES = (  # By the names they are imported by.
    'flax', 'grain', 'ml_collections', 'numpy', 'optax', 'orbax', 'PIL', 'safetensors',
    'scipy', 'tensorboardX', 'tensorflow_datasets', 'tqdm',
)  # fmt: skip


class Finding(NamedTuple):
    """Of one check: its state, what was found, and the mend where something lacks."""

    state: str  # OK, MISSING (needed) or ABSENT (optional).
    text: str
    mend: str = ''


Check = tuple[str, Callable[[], Finding]]  # A name of one word, and its function.
Result = tuple[str, Finding]


def run(checks: Iterable[Check]) -> list[Result]:
    """Every check's finding; a UserError is one, of something missing."""
    return [(name, _attempt(check)) for name, check in checks]


def examine() -> list[Result]:
    """All that can be said of the machine without a config; quick."""
    return run(CHECKS)


def has(modules: Sequence[str]) -> bool:
    """Whether all can be imported; none is."""
    return not _lacking(modules)


def _attempt(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except UserError as error:
        return Finding(MISSING, str(error))


def _python() -> Finding:
    version, wanted = platform.python_version(), (3, 11)
    if sys.version_info >= wanted:
        return Finding(OK, version)
    return Finding(MISSING, version, 'make a virtual environment of Python >= 3.11')


def _packages() -> Finding:
    lacking = _lacking(_PACKAGES)
    if lacking:
        return Finding(MISSING, f'no {", ".join(lacking)}', 'pip install kpdiscovery')
    return Finding(OK, 'all that is always needed')


def _jax() -> Finding:
    import jax  # Not on top: the first line should come at once.

    try:
        devices = jax.devices()
    except RuntimeError as error:
        line = str(error).split('\n')[0]
        return Finding(MISSING, f'{jax.__version__}: {line}', 'unset JAX_PLATFORMS')
    kinds = ', '.join(sorted({device.device_kind for device in devices}))
    return Finding(OK, f'{jax.__version__}, devices: {len(devices)} x {kinds}')


def _accelerator() -> Finding:
    """Whether there is one that jax leaves idle."""
    import jax

    seen = {'gpu': os.path.exists('/dev/nvidiactl'), 'tpu': bool(_tpus())}
    idle = [name for name, there in seen.items() if there]
    if jax.default_backend() != 'cpu':
        return Finding(OK, jax.default_backend())
    if not idle:
        return Finding(ABSENT, 'none: take the variants `:cpu` of the configs')
    if os.environ.get('JAX_PLATFORMS', '') == 'cpu':
        return Finding(ABSENT, f'a {idle[0]}, left idle', 'unset JAX_PLATFORMS')
    mend = f"pip install 'kpdiscovery[{idle[0]}]'"
    return Finding(ABSENT, f'a {idle[0]} that jax does not see', mend)


def _tpus() -> list[str]:
    return glob.glob('/dev/accel*') + glob.glob('/dev/vfio/[0-9]*')


def _extra(name: str, modules: Sequence[str], purpose: str) -> Finding:
    lacking = _lacking(modules)
    if not lacking:
        return Finding(OK, purpose)
    mend = f"pip install 'kpdiscovery[{name}]'"
    return Finding(ABSENT, f'no {", ".join(lacking)}, for {purpose}', mend)


def _networks() -> Finding:
    here = [name for name in zoo.NETWORKS if zoo.present(name)]
    easy = [name for name, network in zoo.NETWORKS.items() if network.package]
    lacking = [name for name in easy if name not in here]
    if lacking:
        mend = f'kpd weights {" ".join(lacking)}'
        return Finding(ABSENT, f'pretrained {", ".join(lacking)} are not here', mend)
    return Finding(OK, f'pretrained: {", ".join(here)}')


def _tfds() -> Finding:
    try:
        from tensorflow_datasets.core import constants
    except ImportError as error:
        return Finding(ABSENT, f'no {error.name}', 'pip install kpdiscovery')
    root = pathlib.Path(constants.DATA_DIR).expanduser()
    sets = sorted(prepared(root))
    if sets:
        return Finding(OK, f'{", ".join(sets)} in {root}')
    mend = '`pip install tensorflow` and `tfds build NAME --file_format=array_record`'
    return Finding(ABSENT, f'no set prepared as array_record in {root}', mend)


def prepared(root: pathlib.Path) -> set[str]:
    """Names of the TFDS sets below a folder that can be read without TensorFlow."""
    found = root.glob('**/dataset_info.json') if root.is_dir() else ()
    folders = [path.parent for path in found]  # NAME/[CONFIG/]VERSION.
    whole = [path for path in folders if any(path.glob('*.array_record*'))]
    return {'/'.join(path.relative_to(root).parts[:-1]) for path in whole}


def _disk() -> Finding:
    here = os.getcwd()
    return _room(shutil.disk_usage(here).free, f'free in {here}', 'work elsewhere')


def _memory() -> Finding:
    try:
        lines = pathlib.Path('/proc/meminfo').read_text().splitlines()
        fields = dict(line.split(':') for line in lines)
        free = int(fields['MemAvailable'].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return Finding(ABSENT, 'not known on this system')
    return _room(free, 'available', 'end other programs')


def _room(free: int, text: str, mend: str) -> Finding:
    text = f'{free / _GIB:.1f} GiB {text}'
    if free >= _LEAST * _GIB:
        return Finding(OK, text)
    return Finding(MISSING, text, f'{_LEAST} GiB are little: {mend}')


def _lacking(modules: Sequence[str]) -> list[str]:
    return [name for name in modules if not _found(name)]


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # Blocked, as in `sys.modules[name] = None`.
        return False


CHECKS: tuple[Check, ...] = (
    ('python', _python),
    ('packages', _packages),
    ('jax', _jax),
    ('accelerator', _accelerator),
    ('vision', partial(_extra, 'vision', ('cv2',), 'SIFT, ORB and optical flow')),
    (
        'report',
        partial(_extra, 'report', ('jinja2', 'matplotlib', 'sklearn'), 'kpd report'),
    ),
    ('bench', partial(_extra, 'bench', ('faiss',), 'kpd bench --against=faiss')),
    ('networks', _networks),
    ('tfds', _tfds),
    ('disk', _disk),
    ('memory', _memory),
)
