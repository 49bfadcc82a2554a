import csv
import dataclasses
import json
from typing import ClassVar

import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, finding, inference, predict
from kpdiscovery.ops import coordinates
from kpdiscovery.types import Keypoints, Method, Prediction, UserError


@dataclasses.dataclass(frozen=True)
class Centroid(Method):
    """Finds the centre of what is bright, and says so of the first corner too."""

    predict_keypoints: int = 0
    min_confidence: float = 0.0
    predict_options: ClassVar = {
        'keypoints': 'predict_keypoints',
        'min_confidence': 'min_confidence',
    }

    def predict(self, variables, images):
        b, h, w, _ = images.shape
        if self.predict_keypoints > 9:
            raise ValueError('k must be at most 9')
        light = images.sum(-1)
        light = light / light.sum((1, 2), keepdims=True)
        centre = jnp.einsum('bhw,hwc->bc', light, coordinates.pixel_grid(h, w))
        xy = jnp.stack([centre, jnp.zeros((b, 2))], axis=1)
        score = jnp.tile(jnp.array([[0.9, 0.2]]), (b, 1))
        label = jnp.tile(jnp.array([[4, -1]]), (b, 1))
        right = jnp.broadcast_to(jnp.arange(w) >= w // 2, (b, h, w))
        keypoints = Keypoints(xy, score, label, score > self.min_confidence)
        return Prediction(keypoints, instances=right.astype(jnp.int32))


def trained(resize='stretch'):
    data = {'size': 32, 'resize': resize, 'options': {}}
    sections = {
        'data': data,
        'method': {'name': 'centroid'},
        'evaluation': {'batch_size': 2},
    }
    return inference.Trained(Centroid(), {}, ml_collections.ConfigDict(sections), {})


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(inference, 'load', lambda *args: trained())


def save(path, size=(64, 128)):
    """A white square around (67.5, 19.5) on black."""
    image = np.zeros((*size, 3), np.uint8)
    image[16:24, 64:72] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def run(*words):
    return cli.main(['predict', '--workdir=unused', *map(str, words)])


def read(out):
    notes = json.loads((out / 'keypoints.json').read_text())
    with open(out / 'keypoints.csv', newline='') as file:
        return notes, list(csv.DictReader(file))


@pytest.mark.parametrize('resize', ['stretch', 'crop', 'pad'])
def test_points_come_back_in_original_pixels(tmp_path, resize):
    model = trained(resize)
    source = finding.pictures([str(save(tmp_path / 'a.png'))], model.config.data)
    (found,) = finding.find(model, source)
    assert found.size == (64, 128)
    np.testing.assert_allclose(found.keypoints.xy[0], [67.5, 19.5], atol=0.05)
    # The first corner of what the network saw lies on the bar that 'pad' adds.
    assert found.keypoints.valid.tolist() == [True, resize != 'pad']


def test_instances_come_back_in_original_pixels(tmp_path):
    for resize, half in (('stretch', 64), ('pad', 64)):
        model = trained(resize)
        source = finding.pictures([str(save(tmp_path / 'a.png'))], model.config.data)
        (found,) = finding.find(model, source)
        np.testing.assert_array_equal(found.instances[:, :half], 0)
        np.testing.assert_array_equal(found.instances[:, half:], 1)


def test_pictures_of_a_folder_are_cut_to_their_boxes(tmp_path):
    model, place = trained('box:0.5'), save(tmp_path / 'a.png')
    np.savez(tmp_path / 'annotations.npz', files=['a.png'], boxes=[[[60, 12, 80, 32]]])
    source = finding.pictures([str(tmp_path)], model.config.data)
    (found,) = finding.find(model, source)
    assert found.size == (64, 128)
    np.testing.assert_allclose(found.keypoints.xy[0], [67.5, 19.5], atol=0.05)
    assert found.instances[40, 70] == 1 and (found.instances[:, :50] < 1).all()
    with pytest.raises(UserError, match=r'boxes.*pad keeps whole'):
        finding.pictures([str(place)], model.config.data)


def test_wide_pictures_keep_their_shape_and_get_more_keypoints(
    tmp_path, monkeypatch, capsys
):
    """A square of 8 px is one of 4 px in every canvas, whatever its picture's shape."""
    seen = {}

    class Scaled(Centroid):
        def predict(self, variables, images):
            seen[images.shape[1:3]] = self.predict_keypoints
            return Centroid.predict(self, variables, images)

    model = trained()._replace(method=Scaled(predict_keypoints=3))
    monkeypatch.setattr(inference, 'load', lambda *args: model)
    (
        save(tmp_path / 'in/b/tall.png', (150, 64)),
        save(tmp_path / 'in/a/wide.png', (64, 160)),
    )
    (
        save(tmp_path / 'in/b/c/square.png', (64, 66)),
        save(tmp_path / 'in/b/other.png', (70, 149)),
    )
    assert run(tmp_path / 'in', f'--out={tmp_path / "out"}', '--wide') == 0
    assert seen == {(72, 32): 7, (32, 80): 8, (32, 32): 3, (32, 72): 7}
    notes, rows = read(tmp_path / 'out')
    names = ['a/wide.png', 'b/c/square.png', 'b/other.png', 'b/tall.png']
    assert [image['file_name'] for image in notes['images']] == names
    wide = next(row for row in rows if row['file'] == 'a/wide.png')
    assert float(wide['x']) == pytest.approx(67.5, abs=0.1)
    assert float(wide['y']) == pytest.approx(19.5, abs=0.1)
    assert (
        run(tmp_path / 'in', f'--out={tmp_path / "out"}', '--wide', '--keypoints=2')
        == 0
    )
    assert set(seen.values()) == {2}


def test_a_method_of_one_object_is_not_wide(tmp_path):
    model = trained()
    fixed = type('Fixed', (Centroid,), {'predict_options': {}})
    source = finding.pictures([str(save(tmp_path / 'a.png'))], model.config.data)
    with pytest.raises(UserError, match='--wide: method centroid finds one object'):
        finding.by_shape(model._replace(method=fixed()), source)


def test_cropped_parts_belong_to_nobody(tmp_path):
    model = trained('crop')
    source = finding.pictures([str(save(tmp_path / 'a.png'))], model.config.data)
    (found,) = finding.find(model, source)
    assert (found.instances[:, :31] == -1).all() and (
        found.instances[:, 97:] == -1
    ).all()
    assert (found.instances[:, 33:95] >= 0).all()


def test_files_agree_and_overlays_do_not_collide(fake, tmp_path):
    for name in ('in/a/x.png', 'in/a/x.jpg', 'in/b/x.png'):
        save(tmp_path / name, (64, 300) if name.endswith('jpg') else (64, 128))
    out = tmp_path / 'out'
    assert run(tmp_path / 'in', tmp_path / 'in/a/x.png', f'--out={out}') == 0
    notes, lines = read(out)
    files = [image['file_name'] for image in notes['images']]
    assert files == ['a/x.jpg', 'a/x.png', 'b/x.png']
    assert [line['file'] for line in lines] == np.repeat(files, 2).tolist()
    for image, note in zip(notes['images'], notes['annotations'], strict=True):
        mine = [line for line in lines if line['file'] == image['file_name']]
        triples = np.reshape(note['keypoints'], (2, 3))
        for line, (x, y, seen), label in zip(
            mine, triples, note['labels'], strict=True
        ):
            assert (float(line['x']), float(line['y'])) == (x, y) and seen == 2
            assert (int(line['label']), line['valid']) == (label, '1')
        scale = max(1, -(-256 // image['width']))
        with Image.open(out / 'overlays' / f'{image["file_name"]}.jpg') as overlay:
            assert overlay.size == (image['width'] * scale, image['height'] * scale)


def test_what_does_not_count_is_not_visible(fake, tmp_path):
    out = tmp_path / 'out'
    assert run(save(tmp_path / 'x.png'), f'--out={out}', '--min_confidence=0.5') == 0
    notes, lines = read(out)
    (note,) = notes['annotations']
    assert note['keypoints'][3:] == [0, 0, 0] and note['num_keypoints'] == 1
    assert note['score'] == pytest.approx(0.9)
    assert [line['valid'] for line in lines] == ['1', '0']
    (category,) = notes['categories']
    assert category['keypoints'] == ['keypoint_0', 'keypoint_1']


def test_an_unreadable_picture_is_named_and_skipped(fake, tmp_path, capsys):
    save(tmp_path / 'in/good.png')
    (tmp_path / 'in/bad.jpg').write_bytes(b'\xff\xd8 nothing')
    assert run(tmp_path / 'in', f'--out={tmp_path / "out"}') == 0
    said = capsys.readouterr().err
    assert 'skipped 1 of 2' in said and 'bad.jpg' in said
    assert len(read(tmp_path / 'out')[0]['images']) == 1


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['IN/none.png', '--out=OUT'], 'none.png'),
        (['IN/empty', '--out=OUT'], 'no pictures'),
        (['IN/bad.png', '--out=OUT'], 'bad.png'),
        (['IN/good.png', '--out=IN/good.png'], '--out'),
        (['IN/good.png', '--out=OUT', '--keypoints=0'], 'keypoints cannot be 0'),
        (['IN/good.png', '--out=OUT', '--keypoints=10'], 'at most 9'),
        (['IN/good.png', '--out=OUT', '--keypoints=few'], 'invalid int'),
        (['IN/good.png'], '--out'),
        (['IN/good.png', '--out=gs://mine/found'], 'copy it to the bucket'),
    ],
)
def test_mistakes_are_one_line(fake, tmp_path, capsys, words, said):
    save(tmp_path / 'good.png')
    (tmp_path / 'bad.png').write_bytes(b'no picture')
    (tmp_path / 'empty').mkdir()
    places = {'IN': str(tmp_path), 'OUT': str(tmp_path / 'out')}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    assert run(*words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_a_missing_workdir_is_one_line(tmp_path, capsys):
    words = [
        str(save(tmp_path / 'x.png')),
        f'--out={tmp_path}',
        f'--workdir={tmp_path}/no',
    ]
    assert cli.main(['predict', *words]) == 2
    assert 'is not a workdir' in capsys.readouterr().err


def test_a_method_without_the_option_says_so():
    model = trained()._replace(method=Method())
    with pytest.raises(predict.UserError, match='centroid has no --keypoints'):
        finding.adjust(model, keypoints=3, min_confidence=None)


@dataclasses.dataclass(frozen=True)
class Halves(Method):
    """Sees an owl in the right half of every picture, and nothing in a second box."""

    def predict(self, variables, images):
        b, h, w, _ = images.shape
        right = (jnp.arange(w) >= w // 2).reshape(1, 1, w)
        box = jnp.array([[w / 2 - 0.5, -0.5, w - 0.5, h - 0.5], [0.0] * 4])
        nothing = jnp.zeros((b, 1))
        points = Keypoints(
            jnp.zeros((b, 1, 2)), nothing, nothing.astype(int), nothing > 0
        )
        return Prediction(
            points,
            mask=jnp.broadcast_to(right, (b, h, w)).astype(jnp.float32),
            boxes=jnp.broadcast_to(box[None], (b, 2, 4)),
            boxes_valid=jnp.broadcast_to(jnp.array([[True, False]]), (b, 2)),
            class_logits=jnp.tile(jnp.log(jnp.array([[0.25, 0.75]])), (b, 1)),
        )


def test_boxes_masks_and_classes_in_original_pixels(tmp_path, monkeypatch):
    model = trained()
    model.config.data.class_names = ('cat', 'owl')
    monkeypatch.setattr(
        inference, 'load', lambda *args: model._replace(method=Halves())
    )
    file, out = save(tmp_path / 'in' / 'a.png'), tmp_path / 'out'
    assert run(file, f'--out={out}') == 0
    with open(out / 'boxes.csv', newline='') as lines:
        (box,) = csv.DictReader(lines)  # The second does not count.
    corners = [float(box[name]) for name in ('x0', 'y0', 'x1', 'y1')]
    assert corners == [63.5, -0.5, 127.5, 63.5]
    assert (box['file'], box['class'], box['name']) == ('a.png', '1', 'owl')
    assert float(box['confidence']) == pytest.approx(0.75)
    mask = np.asarray(Image.open(out / 'masks' / 'a.png.png'))
    assert mask.shape == (64, 128)
    assert (mask[:, 64:] == 255).all() and (mask[:, :64] == 0).all()
    notes = json.loads((out / 'keypoints.json').read_text())
    (note,) = notes['annotations']
    assert note['bbox'] == [64, 0, 64, 64]  # COCO counts from the picture's edge.
    assert note['category_id'] == 2 and note['score'] == pytest.approx(0.75)
    assert [c['name'] for c in notes['categories']] == ['cat', 'owl']


# Places and sizes of what is written.


def written(out):
    return sorted(p.relative_to(out).as_posix() for p in out.rglob('*') if p.is_file())


def test_nothing_is_written_outside_out(fake, tmp_path, monkeypatch):
    """Pictures of one name, spelled in several ways, from elsewhere."""
    for name in ('pics/a.png', 'deep/er/here/a.png', 'deep/er/b.png'):
        save(tmp_path / name)
    monkeypatch.chdir(tmp_path / 'deep/er')
    before = written(tmp_path)
    words = [
        '../../pics/a.png',
        '../er/here/a.png',
        'here/a.png',
        'b.png',
        '../er/b.png',
    ]
    assert run(*words, '--out=out') == 0
    out = tmp_path / 'deep/er/out'
    names = ['pics/a.png', 'deep/er/here/a.png', 'deep/er/b.png']
    assert [image['file_name'] for image in read(out)[0]['images']] == names
    overlays = [f'overlays/{name}.jpg' for name in sorted(names)]
    assert written(out) == ['keypoints.csv', 'keypoints.json', *overlays]
    assert [n for n in written(tmp_path) if not n.startswith('deep/er/out/')] == before


def test_predicting_again_sees_the_same_pictures(fake, tmp_path):
    save(tmp_path / 'a.png')
    for out in (tmp_path, tmp_path / 'points', tmp_path):
        assert run(tmp_path, f'--out={out}') == 0
        assert len(read(out)[0]['images']) == 1


def test_a_broken_link_is_named_and_skipped(fake, tmp_path, capsys):
    good, bad = save(tmp_path / 'in/good.png'), tmp_path / 'in/bad.png'
    bad.symlink_to('nowhere.png')
    for words in ([tmp_path / 'in'], [good, bad]):
        assert run(*words, f'--out={tmp_path / "out"}') == 0
        said = capsys.readouterr().err
        assert 'skipped 1 of 2' in said and 'bad.png' in said
    assert run(bad, f'--out={tmp_path / "out"}') == 2
    assert 'bad.png' in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['screen', 'full', 'no', None])
def test_overlays_fit_a_screen_unless_said_otherwise(fake, tmp_path, kind):
    picture = np.zeros((900, 2000, 3), np.uint8)
    picture[300:400, 1500:1600] = 255
    Image.fromarray(picture).save(tmp_path / 'a.jpg')
    out = tmp_path / 'out'
    words = [] if kind is None else [f'--overlays={kind}']
    assert run(tmp_path / 'a.jpg', f'--out={out}', *words) == 0
    x, y = np.reshape(read(out)[0]['annotations'][0]['keypoints'], (2, 3))[0, :2]
    assert abs(x - 1549.5) < 5 and abs(y - 349.5) < 5
    if kind == 'no':
        assert not (out / 'overlays').exists()
        return
    seen = np.asarray(Image.open(out / 'overlays/a.jpg.jpg')).astype(int)
    size = (900, 2000) if kind == 'full' else (720, 1600)
    assert seen.shape[:2] == size
    # The ring is where the square is; right of the middle all is tinted.
    colour = np.abs(seen - seen.mean(-1, keepdims=True)).max(-1)
    y, x = (np.array([349.5, 1549.5]) * size[0] / 900).astype(int)
    assert colour[y - 70 : y + 70, x - 70 : x + 70].max() > 60
    assert (seen[:100, : size[1] // 2 - 5] < 9).mean() > 0.5


def test_mistakes_of_overlays(fake, tmp_path, capsys):
    assert run(save(tmp_path / 'a.png'), f'--out={tmp_path}', '--overlays=huge') == 2
    assert "'screen', 'full', 'no'" in capsys.readouterr().err


def test_a_tilde_is_the_home_directory(fake, tmp_path, monkeypatch):
    """Bash leaves it after an '='."""
    save(tmp_path / 'a.png')
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(save(tmp_path / 'elsewhere/b.png').parent)
    assert run('~/a.png', '--out=~/out') == 0
    assert (tmp_path / 'out/keypoints.json').is_file()
    assert not (tmp_path / 'elsewhere/~').exists()


def test_a_run_cut_to_what_moves_looks_at_all_frames(tmp_path):
    """Of an annotated folder and of a list of pictures: the same crops, by all of them."""
    film = tmp_path / 'film'
    film.mkdir()
    ground = np.random.default_rng(0).integers(60, 120, (40, 60, 3)).astype(np.uint8)
    for number in range(8):
        picture = ground.copy()
        picture[10:20, 5 * number : 5 * number + 10] = 255
        Image.fromarray(picture).save(film / f'{number}.png')
    np.savez(film / 'annotations.npz', files=['1.png', '2.png'])
    model = trained('moving')
    by_folder = finding.pictures([str(film)], model.config.data)
    by_files = finding.pictures(
        [str(film / f'{i}.png') for i in range(8)], model.config.data
    )
    assert len(by_folder) == len(by_files) == 8
    for one, other in zip(by_folder, by_files, strict=True):
        np.testing.assert_array_equal(one['frame'], other['frame'])
    found = list(finding.find(model, by_folder))
    for number, one in enumerate(found):
        x, y = one.keypoints.xy[0]
        assert abs(x - (5 * number + 4.5)) < 3 and abs(y - 14.5) < 3


def test_boxes_of_training_cut_pictures_without_their_own(tmp_path):
    place = save(tmp_path / 'a.png')
    np.savez(tmp_path / 'boxes.npz', files=['a.png'], boxes=[[[60, 12, 80, 32]]])
    model = trained('box:0.5')
    model.config.data.options = {'annotations': str(tmp_path / 'boxes.npz')}
    source = finding.pictures([str(tmp_path)], model.config.data)
    (found,) = finding.find(model, source)
    np.testing.assert_allclose(found.keypoints.xy[0], [67.5, 19.5], atol=0.05)
    assert place.is_file()
