"""Pseudo-labels of the first training pictures, a row a sweep."""

import numpy as np
import pytest

pytest.importorskip('jinja2')

from kpdiscovery.reporting import logs, rounds


def table(rows=3, points=5):
    """Some points are landmarks, some in a cluster only, some not labelled."""
    return {
        'xy': np.full((rows, points, 2), 2.0, np.float32),
        'score': np.tile(np.array([0.9, 0.8, 0.7, 0.6, 0.0], np.float32), (rows, 1)),
        'label': np.tile(np.array([7, 8, -1, -1, -1], np.int32), (rows, 1)),
        'landmark': np.tile(np.array([1, -1, 2, -1, -1], np.int32), (rows, 1)),
    }


def write(workdir, steps, rows=3):
    (workdir / 'labels').mkdir()
    images = np.zeros((rows, 16, 16, 3), np.uint8)
    np.savez(workdir / 'labels' / 'images.npz', image=images)
    for step in steps:
        np.savez(workdir / 'labels' / f'{step}.npz', **table(rows))
    return workdir


def test_points_are_landmarks_first_and_clusters_else():
    points = rounds.points_of(table(), stride=4)
    assert points.label[0].tolist() == [1, 8, 2, -1, -1]
    assert points.valid[0].tolist() == [True, True, True, True, False]
    assert (points.xy == 9.5).all()  # The middle of the third cell of four pixels.


def test_tables_without_landmarks_are_drawn_too():
    whole = table()
    few = {name: whole[name] for name in ('xy', 'score')}
    assert (rounds.points_of(few, stride=1).label == -1).all()


def test_a_row_a_sweep_in_the_order_of_steps(tmp_path):
    section = rounds.section(write(tmp_path, [100, 20, 3]), stride=4)
    assert [row.title for row in section.rows] == ['3 steps', '20 steps', '100 steps']
    assert [len(row.figures) for row in section.rows] == [3, 3, 3]


def test_many_sweeps_are_thinned_from_first_to_last():
    assert rounds.spread(list(range(5)), 5) == [0, 1, 2, 3, 4]
    assert rounds.spread(list(range(101)), 3) == [0, 50, 100]


@pytest.mark.parametrize('part', ['images.npz', '8.npz'])
def test_damaged_and_missing_files(tmp_path, part):
    assert 'kept none' in rounds.section(tmp_path, stride=4).note
    (write(tmp_path, [8]) / 'labels' / part).write_bytes(b'PK\x03\x04 cut short')
    assert not rounds.section(tmp_path, stride=4).rows


def test_only_tables_and_pictures_are_read(tmp_path):
    write(tmp_path, [8])
    (tmp_path / 'labels' / '9.npz.part').write_bytes(b'')
    tables, images = logs.read_labels(tmp_path)
    assert list(tables) == [8] and images.shape == (3, 16, 16, 3)
