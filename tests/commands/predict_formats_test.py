"""`kpd predict` on videos and annotations of other tools, and what it writes for them."""

import dataclasses
import json
from typing import ClassVar

import numpy as np
import pytest

from kpdiscovery import inference
from kpdiscovery.data import formats
from tests.commands.predict_test import Centroid, read, run, save, trained
from tests.data.official.bodies import write_video


@pytest.fixture(autouse=True)
def fake(monkeypatch, tmp_path):
    monkeypatch.setattr(inference, 'load', lambda *args: trained())
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def test_every_frame_of_a_video_and_a_video_of_the_overlays(tmp_path):
    cv2 = pytest.importorskip('cv2', reason="pip install 'kpdiscovery[vision]'")
    write_video(tmp_path / 'film.mp4', frames=5)
    out = tmp_path / 'out'
    assert run(tmp_path / 'film.mp4', f'--out={out}', '--video=10') == 0
    notes, _ = read(out)
    names = [image['file_name'] for image in notes['images']]
    assert names == [f'{frame:06}.jpg' for frame in range(5)]
    film = cv2.VideoCapture(str(out / 'films' / 'overlays.mp4'))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 5 and film.get(cv2.CAP_PROP_FPS) == 10


def test_pictures_of_coco_annotations(tmp_path):
    save(tmp_path / 'pictures/a.png')
    save(tmp_path / 'pictures/unnamed.png')
    images = [{'id': 1, 'file_name': 'a.png', 'width': 128, 'height': 64}]
    given = {'images': images, 'annotations': [], 'categories': []}
    (tmp_path / 'a.json').write_text(json.dumps(given))
    assert run(tmp_path / 'a.json', f'--out={tmp_path / "out"}') == 0
    notes, _ = read(tmp_path / 'out')
    assert [image['file_name'] for image in notes['images']] == ['a.png']
    # What is written is read: its own pictures lie below the folder beside it.
    (tmp_path / 'pictures/found.json').write_text(json.dumps(notes))
    _, table = formats.look(tmp_path / 'pictures/found.json')
    np.testing.assert_allclose(table['keypoints'][0, 0], [67.5, 19.5], atol=2)


def test_labels_of_deeplabcut_are_written_and_read(tmp_path):
    for name in ('a.png', 'b.png'):
        save(tmp_path / 'pictures' / name)
    out = tmp_path / 'out'
    options = ('--deeplabcut', '--min_confidence=0.5')
    assert run(tmp_path / 'pictures', f'--out={out}', *options) == 0
    path = (out / 'deeplabcut.csv').rename(tmp_path / 'pictures/deeplabcut.csv')
    lines = path.read_text().splitlines()
    assert lines[1].startswith('bodyparts,point0,point0,point0,point1')
    assert lines[3].endswith(',,,')  # The second point does not count.
    _, table = formats.look(path)
    np.testing.assert_allclose(table['keypoints'][0, 0], [67.5, 19.5], atol=2)
    assert np.isnan(table['keypoints'][:, 1]).all()


def test_a_video_needs_overlays(tmp_path, capsys):
    save(tmp_path / 'a.png')
    words = ('--video=5', '--overlays=no')
    assert run(tmp_path / 'a.png', f'--out={tmp_path / "out"}', *words) == 2
    assert '--video=FPS needs overlays' in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class Landmark(Centroid):
    ordered: ClassVar = True


def write_moving(path, places):
    """White squares of 8 px on black, frame by frame around (x + 3.5, 11.5)."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, (128, 32))
    for x in places:
        image = np.zeros((32, 128, 3), np.uint8)
        image[8:16, x : x + 8] = 255
        writer.write(image)
    writer.release()


def test_landmarks_of_a_video_are_smoothed_and_leave_a_trail(tmp_path, monkeypatch):
    cv2 = pytest.importorskip('cv2', reason="pip install 'kpdiscovery[vision]'")
    write_moving(tmp_path / 'film.mp4', [8, 24, 104, 56, 72])  # The third leaps.
    model = trained()._replace(method=Landmark())
    monkeypatch.setattr(inference, 'load', lambda *args: model)
    out = tmp_path / 'out'
    words = (f'--out={out}', '--smooth=3', '--video=10', '--trail=2')
    assert run(tmp_path / 'film.mp4', *words) == 0
    _, rows = read(out)
    x = [float(row['x']) for row in rows if row['keypoint'] == '0']
    np.testing.assert_allclose(x, [19.5, 27.5, 59.5, 75.5, 67.5], atol=2)
    film = cv2.VideoCapture(str(out / 'films' / 'overlays.mp4'))
    last = [film.read()[1] for _ in range(5)][-1]
    assert last.shape == (64, 256, 3)  # Enlarged twice.
    assert last[23, 119].max() > 110 > last[23, 55].max()  # Third, not second.


@pytest.mark.parametrize(('words', 'told'), [
    (['--trail=3'], '--trail=N needs --video=FPS'),
    (['--smooth=4'], 'wanted an odd number'),
    (['--smooth=3'], 'of method centroid is which'),
])  # fmt: skip
def test_what_tracks_need_is_one_line(words, told, tmp_path, capsys):
    save(tmp_path / 'a.png')
    assert run(tmp_path / 'a.png', f'--out={tmp_path / "out"}', *words) == 2
    assert told in capsys.readouterr().err
