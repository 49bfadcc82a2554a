"""Videos as pictures, and points that belong to their frames."""

import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data import formats
from kpdiscovery.data.formats import frames
from kpdiscovery.types import UserError
from tests.data.formats.formats_test import save, source
from tests.data.official.bodies import write_video


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def film(tmp_path):
    pytest.importorskip('cv2', reason="pip install 'kpdiscovery[vision]'")
    path = tmp_path / 'in/film.mp4'
    path.parent.mkdir()
    write_video(path, frames=60)
    return path


def test_a_video_is_cut_once_into_frames(film, monkeypatch):
    found = source(film, every=2)
    root, table = formats.look(film, every=2)
    assert table['files'].tolist()[:2] == ['film/000000.jpg', 'film/000002.jpg']
    assert len(table['files']) == 30 and table['identity'].max() == 19
    assert abs(int(np.asarray(Image.open(root / 'film/000030.jpg'))[5, 5, 0]) - 60) < 9
    # Splits have whole stretches of the film: blocks 9 and 19 of 20.
    assert len(source(film, 'test', every=2)) == 2 == 30 - len(found)
    assert found.videos.tolist() == [0] * len(found)
    monkeypatch.setattr('kpdiscovery.data.files.videos.frames', None)  # Not read again.
    assert len(formats.look(film, every=2).table['files']) == 30


def test_long_videos_are_thinned(film, monkeypatch):
    monkeypatch.setattr(frames, 'MOST', 25)
    assert len(formats.look(film).table['files']) == 20  # Each third.


def test_a_folder_of_videos_and_a_pattern(film):
    write_video(film.parent / 'other.avi', frames=4)
    folder, table = formats.look(film.parent, every=1)
    assert len(table['files']) == 64 and set(table['video']) == {0, 1}
    assert formats.look(film.parent / '*.*', every=1)[0] == folder
    save(film.parent / 'a.jpg')
    assert formats.look(film.parent).path == film.parent  # Pictures come first.
    with pytest.raises(UserError, match='2 videos among other files'):
        formats.look(film.parent / '*')
    assert formats.look(film.parent / '*.jpg').path == [film.parent / 'a.jpg']
    with pytest.raises(UserError, match='nothing fits'):
        formats.look(film.parent / '*.png')


def test_what_is_no_video_is_one_line(tmp_path):
    pytest.importorskip('cv2', reason="pip install 'kpdiscovery[vision]'")
    (tmp_path / 'a.mp4').write_bytes(b'no video')
    with pytest.raises(UserError, match='cannot be read as a video'):
        formats.look(tmp_path / 'a.mp4')


def test_sleap_has_the_frames_with_points(film):
    h5py = pytest.importorskip('h5py', reason="pip install 'kpdiscovery[formats]'")
    tracks = np.full((1, 2, 3, 60), np.nan)
    tracks[..., 7] = [[[1, 2, 3], [4, 5, 6]]]
    tracks[..., 9] = [[[1, 2, 3], [4, 5, np.nan]]]
    path = film.parent / 'film.analysis.h5'
    with h5py.File(path, 'w') as file:
        file['tracks'], file['video_path'] = tracks, 'C:\\elsewhere\\film.mp4'
        file['node_names'] = np.array([b'a', b'b', b'c'])
    _, table = formats.look(path)
    assert table['files'].tolist() == ['film/000007.jpg', 'film/000009.jpg']
    assert table['keypoints'][0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert table['keypoint_names'].tolist() == ['a', 'b', 'c']
    film.unlink()
    with pytest.raises(UserError, match='not there or beside it'):
        formats.look(path)


def test_own_files_of_sleap_are_refused_with_the_command_that_exports_them(tmp_path):
    (tmp_path / 'a.slp').write_bytes(b'')
    with pytest.raises(UserError, match=r'sio convert .*a\.slp -o .*a\.analysis\.h5'):
        formats.look(tmp_path / 'a.slp')
