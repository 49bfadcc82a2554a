"""Several processes, each with devices of its own, that train as one program.

Only process 0 writes what people read. An error of one process ends all of them, since
the others would wait for it for ever; a request to stop reaches all at the same step.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax._src import distributed, xla_bridge  # The store of keys has no public name.
from jax.experimental import multihost_utils

from kpdiscovery import paths
from kpdiscovery.types import UserError

_TOLD_IN_ONE_LINE = (UserError, OSError, KeyboardInterrupt)
_FAILED, _LEFT = 'kpd/failed', 'kpd/left'
_POLL, _PATIENCE = 0.5, 10.0  # Seconds.
_LONG = 24 * 3_600_000  # Milliseconds.
_TICKS, _TOLD = itertools.count(), itertools.count()  # The same in every process.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say who else is there, where the cluster does not."""
    group = parser.add_argument_group(
        'several processes',
        'Cloud TPU, SLURM, Open MPI and GKE say by themselves who else is there; '
        'elsewhere start the same command in every process, with:',
    )
    group.add_argument('--coordinator', metavar='HOST:PORT', help='of process 0')
    group.add_argument('--num_processes', type=int, metavar='N')
    group.add_argument('--process_id', type=int, metavar='I', help='0 to N - 1')


@contextlib.contextmanager
def together(args: argparse.Namespace) -> Iterator[None]:
    """Within it all processes are one program; nothing changes for one alone.

    Raises:
        UserError: only some of the options are given, or the others do not answer.
    """
    _join(args.coordinator, args.num_processes, args.process_id)
    if jax.process_count() == 1:
        yield
        return
    done = threading.Event()
    threading.Thread(target=_watch, args=(done,), daemon=True).start()
    try:
        yield
    except BaseException as error:
        done.set()
        _fail(error)
    done.set()


def is_first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def by_first(work: Callable[[], Any]) -> None:
    """Work of process 0 alone, that the others wait for."""
    if is_first():
        work()
    wait()


def told_by_first(find: Callable[[], Any]) -> Any:
    """What process 0 finds (anything that JSON keeps), in every process.

    All must ask, in the same order.
    """
    if jax.process_count() == 1:
        return find()
    key = f'kpd/told/{next(_TOLD)}'
    if is_first():
        _store().key_value_set(key, json.dumps(find()))
    return json.loads(_store().blocking_key_value_get(key, _LONG))


def told_by_all(value: Any) -> list[Any]:
    """Every process's value (anything that JSON keeps), in every process."""
    if jax.process_count() == 1:
        return [value]
    name = f'kpd/all/{next(_TOLD)}'
    _store().key_value_set(f'{name}/{jax.process_index()}', json.dumps(value))
    get = lambda number: _store().blocking_key_value_get(f'{name}/{number}', _LONG)
    return [json.loads(get(number)) for number in range(jax.process_count())]


def wait() -> None:
    """Until all processes are here; they must come in the same order."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices('kpd')


def gather(tree: Any) -> Any:
    """Arrays of all processes' rows, one process after the other, as numpy in every one.

    Arrays over the devices of all are whole afterwards; others are of each process's own
    rows, as many in each.
    """
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def replicate(tree: Any, sharding: jax.sharding.NamedSharding) -> Any:
    """Host arrays, the same in all processes, on all devices, keys of jax among them.

    No process asks another whether they are the same.
    """
    return jax.tree.map(lambda leaf: _placed(leaf, sharding), tree)


def _placed(leaf, sharding):
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    ):
        data = _placed(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(
        whole.shape, sharding, lambda index: whole[index]
    )


def stop_all() -> None:
    """Asks every process to stop, as a machine that is taken away does."""
    os.kill(os.getpid(), signal.SIGTERM)


def asked_to_stop() -> bool:
    """Whether any was, at a call that is the same in all processes: every one must ask.

    A signal reaches the others within seconds, and all then agree on a call to come.
    """
    return multihost_utils.reached_preemption_sync_point(next(_TICKS))


def _join(coordinator, count, number):
    given = [value is not None for value in (coordinator, count, number)]
    if any(given) and not all(given):
        raise UserError(
            'several processes need all of --coordinator=HOST:PORT, --num_processes=N '
            'and --process_id=I'
        )
    begun = jax.distributed.is_initialized() or xla_bridge.backends_are_initialized()
    if begun and not any(given):  # In a notebook, say.
        return
    try:
        jax.distributed.initialize(coordinator, count, number)
    except ValueError as error:
        if any(given):
            raise UserError(f'--coordinator={coordinator}: {error}') from None
        # No cluster is known to jax: a process alone.
    except RuntimeError as error:
        line = str(error).splitlines()[0]
        raise UserError(f'the other processes did not answer: {line}') from None


def _store():
    return distributed.global_state.client


def _watch(done: threading.Event) -> None:
    """Leaves once another process has failed: what this one waits for will not come."""
    while not done.wait(_POLL):
        if said := _get(_FAILED):
            number, code, line = json.loads(said)
            print(f'kpd: process {number}: {line}', file=sys.stderr)
            _leave(code)


def _fail(error: BaseException) -> None:
    """Tells the others, and ends; the line of the first that failed is everybody's."""
    code = 2 if _is_persons(error) else 1
    line = str(error).strip() or type(error).__name__
    mine = json.dumps([jax.process_index(), code, line.splitlines()[0]])
    with contextlib.suppress(Exception):  # Another was first, or process 0 is gone.
        _store().key_value_set(_FAILED, mine)
    number, code, line = json.loads(_get(_FAILED) or mine)
    if number == jax.process_index() and not isinstance(error, _TOLD_IN_ONE_LINE):
        sys.excepthook(type(error), error, error.__traceback__)
    print(f'kpd: process {number}: {line}', file=sys.stderr)
    _leave(code)


def _is_persons(error: BaseException) -> bool:
    """Whether a person must do something: else the same command may well go on."""
    if isinstance(error, OSError):
        return error.errno in paths.OUTSIDE
    return isinstance(error, UserError | KeyboardInterrupt)


def _leave(code: int) -> None:
    """Ends at once: threads may be in a collective that never ends.

    Process 0, which keeps the store, goes last.
    """
    with contextlib.suppress(Exception):
        _store().key_value_set(f'{_LEFT}/{jax.process_index()}', '1')
    end = time.monotonic() + _PATIENCE
    while is_first() and time.monotonic() < end and not _all_left():
        time.sleep(0.1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _all_left() -> bool:
    try:
        return len(_store().key_value_dir_get(_LEFT)) == jax.process_count()
    except Exception:
        return False


def _get(key: str) -> str | None:
    try:
        return _store().key_value_try_get(key)
    except Exception:  # Not there, which is an error of the store's.
        return None
