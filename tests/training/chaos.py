"""A run that is killed again and again, and one that is not: the same in the end?

python -m tests.training.chaos FOLDER KILLS SEED CONFIG      (toy: the tests' own method)

Prints a JSON line, with where the kills fell, if every array is bit for bit the same.
Children are forked from a process that has imported all and opened nothing.
"""

import contextlib
import itertools
import json
import os
import pathlib
import random
import signal
import sys
import time

import numpy as np

from kpdiscovery import cli, train
from kpdiscovery.training import loop, runs
from tests.training.toy import Colors, Toy, config

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def run(name: str, workdir: pathlib.Path) -> int:
    """To its end, as a user would; the exit code."""
    if name != 'toy':
        words = [f'--config={name}', f'--workdir={workdir}', '--config.run.keep=2']
        return cli.run(train.main, words)
    toy = Toy(steps=12, at_end=True, keep_best='score')
    settings = config(run={'log_every': 4, 'checkpoint_every': 1, 'keep': 2})
    return 0 if loop.train(toy, settings, Colors(), workdir).finished else 143


def attempt(name: str, workdir: pathlib.Path, after: float, number: int) -> int | None:
    """Exit code of a run that gets a signal some seconds after its start; None: killed."""
    child = os.fork()
    if not child:
        os.makedirs(workdir.parent, exist_ok=True)
        silence = os.open(
            workdir.with_suffix('.log'), os.O_WRONLY | os.O_CREAT | os.O_APPEND
        )
        os.dup2(silence, 1), os.dup2(silence, 2)
        code = 1
        with contextlib.suppress(BaseException):
            code = run(name, workdir)
        os._exit(code)
    end = time.monotonic() + after
    while time.monotonic() < end:
        if (found := os.waitpid(child, os.WNOHANG)) != (0, 0):
            return os.waitstatus_to_exitcode(found[1])
        time.sleep(0.005)
    os.kill(child, number)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == -number else code


def survive(name: str, folder: pathlib.Path, kills: int, luck: random.Random) -> dict:
    """What became of a run that was killed so often."""
    fresh = (folder / f'torn_{number}' for number in itertools.count())
    whole, torn = folder / 'whole', next(fresh)
    assert attempt(name, whole, 3600, signal.SIGKILL) == 0
    start = time.monotonic()
    assert attempt(name, folder / 'again', 3600, signal.SIGKILL) == 0
    seconds, killed, at = time.monotonic() - start, 0, list[str]()
    while killed < kills:
        number = luck.choice(SIGNALS)
        code = attempt(name, torn, luck.uniform(0.2, 1.0) * seconds, number)
        assert code in (None, 0, 130, 143), code
        if code == 0:  # Finished too soon: another one.
            torn = next(fresh)
            continue
        killed += 1
        at.append(f'{signal.Signals(number).name[3:]} {saved(torn)}')
    assert attempt(name, torn, 3600, signal.SIGKILL) == 0
    for other in (folder / 'again', *folder.glob('torn_*[0-9]')):
        check_same(whole, other)
    return {'config': name, 'kills': killed, 'seconds': round(seconds, 1), 'at': at}


def saved(workdir: pathlib.Path) -> list[int]:
    """Steps of the checkpoints that are whole."""
    names = [path.name for path in (workdir / 'checkpoints').glob('*')]
    return sorted(int(name) for name in names if name.isdigit())


def check_same(one: pathlib.Path, two: pathlib.Path) -> None:
    """Every array of the last checkpoint, and of the labels, bit for bit."""
    assert saved(one)[-1] == saved(two)[-1]
    want, got = (arrays(workdir, saved(one)[-1]) for workdir in (one, two))
    assert set(want) == set(got), set(want) ^ set(got)
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)


def arrays(workdir: pathlib.Path, step: int) -> dict[str, np.ndarray]:
    import jax
    import orbax.checkpoint as ocp

    number = runs.last_meta(workdir)['tables']
    places = [workdir / 'checkpoints' / str(step) / 'state']
    places += [workdir / 'tables' / str(number)] * (number is not None)
    found = {}
    for place in places:
        with ocp.PyTreeCheckpointer() as reader:
            tree = reader.metadata(place).item_metadata.tree
            how = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            tree = reader.restore(place, restore_args=how)
        for path, leaf in jax.tree.leaves_with_path(tree):
            found[f'{place.name}{jax.tree_util.keystr(path)}'] = leaf
    return found


def main(folder: str, kills: str, seed: str, name: str) -> None:
    found = survive(name, pathlib.Path(folder), int(kills), random.Random(seed + name))
    print(json.dumps(found))


if __name__ == '__main__':
    main(*sys.argv[1:])
