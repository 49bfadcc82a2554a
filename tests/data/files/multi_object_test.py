import json
import logging
import pickle

import numpy as np
import pytest

from kpdiscovery import cli, config, data, metrics
from kpdiscovery.data import identity
from kpdiscovery.data import resize as resize_lib
from kpdiscovery.data.files import multi_object, tfrecords
from kpdiscovery.data.files.multi_object import MultiObject
from kpdiscovery.data.generated.tetrominoes import RGB
from kpdiscovery.types import Keypoints, Prediction, Source, Split, UserError
from tests.data.files import tfrecord_writer as w

CLEVR = {'name': 'clevr_with_masks', 'resize': 'crop:0.8'}
TETROMINOES = {'name': 'tetrominoes', 'split': 'train', 'size': 35, 'objects': 3}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def tetrominoes(path, count=9):
    """Scene i has colours i, i + 1, i + 2 and shapes i + 1, ..., all modulo what there is."""
    scenes = [
        w.tetrominoes([(i + j) % 6 for j in range(3)], [(i + j) % 19 + 1 for j in range(3)])
        for i in range(count)
    ]  # fmt: skip
    return w.write(path / 'tetrominoes_train.tfrecords', scenes)


@pytest.fixture(scope='module')
def clevr_file(tmp_path_factory):
    """Six scenes; scene i has as many objects as COUNTS says."""
    row = [(70 + 20 * i, 120) for i in range(10)]
    path = tmp_path_factory.mktemp('clevr') / 'clevr_with_masks_train.tfrecords'
    return w.write(path, [w.clevr(row[:count]) for count in COUNTS])


COUNTS = (3, 10, 6, 7, 4, 5)


def test_tetrominoes(tmp_path):
    source = MultiObject(tetrominoes(tmp_path), **TETROMINOES)
    assert isinstance(source, Source) and len(source) == 6
    assert source.truth == ('attributes', 'boxes', 'boxes_valid', 'instances')
    row = source[1]
    assert row['image'].dtype == np.uint8 and row['instances'].dtype == np.int32
    want = np.full((35, 35), -1)
    want[3:13, 2:12], want[3:13, 14:24], want[20:30, 2:12] = 0, 1, 2
    np.testing.assert_array_equal(row['instances'], want)
    palette = 255 * np.concatenate([RGB[[1, 2, 3]], np.zeros((1, 3), np.uint8)])
    np.testing.assert_array_equal(row['image'], palette[want])
    assert {k: v.tolist() for k, v in row['attributes'].items()} == {
        'shape': [1, 2, 3], 'color': [1, 2, 3],
    }  # fmt: skip
    boxes = [(1.5, 2.5, 11.5, 12.5), (13.5, 2.5, 23.5, 12.5), (1.5, 19.5, 11.5, 29.5)]
    np.testing.assert_array_equal(row['boxes'], boxes)
    assert row['boxes_valid'].all() and row['boxes'].dtype == np.float32
    assert all(values.dtype == np.int32 for values in row['attributes'].values())
    np.testing.assert_array_equal(row['frame'], [1, 1, 0, 0, 35, 35])


def test_rows_look_like_those_of_the_drawn_sources(tmp_path):
    drawn = data.build(
        {'source': 'tetrominoes', 'size': 70, 'options': {}}, split='test'
    )
    read = MultiObject(tetrominoes(tmp_path), **TETROMINOES | {'size': 70})[0]
    kinds = lambda row: {
        name: (kinds(value) if isinstance(value, dict) else (value.shape, value.dtype))
        for name, value in row.items()
    }  # fmt: skip
    assert kinds(read) == {**kinds(dict(drawn[0])), 'frame': ((6,), np.float32)}


def test_all_six_colours_are_told_apart_whatever_white_is(tmp_path):
    scene = w.tetrominoes([3, 4, 5])
    path = w.write(tmp_path / 'a', [scene] * 3)
    row = MultiObject(path, **TETROMINOES)[0]
    assert row['attributes']['color'].tolist() == [3, 4, 5]
    assert (RGB[3:] == w.RGB[3:]).all()


def test_a_cut_of_192_pixels_lies_where_its_frame_says(clevr_file):
    source = MultiObject(clevr_file, split='train', size=192, **CLEVR)
    row = source[0]
    # Columns 64..255 and rows 24..215 of the original stay, each a pixel.
    np.testing.assert_allclose(row['frame'], [1, 1, -64, -24, 320, 240], atol=1e-4)
    np.testing.assert_array_equal(row['image'][5, 3], [(64 + 3) // 2, 24 + 5, 0])
    np.testing.assert_array_equal(row['image'][191, 191], [255 // 2, 215, 0])
    boxes = [(5.5 + 20 * i, 95.5, 25.5 + 20 * i, 115.5) for i in range(3)]
    np.testing.assert_array_equal(row['boxes'][:3], boxes)
    frame = resize_lib.Frame.from_vector(row['frame'])
    assert resize_lib.to_original(frame, row['boxes'][1]).round(3).tolist() == [
        89.5, 119.5, 109.5, 139.5,
    ]  # fmt: skip


@pytest.mark.parametrize('size', [16, 64, 96, 112])
def test_pictures_and_objects_are_taken_from_the_same_pixels(clevr_file, size):
    row = MultiObject(clevr_file, split='train', size=size, **CLEVR)[0]
    for i in range(3):
        mine = row['instances'] == i
        assert mine.any()
        assert (row['image'][mine] == 10 * i + 50).all()
    ground = row['image'][row['instances'] == -1]
    assert (ground[:, 2] == 0).all()
    # Each row is one of the nearest to the middle of its stretch of the original.
    middle = 24 + (np.arange(size) + 0.5) * 192 / size - 0.5
    assert np.abs(row['image'][:, 0, 1] - middle).max() < 0.5 + 1e-9


def test_bars_are_black_ground(clevr_file):
    source = MultiObject(
        clevr_file, **CLEVR | {'resize': 'pad'}, split='train', size=64
    )
    row = source[0]
    assert row['pixels_valid'].sum() == 48 * 64
    assert not row['image'][~row['pixels_valid']].any()
    assert (row['instances'][~row['pixels_valid']] == -1).all()


def test_clevr_keeps_scenes_of_few_objects(clevr_file):
    get = lambda split, objects: MultiObject(
        clevr_file, split=split, size=48, objects=objects, **CLEVR
    )
    seen = lambda source: [
        int((row['attributes']['color'] >= 0).sum()) for row in source
    ]
    train, test = get('train', 6), get('test', 6)
    assert (len(train), len(test)) == (3, 1)  # A third, so few are there.
    assert seen(train) == [3, 6, 4] and seen(test) == [5]
    assert train[0]['boxes'].shape == (6, 4)
    every = [*get('train', 10), *get('test', 10)]
    # The tenth of ten, at 250, is cut to six of 192 pixels.
    assert seen(every) == list(COUNTS) and every[0]['boxes'].shape == (10, 4)
    for row in train:
        np.testing.assert_array_equal(
            row['boxes_valid'], row['attributes']['shape'] >= 0
        )
    codes = train[1]['attributes']
    assert set(codes) == {'shape', 'color', 'size', 'material'}
    assert codes['size'].tolist() == [0, 1, 2, 3, 4, 5]  # The file's, less one.


def test_objects_that_cannot_be_seen_count_as_none(tmp_path):
    hidden = [(100, 100), None, (10, 100), (102, 100), (100, 100), (200, 50)]
    path = w.write(tmp_path / 'a', [w.clevr(hidden, [1, 2, 3, 1, 2, 3])] * 3)
    source = MultiObject(path, split='train', size=96, objects=6, **CLEVR)
    row = source[0]
    # The first is hidden by the fifth, the second has no mask, the third is cut off.
    want = [-1, -1, -1, 0, 1, 2]
    assert row['attributes']['shape'].tolist() == want
    assert row['boxes_valid'].tolist() == [code >= 0 for code in want]
    assert (row['boxes'][:3] == -1).all()
    assert np.unique(row['instances']).tolist() == [-1, 3, 4, 5]
    # They count where scenes are chosen: the paper looks at the seventh entity.
    with pytest.raises(
        UserError, match="nothing of split 'train' among 0 scenes of at"
    ):
        MultiObject(path, split='train', size=96, objects=5, **CLEVR)


def test_splits(monkeypatch, tmp_path):
    kept = np.arange(0, 70_000, 2)
    rows = {split: multi_object._rows(kept, split) for split in multi_object._SPLITS}
    assert {k: len(v) for k, v in rows.items()} == {
        'train': 25_000, 'validation': 1_000, 'test': 10_000,
    }  # fmt: skip
    np.testing.assert_array_equal(np.append(rows['train'], rows['test']), kept)
    np.testing.assert_array_equal(rows['validation'], rows['train'][-1_000:])
    monkeypatch.setattr(multi_object, '_TEST', 2)
    monkeypatch.setattr(multi_object, '_VALIDATION', 3)
    path = tetrominoes(tmp_path, 9)
    first = lambda split: [
        int(row['attributes']['shape'][0])
        for row in MultiObject(path, **TETROMINOES | {'split': split})
    ]
    assert first('train') == [0, 1, 2, 3, 4, 5, 6]
    assert first('validation') == [4, 5, 6] and first('test') == [7, 8]


def test_rows_come_in_any_order(tmp_path):
    path = tetrominoes(tmp_path)
    source = MultiObject(path, **TETROMINOES)
    there = [source[i] for i in range(len(source))]
    for i in (5, 0, 3, 3, -1):
        np.testing.assert_array_equal(source[i]['image'], there[i]['image'])
    again = pickle.loads(pickle.dumps(source))
    assert len(pickle.dumps(source)) < 5_000  # Without the pictures.
    np.testing.assert_array_equal(again[4]['image'], there[4]['image'])
    source[2]['image'][:] = 0  # A row is the caller's.
    np.testing.assert_array_equal(source[2]['image'], there[2]['image'])


def test_what_is_decoded_is_found_again(tmp_path, monkeypatch):
    path = tetrominoes(tmp_path)
    first = MultiObject(path, **TETROMINOES)
    folder = path.with_name(path.name + '.scenes')
    assert len(list(folder.iterdir())) == 1  # And no draft.
    with monkeypatch.context() as patch:
        patch.setattr(tfrecords, 'records', None)
        again = MultiObject(path, **TETROMINOES)
        np.testing.assert_array_equal(again[3]['image'], first[3]['image'])
        assert len(MultiObject(path, **TETROMINOES | {'split': 'test'})) == 3
        assert first.digest == again.digest
    for more in ({'size': 20}, {'resize': 'pad'}, {'length': 4}):
        MultiObject(path, **TETROMINOES | more)
    assert len(list(folder.iterdir())) == 4
    w.write(path, [w.tetrominoes([5, 5, 5])] * 9)  # Another file of that name.
    other = MultiObject(path, **TETROMINOES)
    assert other[0]['attributes']['color'].tolist() == [5, 5, 5]
    assert identity.of(other) != identity.of(first)


def test_identity_is_that_of_the_scenes_not_of_their_size(tmp_path):
    path = tetrominoes(tmp_path)
    get = lambda **more: identity.of(MultiObject(path, **TETROMINOES | more))
    assert get() == get(size=20)
    assert get() != get(split='test') and get() != get(length=5)


def test_a_folder_that_cannot_be_written_to(tmp_path, caplog):
    path = tetrominoes(tmp_path)
    path.with_name(path.name + '.scenes').write_text('in the way')
    with caplog.at_level(logging.WARNING):
        source = MultiObject(path, **TETROMINOES)
    assert source[0]['image'].any()
    assert [record.getMessage() for record in caplog.records] == [
        f'cannot write to {path}.scenes: File exists'
    ]
    assert len(list((tmp_path / 'cache' / 'kpdiscovery' / 'scenes').iterdir())) == 1
    (tmp_path / 'cache' / 'kpdiscovery' / 'scenes').rename(tmp_path / 'moved')
    (tmp_path / 'cache' / 'kpdiscovery' / 'scenes').write_text('too')
    with pytest.raises(UserError, match='cannot write decoded scenes to .* or '):
        MultiObject(path, **TETROMINOES)


def test_a_run_that_ends_early_leaves_nothing_behind(tmp_path):
    path = w.write(tmp_path / 'a', [w.tetrominoes()] * 3 + [b'\x0a\x05'])
    with pytest.raises(
        UserError, match=r'a, scene 3, read as tetrominoes: no tf\.train'
    ):
        MultiObject(path, **TETROMINOES)
    assert not list((tmp_path / 'a.scenes').iterdir())
    assert len(MultiObject(path, **TETROMINOES | {'length': 3})) == 2


def test_a_damaged_cache_says_what_to_delete(tmp_path):
    path = tetrominoes(tmp_path)
    MultiObject(path, **TETROMINOES)
    (folder,) = path.with_name(path.name + '.scenes').iterdir()
    pictures = (folder / 'pictures.bin').read_bytes()
    (folder / 'pictures.bin').write_bytes(pictures[:-1])
    with pytest.raises(UserError, match=f'{folder.name} is damaged, delete it: '):
        MultiObject(path, **TETROMINOES)


def test_another_process_may_have_been_faster(tmp_path, monkeypatch):
    path, scenes = tetrominoes(tmp_path), []
    read = tfrecords.records

    def records(path):
        yield from read(path)
        if not scenes:  # Here the other one has come and gone.
            scenes.append('begun')
            MultiObject(path, **TETROMINOES)

    monkeypatch.setattr(tfrecords, 'records', records)
    assert len(MultiObject(path, **TETROMINOES)) == 6
    assert len(list(path.with_name(path.name + '.scenes').iterdir())) == 1


@pytest.mark.parametrize(('changes', 'message'), [
    ({'name': 'objects_room'}, 'name must be one of clevr_with_masks, tetrominoes, got'),
    ({'split': 'all'}, "split must be one of train, validation, test, got 'all'"),
    ({'name': 'clevr_with_masks'}, "scene 0, .*: wanted 230400 numbers of 'image', got 3675"),
    ({'objects': 2}, "nothing of split 'train' among 0 scenes"),
    ({'length': 1, 'split': 'test'}, "nothing of split 'test' among 1 scenes"),
])  # fmt: skip
def test_mistakes_are_one_line(tmp_path, changes, message):
    path = tetrominoes(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        MultiObject(path, **TETROMINOES | changes)
    assert '\n' not in str(error.value)


def test_files_that_are_none(tmp_path):
    for name, content, message in (
        ('text', b'a list of pictures', 'no TFRecord file or damaged'),
        ('empty', b'', 'empty has no scenes'),
        ('string', w.record(w.example({'image': w.strings([b'png'])})), 'got 1'),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            MultiObject(tmp_path / name, **TETROMINOES)
    for path in (tmp_path, tmp_path / 'none'):
        with pytest.raises(UserError, match='Is a directory|No such file'):
            MultiObject(path, **TETROMINOES)


def settings(name, path=''):
    section = config.load(name).data
    if path:
        data.point_to(section, str(path))
    return section


def test_configs_read_the_file_they_are_pointed_to(tmp_path, clevr_file):
    path = tetrominoes(tmp_path)
    for name, file, rows in (
        ('tusk/tetrominoes:official', path, 6), ('tusk/clevr6:with_masks', clevr_file, 3),
        ('tusk/tetrominoes:official,demo', path, 6),
        ('tusk/clevr6:with_masks,cpu', clevr_file, 3),
    ):  # fmt: skip
        section = settings(name, file)
        assert section.source == 'multi_object'
        source = data.build(section, split='train')
        assert len(source) == rows and len(source[0]['image']) == section.size
    frame = source[0]['frame']
    np.testing.assert_allclose(frame[:2], 64 / 192, rtol=1e-6)  # The paper's cut.


def test_configs_without_a_file_say_so():
    for name in ('tusk/tetrominoes:official', 'tusk/clevr6:with_masks,smoke'):
        with pytest.raises(UserError, match=r'Multi-Object Datasets: add --data=FILE'):
            data.build(settings(name), split='train')
    section = settings('tusk/clevr6:with_masks', 'x')
    with section.unlocked():
        section.options.length = 70_001
    with pytest.raises(UserError, match='length must be 1 to 70000 scenes, got 70001'):
        data.build(section, split='train')
    section.update(resize='box')
    section.options.length = 5
    with pytest.raises(UserError, match='multi_object: resize must be one of'):
        data.build(section, split='train')


def test_sizes_of_clevr_draw_where_nothing_is_read():
    assert settings('tusk/clevr6:cpu').source == 'scenes'
    assert settings('tusk/clevr6:smoke').source == 'scenes'


def test_figures_of_what_is_found_are_whole(tmp_path):
    """An oracle that has the masks and whose prototypes are the colours."""
    rows = list(MultiObject(tetrominoes(tmp_path), **TETROMINOES))
    stack = lambda *keys: np.stack([_at(row, keys) for row in rows])
    instances, color = stack('instances'), stack('attributes', 'color')
    valid = np.ones(color.shape, bool)
    xy = stack('boxes').reshape(*color.shape, 2, 2).mean(axis=2)
    alphas = (instances[:, None] == np.arange(3)[:, None, None]).astype(np.float32)
    found = Prediction(
        Keypoints(xy, np.ones(color.shape, np.float32), color, valid),
        instances=np.maximum(instances, 0), alphas=alphas,
    )  # fmt: skip
    truth = {
        'instances': instances,
        'attributes': {'color': color, 'shape': stack('attributes', 'shape')},
    }
    split = Split(found, truth, (35, 35), 6)
    names = ('foreground_ari', 'prototype_attributes')
    figures, skipped = metrics.evaluate(names, None, split)
    assert not skipped
    assert figures['foreground_ari'] == figures['object_recall'] == 1
    assert figures['color_accuracy'] == figures['color_accuracy_paper'] == 1


def _at(row, keys):
    for key in keys:
        row = row[key]
    return row


@pytest.mark.slow
def test_training_and_its_figures(tmp_path, capsys):
    row = [(80 + 25 * i, 90 + 10 * i) for i in range(6)]
    scenes = [w.clevr(row[: 3 + i % 4], [1, 2, 3, 1, 2, 3]) for i in range(24)]
    path = w.write(tmp_path / 'clevr_with_masks_train.tfrecords', scenes)
    argv = [f'--workdir={tmp_path / "run"}']
    start = ['--config=tusk/clevr6:with_masks,smoke', f'--data={path}']
    assert cli.main(['doctor', *start]) == 0
    assert cli.main(['train', *start, *argv]) == 0
    assert cli.main(['evaluate', *argv]) == 0
    capsys.readouterr()
    (file,) = (tmp_path / 'run').glob('metrics*.json')
    figures = json.loads(file.read_text())
    assert {'foreground_ari', 'color_accuracy_paper'} <= set(figures['metrics'])
