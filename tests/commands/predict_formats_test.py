"""`kpd predict` on videos and annotations of other tools, and what it writes for them."""

import dataclasses
import json
import sys
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import inference
from kpdiscovery.data import formats
from kpdiscovery.data.files import outputs
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


def test_labels_of_deeplabcut_are_written_and_read(tmp_path, monkeypatch):
    model = trained()._replace(method=Landmark())
    monkeypatch.setattr(inference, 'load', lambda *args: model)
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
    (['--smooth=3'], '--smooth: which keypoint of method centroid is which'),
    (['--deeplabcut'], '--deeplabcut: which keypoint of method centroid is which'),
])  # fmt: skip
def test_what_tracks_need_is_one_line(words, told, tmp_path, capsys):
    save(tmp_path / 'a.png')
    assert run(tmp_path / 'a.png', f'--out={tmp_path / "out"}', *words) == 2
    assert told in capsys.readouterr().err


def test_one_point_a_label_goes_to_deeplabcut_by_its_label(tmp_path, monkeypatch):
    """The centre has label 4, the corner none."""
    kind = dataclasses.make_dataclass(
        'Parts', [], bases=(Centroid,), frozen=True,
        namespace={'one_each': True, 'num_labels': 6},
    )  # fmt: skip
    model = trained()._replace(method=kind())
    monkeypatch.setattr(inference, 'load', lambda *args: model)
    out = tmp_path / 'out'
    assert run(save(tmp_path / 'a.png'), f'--out={out}', '--deeplabcut') == 0
    line = (out / 'deeplabcut.csv').read_text().splitlines()[3].split(',')
    assert [float(v) for v in line[13:16]] == pytest.approx([67.5, 19.5, 0.9], abs=0.1)
    assert [v for v in line if v] == [line[0], *line[13:16]] and len(line) == 19


def test_a_film_without_its_library_is_told_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'cv2', None)
    words = (save(tmp_path / 'a.png'), f'--out={tmp_path / "out"}', '--video=5')
    assert run(*words) == 2
    assert 'videos are written with OpenCV' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def two_objects(tmp_path, monkeypatch):
    """A folder of a picture with two boxes, a row each, and a model that reads boxes."""
    model = trained('box:0.5')
    monkeypatch.setattr(inference, 'load', lambda *args: model)
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[16:24, 64:72] = picture[40:48, 16:24] = 255
    folder = tmp_path / 'in'
    folder.mkdir()
    Image.fromarray(picture).save(folder / 'a.png')
    boxes = [[[60, 12, 80, 32]], [[12, 36, 28, 52]]]
    np.savez(
        folder / 'annotations.npz', files=['a.png'] * 2, boxes=boxes, object=[0, 1]
    )
    return folder


def test_objects_of_a_picture_share_its_files(tmp_path, monkeypatch, capsys):
    folder, out = two_objects(tmp_path, monkeypatch), tmp_path / 'out'
    assert run(folder, f'--out={out}', '--min_confidence=0.5') == 0
    assert '2 keypoints in 1 pictures' in capsys.readouterr().out
    notes, rows = read(out)
    assert [image['file_name'] for image in notes['images']] == ['a.png']
    assert [note['image_id'] for note in notes['annotations']] == [1, 1]
    assert [note['id'] for note in notes['annotations']] == [1, 2]
    assert [row['object'] for row in rows] == ['0', '0', '1', '1']
    seen = np.asarray(Image.open(out / 'overlays/a.png.jpg')).astype(int)
    colour = np.abs(seen - seen.mean(-1, keepdims=True)).max(-1)
    for x, y in ((68, 20), (20, 44)):  # A ring around each; enlarged twice.
        assert colour[2 * y - 14 : 2 * y + 14, 2 * x - 14 : 2 * x + 14].max() > 60
    model = inference.load()._replace(method=Landmark())
    monkeypatch.setattr(inference, 'load', lambda *args: model)
    for word in ('--smooth=3', '--deeplabcut'):
        assert run(folder, f'--out={out}', word) == 2
        assert 'several annotated objects' in capsys.readouterr().err


def test_a_stop_leaves_the_earlier_tables_whole(tmp_path, monkeypatch):
    picture, out = save(tmp_path / 'a.png'), tmp_path / 'out'
    assert run(picture, f'--out={out}') == 0
    before = [(out / f'keypoints.{end}').read_text() for end in ('csv', 'json')]

    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(inference, 'predict_images', stop)
    assert run(picture, f'--out={out}') == 130
    assert [(out / f'keypoints.{end}').read_text() for end in ('csv', 'json')] == before
    assert run(picture, f'--out={tmp_path / "new"}') == 130
    assert read_csv_head(tmp_path / 'new') == ','.join(outputs.HEAD)


def read_csv_head(folder):
    return (folder / 'keypoints.csv').read_text().splitlines()[0]


def test_what_an_earlier_prediction_has_left_is_named(tmp_path, capsys):
    out = tmp_path / 'out'
    save(tmp_path / 'in/a.png')
    save(tmp_path / 'in/b.png')
    assert run(tmp_path / 'in', f'--out={out}') == 0
    (out / 'boxes.csv').write_text('')
    assert run(tmp_path / 'in', f'--out={out}') == 0
    said = capsys.readouterr().err
    assert 'of an earlier kpd predict are still boxes.csv: remove' in said
    assert run(tmp_path / 'in/a.png', f'--out={out}') == 0
    assert 'are still boxes.csv, 1 in overlays/: remove' in capsys.readouterr().err
    assert run(tmp_path / 'in', f'--out={tmp_path / "new"}') == 0
    assert 'earlier' not in capsys.readouterr().err
