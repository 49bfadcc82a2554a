"""Processes that read a folder together: two threads stand for them here."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import processes
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.types import UserError

COUNT = 2


@pytest.fixture
def together(monkeypatch):
    """Function that calls another in both at once: results, or the errors raised."""
    place, said = threading.local(), [None] * COUNT
    here = threading.Barrier(COUNT, timeout=20)

    def tell(value):
        said[place.number] = value
        here.wait()
        told = list(said)
        here.wait()
        return told

    def call(function):
        def work(number):
            place.number = number
            try:
                return function(number)
            except UserError as error:
                return error

        with ThreadPoolExecutor(COUNT) as pool:
            return list(pool.map(work, range(COUNT)))

    monkeypatch.setattr(jax, 'process_count', lambda: COUNT)
    monkeypatch.setattr(jax, 'process_index', lambda: place.number)
    monkeypatch.setattr(processes, 'told_by_all', tell)
    monkeypatch.setattr(processes, 'gather', lambda rows: np.concatenate(tell(rows)))
    return call


def fill(folder, rng, count=9, broken=()):
    """Pictures of noise with masks, of which the fourth has pixels that do not count."""
    (folder / 'masks').mkdir(parents=True)
    for number in range(count):
        shape = (8 + number, 10)
        Image.fromarray(rng.integers(0, 255, (*shape, 3), np.uint8)).save(
            folder / f'{number}.png'
        )
        mask = np.full(shape, 255 if number == 3 else 1, np.uint8)
        mask[0] = number == 3
        Image.fromarray(mask).save(folder / 'masks' / f'{number}.png')
    for number in broken:
        (folder / f'{number}.png').write_bytes(b'no picture')
    return folder


def test_every_one_learns_what_one_alone_learns(tmp_path, rng, together, caplog):
    """Also of what only the other has looked at: unreadable, of odd masks."""
    folder = fill(tmp_path, rng, broken=(2, 4, 5, 7))
    alone, warned = Folder(folder, size=8), caplog.messages[:]
    assert 'skipped 4 of 9 pictures: ' in warned[0] and alone.doubts
    caplog.clear()
    for source in together(lambda number: Folder(folder, size=8, together=True)):
        assert source.files == alone.files == tuple(f'{i}.png' for i in (0, 1, 3, 6, 8))
        assert source.doubts == alone.doubts and source.truth == alone.truth
        for got, want in zip(source, alone, strict=True):
            jax.tree.map(np.testing.assert_array_equal, got, want)
    assert sorted(caplog.messages) == sorted(2 * warned)


def test_each_decodes_its_share_and_keeps_what_it_has_decoded(tmp_path, rng, together):
    folder, sources = fill(tmp_path, rng, count=5), []
    sources = together(lambda number: Folder(folder, size=8, together=True))
    sources[1][4]  # Of process 0: decoded now, and kept.
    for path in folder.glob('*.png'):
        path.unlink()
    kept = [[row for row in range(5) if readable(s, row)] for s in sources]
    assert kept == [[0, 2, 4], [1, 3, 4]]


def readable(source, row):
    try:
        return source[row] is not None
    except UserError:
        return False


def test_none_readable_ends_all_with_the_same_line(tmp_path, rng, together):
    folder = fill(tmp_path, rng, count=3, broken=range(3))
    first, second = together(lambda number: Folder(folder, size=8, together=True))
    assert str(first) == str(second)
    assert f'none of 3 pictures can be read; first: {folder}/0.png' in str(first)


@pytest.mark.parametrize('count', [3, 4])
def test_disks_that_differ_are_told(tmp_path, rng, together, count):
    """In the number of pictures, or in their names."""
    folders = [fill(tmp_path / 'a', rng, 4), fill(tmp_path / 'b', rng, count)]
    (folders[1] / '0.png').rename(folders[1] / 'x.png')
    errors = together(lambda number: Folder(folders[number], size=8, together=True))
    for error in errors:
        assert f'4 pictures in process 0, {count} in another' in str(error)
