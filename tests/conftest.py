"""Before jax starts: CPU, eight simulated devices, no silent rank promotion."""

import gc
import itertools
import os
from pathlib import Path

# Not forced: `JAX_PLATFORMS=cuda,cpu pytest -m gpu` runs the tests that need one.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['JAX_NUM_CPU_DEVICES'] = '8'
os.environ['JAX_NUMPY_RANK_PROMOTION'] = 'raise'
os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = '1'  # Much compiling, little computing.

import jax
import numpy as np
import pytest
from jax._src import compiler

from kpdiscovery.models import zoo

CACHED = zoo.folder()  # Networks that `make setup` has got.
NUMBERS = itertools.count()
SHARED_DATA = Path(__file__).parents[1].parent / 'shared' / 'data'


def pytest_collection_finish():
    """What is imported by now stays: the collector need not walk it at every trace."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(items):
    """Tests marked `gpu` are skipped where there is none."""
    if any(item.get_closest_marker('gpu') for item in items) and not _has_gpu():
        skip = pytest.mark.skip(
            reason='no GPU: run `JAX_PLATFORMS=cuda,cpu pytest -m gpu`'
        )
        for item in items:
            if item.get_closest_marker('gpu'):
                item.add_marker(skip)


def _has_gpu():
    try:
        return bool(jax.devices('gpu'))
    except RuntimeError:
        return False


@pytest.fixture(autouse=True)
def whole_compiler_for_tpu(request):
    """Tests that look at a TPU executable want the real one.

    After them too: what a file shares is compiled before its first test asks for this.
    """
    real = request.node.get_closest_marker('tpu_aot') is not None
    jax.config.update('jax_disable_most_optimizations', not real)
    yield
    jax.config.update('jax_disable_most_optimizations', True)


@pytest.fixture(autouse=True, scope='module')
def compiled_once():
    """A file's programs are compiled once: a run that resumes asks for those of the first.

    They are forgotten after it: of no use to the next, and gigabytes together.
    """
    compile_anew, known = compiler.backend_compile_and_load, {}

    def find(backend, module, devices, options, callbacks):
        if backend.platform != 'cpu':
            return compile_anew(backend, module, devices, options, callbacks)
        # The plain emitter of fused loops, and code in one piece, take .6 of the time.
        options.env_option_overrides = [
            *options.env_option_overrides, ('xla_cpu_use_fusion_emitters', False),
            ('xla_cpu_parallel_codegen_split_count', 1),
        ]  # fmt: skip
        key = module.operation.get_asm(), options.SerializeAsString(), devices
        if key not in known or callbacks:
            known[key] = compile_anew(backend, module, devices, options, callbacks)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, 'backend_compile_and_load', find)
        yield
    jax.clear_caches()


@pytest.fixture
def rng():
    """The same numpy generator for every test."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    """A folder of networks for each test: it sees those that it asks for, everywhere."""
    folder = tmp_path_factory.getbasetemp() / 'cache' / str(next(NUMBERS))
    monkeypatch.setattr(zoo, 'folder', lambda: folder)
    return folder


@pytest.fixture
def network(cache):
    """Function from a network's name to its file, which commands now find by its name."""

    def find(name):
        kept = CACHED / name
        if not kept.is_dir():
            pytest.skip(f'no weights of {name}: kpd weights {name}')
        cache.mkdir(parents=True, exist_ok=True)
        if not zoo.present(name):
            (cache / name).symlink_to(kept)
        return zoo.path(name)

    return find


@pytest.fixture(scope='session')
def shared_data():
    """Folder of real pictures kept outside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f'{SHARED_DATA} is not there')
    return SHARED_DATA


@pytest.fixture(scope='session')
def tpu_topology():
    """Function from a topology's name to its chips, without any TPU; needs libtpu.

    Eight chips are the mesh of a process here; skips where libtpu is missing.
    """
    pytest.importorskip('libtpu', reason='libtpu is not installed')
    from jax.experimental import topologies

    os.environ.update(
        TPU_SKIP_MDS_QUERY='1',
        TPU_ACCELERATOR_TYPE='v5litepod-8',
        TPU_WORKER_HOSTNAMES='localhost',
        ALLOW_MULTIPLE_LIBTPU_LOAD='1',
    )

    def chips(name):
        found = topologies.get_topology_desc(platform='tpu', topology_name=name).devices
        return np.array(found)

    return chips
