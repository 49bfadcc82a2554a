"""Landmarks of a video through time."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from kpdiscovery.reporting import drawing, films, tracks
from kpdiscovery.reporting.annotations import Found
from kpdiscovery.types import Keypoints


def frames(xy, valid=None, folder='film', size=(32, 64)):
    """A picture for each of `[F, K, 2]` points."""
    xy = np.asarray(xy, np.float32)
    valid = np.ones(xy.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    score, label = np.ones(xy.shape[1], np.float32), np.arange(xy.shape[1])
    return [
        Found(f'{folder}/{i:06}.jpg', size, Keypoints(one, score, label, valid[i]))
        for i, one in enumerate(xy)
    ]


def places(found):
    return np.stack([one.keypoints.xy for one in found])


def test_medians_are_those_of_scipy_but_at_the_ends():
    xy = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32)
    got = places(tracks.smooth(frames(xy), 5))
    want = ndimage.median_filter(xy, (5, 1, 1))
    np.testing.assert_array_equal(got[2:-2], want[2:-2])
    np.testing.assert_allclose(got[0], np.median(xy[:3], axis=0), rtol=1e-6)
    np.testing.assert_array_equal(places(tracks.smooth(frames(xy), 1)), xy)


def test_frames_come_in_the_order_of_their_numbers():
    """ffmpeg's %d: 1, 10, 11, 2 by letters."""
    xy = np.arange(12.0).reshape(12, 1, 1).repeat(2, -1)
    found = [
        one._replace(file=f'film/frame_{i}.png') for i, one in enumerate(frames(xy))
    ]
    found = sorted(found, key=lambda one: one.file)
    assert [found[i].file for i in tracks.by_folder(found)['film']][:3] == [
        'film/frame_0.png', 'film/frame_1.png', 'film/frame_2.png',
    ]  # fmt: skip
    got, was = (places(one)[:, 0, 0] for one in (tracks.smooth(found, 3), found))
    inner = (was > 0) & (was < 11)
    np.testing.assert_array_equal(got[inner], was[inner])


def test_what_does_not_count_stays_and_counts_in_no_median():
    xy = np.zeros((4, 1, 2)) + np.arange(4)[:, None, None]
    xy[1] = 900
    got = places(tracks.smooth(frames(xy, [[1], [0], [1], [1]]), 3))
    assert got[:, 0, 0].tolist() == [0, 900, 2.5, 2.5]


def test_videos_are_smoothed_apart():
    two = frames(np.zeros((3, 1, 2))) + frames(np.ones((3, 1, 2)), folder='other')
    got = places(tracks.smooth(two, 5))
    assert got[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match='odd and at least 1, got 2'):
        tracks.smooth(two, 2)


def test_a_trail_has_the_colour_of_its_label():
    found = frames([[[10, 8], [40, 20]], [[20, 8], [50, 20]]], [[1, 1], [1, 0]])
    canvas = Image.new('RGB', (128, 64))  # Twice as large as the pictures.
    films._dot(canvas, [[one] for one in found], 5)
    image = np.asarray(canvas)
    red, other = drawing.colors([0, 1])
    for x, y, color in ((20, 16, red), (40, 16, red), (80, 40, other)):
        np.testing.assert_array_equal(image[y + 1, x + 1], color)
    assert not image[41, 101].any()  # It does not count.


def test_films_are_called_by_what_is_drawn_and_by_folder(tmp_path):
    cv2 = pytest.importorskip('cv2', reason="pip install 'kpdiscovery[vision]'")
    folders = ('overlays', 'a/b', 'a_b', '')
    found = [
        one for name in folders for one in frames(np.zeros((2, 1, 2)), folder=name)
    ]
    found = [one._replace(file=one.file.lstrip('/')) for one in found]
    for kind in ('overlays', 'wanted'):
        for one in found:
            path = tmp_path / kind / f'{one.file}.jpg'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (64, 32)).save(path)
        made = films.write(tmp_path, [*found, found[1]], 5, kind=kind)  # Two objects.
        names = [f'{kind}/{name}'.rstrip('/') + '.mp4' for name in folders]
        assert [
            path.relative_to(tmp_path / 'films').as_posix() for path in made
        ] == names
        for path in made:
            assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 2
