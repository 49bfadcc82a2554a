"""What must hold whatever a file says: its result or one line, no more memory, no writing."""

import contextlib
import os
import pathlib
import sys
import time

import hypothesis

from kpdiscovery.types import UserError

# All files of tests/fuzz together: `KPD_FUZZ_CASES=10000 pytest tests/fuzz`.
CASES = int(os.environ.get('KPD_FUZZ_CASES', 400))
MEGABYTES, SECONDS = 256, 5.0  # Above what was there before; of the processor.
_LETTERS = 20_000  # Of a message, where every one is written as an escape.
_WRITES = ('os.mkdir', 'os.rename', 'os.remove', 'os.rmdir', 'os.link', 'os.symlink',
           'os.chmod', 'os.truncate', 'shutil.rmtree', 'subprocess.Popen', 'os.system',
           'socket.connect', 'os.exec')  # fmt: skip
_watched: list[tuple[str, list[str]]] = []


def cases(share: float):
    """A test of this share of all cases, the same ones every time."""
    return hypothesis.settings(
        max_examples=max(3, round(share * CASES)),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )


def survives(read, folder):
    """`read()` gives something, or a UserError of one readable line.

    It writes nothing outside `folder` and takes little memory and time.
    """
    with limited(), no_writing(folder):
        try:
            return read()
        except UserError as error:
            check_line(str(error))
    return None


def check_line(text: str) -> None:
    assert text.isprintable() and 0 < len(text) <= _LETTERS, repr(text[:2000])


@contextlib.contextmanager
def limited():
    """Less than MEGABYTES more at any time, and SECONDS."""
    before, start = _restart_peak(), time.process_time()
    yield
    taken = time.process_time() - start
    assert taken < SECONDS, f'took {taken:.1f} s'
    if before is not None:
        more = (_status('VmHWM') - before) / 1024
        assert more < MEGABYTES, f'took {more:.0f} MB'


def _restart_peak():
    """Resident kilobytes from which the peak counts; None where the system cannot say."""
    try:
        pathlib.Path('/proc/self/clear_refs').write_text('5')
    except OSError:
        return None
    return _status('VmRSS')


def _status(name):
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


@contextlib.contextmanager
def no_writing(folder):
    """Nothing is opened to be written, made, moved or run but below `folder`."""
    seen: list[str] = []
    _watched.append((str(pathlib.Path(folder).resolve()), seen))
    try:
        yield
    finally:
        _watched.pop()
    assert not seen, seen


def _hook(event, arguments):
    if not _watched:
        return
    changes = event in _WRITES or (
        event == 'open' and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )
    if changes:
        inside, seen = _watched[-1]
        place = arguments[0]
        own = isinstance(place, (str, bytes, os.PathLike)) and os.path.realpath(
            os.fsdecode(place)
        ).startswith(inside)
        if not own and place not in ('/dev/null', '/proc/self/clear_refs'):
            seen.append(f'{event} {arguments}')


sys.addaudithook(_hook)


def tree(folder) -> set[str]:
    """All there is below a folder."""
    return {str(path) for path in pathlib.Path(folder).rglob('*')}
