"""Checkpoints of which a file is damaged, gone or another's."""

import errno
import gc
import shutil
import sys

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental import multihost_utils

from kpdiscovery.training import checkpoints, runs
from kpdiscovery.training.checkpoints import Checkpoints, Snapshot
from kpdiscovery.types import State
from tests.fuzz import mutations
from tests.fuzz.checks import cases, survives

CONFIG = {'method': {'name': 'toy'}, 'seed': 0}
META = {'phase': 'mean', 'number': 0, 'step': 3, 'seconds': 1.0, 'planned': [6]}


def snapshot():
    variables = {'color': jnp.arange(3.0), 'net': {'kernel': jnp.ones((4, 5))}}
    state = State(jnp.int32(3), variables, {'color': (jnp.zeros(3),)})
    return Snapshot(state, {'bright': jnp.arange(8)}, {})


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A workdir with two checkpoints."""
    root = tmp_path_factory.mktemp('whole') / 'run'
    with Checkpoints(root, CONFIG) as kept:
        for step in (3, 6):
            kept.save(step, snapshot(), {**META, 'step': step})
    return root


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return tmp_path_factory.mktemp('place')


@pytest.fixture(autouse=True)
def readers_that_were_left_alone():
    """Threads of a damaged checkpoint find nobody to tell; not the next test either."""
    yield
    gc.collect()


def files(root):
    return sorted(path.relative_to(root) for path in root.rglob('*') if path.is_file())


WAYS = st.one_of(
    mutations.EDITS, st.sampled_from(['gone', 'empty', 'folder', 'json', 'all'])
)


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@given(number=st.integers(0, 200), way=WAYS, text=mutations.forged_json(META))
@cases(0.03)
def test_checkpoints(whole, place, number, way, text):
    root = place / 'run'
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)
    found = files(root)
    _spoil(root, root / found[number % len(found)], way, text)
    tell = sys.excepthook
    loaded = survives(lambda: runs.load_variables(root), place)
    if loaded is not None:
        assert loaded[0]['net']['kernel'].shape == (4, 5)
    survives(lambda: runs.last_meta(root), place)
    survives(lambda: _resume(root), place)
    sys.excepthook = tell


def test_what_is_saved_after_falling_back_comes_next(whole, tmp_path):
    """A damaged checkpoint of a later step had those before it thrown away."""
    root = shutil.copytree(whole, tmp_path / 'run')
    for name in files(root / 'checkpoints' / '6'):
        (root / 'checkpoints' / '6' / name).write_bytes(b'')
    look = lambda kept: kept.latest(lambda meta: jax.eval_shape(snapshot))[1]['step']
    with Checkpoints(root, CONFIG) as kept:
        assert look(kept) == 3
        kept.save(5, snapshot(), {**META, 'step': 5})
    with Checkpoints(root, CONFIG) as kept:
        assert look(kept) == 5
    assert sorted(
        p.name for p in (root / 'checkpoints').iterdir() if p.name.isdigit()
    ) == ['3', '5']


def test_saving_asks_nobody_whether_to_stop(tmp_path, monkeypatch):
    """Jax answers by numbers of calls: those of steps would make it miss a request."""
    asked = []
    monkeypatch.setattr(
        multihost_utils, 'reached_preemption_sync_point', lambda n: asked.append(n)
    )
    with Checkpoints(tmp_path, CONFIG) as kept:
        kept.save(3, snapshot(), META)
        assert not kept._manager.reached_preemption(3)
    assert asked == []


def test_a_disk_without_locks_is_told_and_used(tmp_path, monkeypatch, caplog):
    def refuse(*args):
        raise OSError(errno.ENOSYS, 'Function not implemented')

    monkeypatch.setattr(checkpoints.fcntl, 'flock', refuse)
    with Checkpoints(tmp_path, CONFIG) as kept:
        kept.save(3, snapshot(), META)
    assert 'has no locks (Function not implemented)' in caplog.text


def _resume(root):
    with Checkpoints(root, CONFIG) as kept:
        return kept.latest(lambda meta: jax.eval_shape(snapshot))


def _spoil(root, path, way, text):
    data = path.read_bytes()
    if way in ('gone', 'folder', 'all'):
        path.unlink()
    if way == 'folder':
        path.mkdir()
    elif way == 'all':
        for one in files(root / 'checkpoints'):
            (root / 'checkpoints' / one).write_bytes(b'')
    elif way == 'empty':
        path.write_bytes(b'')
    elif way == 'json':
        path.write_text(text, errors='replace')
    elif way != 'gone':
        path.write_bytes(mutations.edited(data, way))
