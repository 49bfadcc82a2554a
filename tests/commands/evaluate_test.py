"""`kpd evaluate` and the named sets of annotated points."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import config, evaluate, inference, measuring, methods, metrics, report
from kpdiscovery.data import identity
from kpdiscovery.data.joined import detections
from kpdiscovery.reporting import table
from kpdiscovery.types import UserError
from tests.methods.weak_labels import Squares


class Pictures:
    """A source of black pictures with T points."""

    truth = ('keypoints', 'visible')

    def __init__(self, points):
        self.points = points

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {'image': np.zeros((32, 32, 3), np.uint8), 'index': np.int32(index),
                'keypoints': np.full((self.points, 2), index, np.float32),
                'visible': np.ones(self.points, bool)}  # fmt: skip


def test_the_named_set_must_fit_the_annotations():
    metrics.check_landmarks('', Pictures(7))
    metrics.check_landmarks('faces68', Pictures(68))
    with pytest.raises(UserError, match=r"have 5 points .*'faces68' means 68: .*NAME"):
        metrics.check_landmarks('faces68', Pictures(5))
    with pytest.raises(UserError, match="data.landmarks: no landmark set 'face'"):
        metrics.check_landmarks('face', Pictures(5))


def test_the_set_comes_from_the_config(tmp_path):
    settings = config.load('tusk/faces:smoke')
    trained = inference.untrained(settings, Pictures(68))
    seen = inference.predict_rows(trained, Pictures(68), 3, batch_size=3)
    assert seen.landmarks == 'faces68'

    xy = np.zeros((3, 5, 2), np.float32)
    for i in range(3):
        Image.new('RGB', (40, 30)).save(tmp_path / f'{i}.png')
    names = [f'{i}.png' for i in range(3)]
    np.savez(tmp_path / 'annotations.npz', files=names, keypoints=xy)
    settings.data.path = str(tmp_path)
    with pytest.raises(UserError, match='the annotations have 5 points'):
        evaluate.evaluate(trained)


def test_where_a_pretrained_start_is_gone_the_untrained_model_is_not_measured(caplog):
    """The smallest case of a fault: a run on another machine could not be measured."""
    settings = config.load('lmpnet/folder:pretrained,smoke')
    settings.method.num_classes = 2
    source = Squares()
    lost = inference.Trained(None, {}, settings, {})
    assert measuring.untrained(lost, source, source, looking=(lost, source)) == {}
    assert 'the untrained model is not measured: no weights of efficient' in caplog.text


class Marked:
    """Pictures that hold their number; the detector below knows where their points are."""

    truth = ('keypoints', 'visible')

    def __init__(self, length, seed):
        rng = np.random.default_rng(seed)
        self.xy = rng.uniform(2, 29, (length, 5, 2)).astype(np.float32)

    def __len__(self):
        return len(self.xy)

    def __getitem__(self, index):
        image = np.full((32, 32, 3), index, np.uint8)
        return {
            'image': image,
            'keypoints': self.xy[index],
            'visible': np.ones(5, bool),
        }


def test_the_start_is_measured_too(monkeypatch):
    """Generic keypoints that are the true points, told apart by their descriptors."""
    sources = Marked(40, 0), Marked(20, 1)
    turn = iter([sources[0]] * 2 + [sources[1]])  # 32 pictures a batch.

    def found(images, valid):
        xy = next(turn).xy[images[:, 0, 0, 0]]
        kinds = np.tile(np.eye(5, dtype=np.float32), (len(xy), 1, 1))
        return detections.Detections(xy, np.ones(xy.shape[:2], np.float32), kinds)

    monkeypatch.setattr(measuring.detection, 'detector', lambda name, num: found)
    settings = config.load('self_training/faces:smoke', ['data.num_detected=5'])
    settings.method.num_keypoints = 5
    settings.data.landmarks = 'faces5'
    trained = inference.untrained(settings, sources[0])
    splits = [
        inference.predict_rows(trained, s, len(s), batch_size=10) for s in sources
    ]
    figures = measuring.generic(trained, sources, splits)
    assert figures['forward_nme_5'] < 5 < figures['forward_nme_mean_shape_5']
    assert figures['landmarks_found'] == 100
    settings.data.keypoints = ''
    assert measuring.generic(trained, sources, splits) == {}


def test_fewer_pictures_are_spread_over_the_split(monkeypatch):
    """The first ones of a folder would be of its first classes."""
    source = Squares(24)
    monkeypatch.setattr(measuring.data, 'build', lambda *args, **options: source)
    settings = config.load('lmpnet/critters:smoke', ['method.num_classes=3'])
    settings.evaluation.update(test=6, fit=0)
    seen = []
    look = lambda trained, source, count, **_: seen.append(source) or _stop()
    monkeypatch.setattr(measuring.inference, 'predict_rows', look)
    with pytest.raises(StopIteration):
        evaluate.evaluate(inference.untrained(settings, source))
    assert [int(seen[0][i]['index']) for i in range(6)] == [0, 4, 8, 12, 16, 20]


def _stop():
    raise StopIteration


def test_the_network_used_otherwise_is_measured_too(monkeypatch):
    """As its method names it; what is the same is not measured twice."""
    source = Squares(12)
    monkeypatch.setattr(measuring.data, 'build', lambda *args, **options: source)
    settings = config.load('lmpnet/critters:smoke', ['method.num_classes=3'])
    trained = inference.untrained(settings, source)
    result = evaluate.evaluate(trained)
    assert set(result['baselines']) == {'without_mask_out'}
    _, heads, *lines = table.text(result).splitlines()
    assert heads.split() == ['trained', 'untrained', 'without_mask_out']
    assert {len(line.split()) for line in lines} == {4}
    same = inference.untrained(
        config.load('lmpnet/critters:smoke',
                    ['method.num_classes=3', 'method.fusion=first']), source
    )  # fmt: skip
    assert evaluate.evaluate(same)['baselines'] == {}
    assert result['pictures'] == 12 and result['rows'] == 'all'
    alone = evaluate.evaluate(trained, compared=False)
    assert alone['metrics'] == result['metrics']
    assert alone['untrained'] == alone['baselines'] == alone['generic'] == {}
    assert table.text(alone).splitlines()[1].split() == ['trained']


def test_classes_of_other_pictures_are_those_of_the_run(tmp_path):
    """Label 0 of a folder of bees and cats is the run's class 1, in every command."""
    for name in ('bee/1.png', 'cat/2.png', 'cat/3.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new('RGB', (40, 30)).save(tmp_path / name)
    settings = config.load('weight_map/folder:smoke', ['method.num_classes=3'])
    settings.data.class_names = ['ant', 'bee', 'cat']  # As a checkpoint has it.
    settings.data.path = str(tmp_path)
    for source in (*measuring.sources(settings, 'test'),
                   report._source(settings, str(tmp_path), 'test')):  # fmt: skip
        assert [int(source[i]['label']) for i in range(3)] == [1, 2, 2]
    settings.data.class_names = ('ant', 'bee')
    with pytest.raises(UserError, match="knows no class 'cat'"):
        measuring.sources(settings, 'test')


def test_without_annotations_the_table_says_so_in_plain_words():
    result = {
        'metrics': {},
        'untrained': {},
        'pictures': 3,
        'split': 'test',
        'truth': [],
        'skipped': {
            'foreground_ari': "needs truth 'instances', the source has frame",
            'landmark_regression': "needs truth 'keypoints', 'visible', the source has frame",
            'landmark_nme': 'needs data.landmarks, one of faces68',
        },
    }
    said = table.text(result).splitlines()
    assert said[0].startswith('3 pictures of split test: too few ')
    asked = result | {'config': {'evaluation': {'test': 3}}}
    assert table.text(asked).splitlines()[0].endswith('as evaluation.test wants')
    more = result | {'pictures': 10, 'fit_pictures': 90, 'protocol': ['landmark_nme']}
    assert table.text(more).splitlines()[0] == '10 pictures of split test'
    said_of_ten = table.text(more | {'skipped': {}}).splitlines()
    assert said_of_ten[0] == '10 pictures of split test, fitted on 90 of split train'
    assert said[1] == 'nothing could be measured: the pictures have no annotations'
    assert said[2].endswith('not measured: the pictures have no masks of each object')
    assert said[3].endswith('not measured: the pictures have no annotated points')
    assert said[4].endswith('not measured: needs data.landmarks, one of faces68')


def test_other_splits_and_steps_have_files_of_their_own():
    names = [evaluate._file_name(*case) for case in
             (('test', None), ('validation', None), ('test', 7), ('validation', 7))]  # fmt: skip
    assert names == ['metrics.json', 'metrics_validation.json', 'metrics_7.json',
                     'metrics_validation_7.json']  # fmt: skip
    assert evaluate._file_name('test', None, '/my own/') == 'metrics_on_my_own.json'


class Filed(Squares):
    """Files by number, of which `first` is the number of the first."""

    def __init__(self, length, first):
        super().__init__(length)
        self.files = tuple(f'{first + i}.png' for i in range(length))


@pytest.mark.parametrize('split, first, again', [('validation', 8, 4), ('test', 12, 0)])
def test_pictures_that_were_learnt_from_are_told(
    monkeypatch, caplog, split, first, again
):
    """Validation rows are a part of the training split unless one sets them aside."""
    sources = {'train': Filed(12, 0), split: Filed(6, first)}
    build = lambda *args, split, **options: sources[split]
    monkeypatch.setattr(measuring.data, 'build', build)
    settings = config.load('lmpnet/critters:smoke', ['method.num_classes=3'])
    trained = inference.untrained(settings, sources['train'])
    found = evaluate.evaluate(trained, split=split, compared=False)
    assert found['learnt_from'] == again and found['fit_pictures'] == 0
    told = f'{again} of the 6 pictures measured are in the training split'
    assert (told in caplog.text) == bool(again)
    assert evaluate._again(Pictures(1), Pictures(1), 'train') == 3
    assert evaluate._again(Pictures(1), Pictures(1), 'test') == 0


def test_other_pictures_have_a_file_of_their_own(tmp_path, monkeypatch):
    """Figures of the run's own pictures stay, though their files may have moved."""
    settings = config.load('lmpnet/critters:smoke', ['method.num_classes=3'])
    method = methods.build(settings.method)
    trained = inference.Trained(method, {}, settings, {})
    monkeypatch.setattr(inference, 'load', lambda *args, **options: trained)
    monkeypatch.setattr(table, 'text', lambda result: '')
    for changed in ('', 'other content'):
        result = {'metrics': {'nme': float('nan')}, 'other_data': changed}
        monkeypatch.setattr(evaluate, 'evaluate', lambda *args, r=result, **_: r)
        assert evaluate.main([f'--workdir={tmp_path}', f'--data={tmp_path}/bees']) == 0
    names = sorted(path.name for path in tmp_path.glob('*.json'))
    assert names == ['metrics.json', 'metrics_on_bees.json']
    assert '"nme": null' in (tmp_path / 'metrics.json').read_text()


def test_figures_of_another_folder_of_that_name_are_not_replaced_without_a_word(
    tmp_path, caplog
):
    config = {'config': {'data': {'path': 'a/bees'}}}
    (tmp_path / 'x.json').write_text(json.dumps(config))
    for name in ('a/bees', 'a/bees/', 'b/bees'):
        evaluate._tell_replaced(tmp_path / 'x.json', name)
    evaluate._tell_replaced(tmp_path / 'none.json', 'b/bees')
    assert len(caplog.messages) == 1 and 'had figures of a/bees' in caplog.text


def test_which_of_other_pictures_were_learnt_from_is_not_said(monkeypatch, caplog):
    source = Filed(6, 0)
    monkeypatch.setattr(measuring.data, 'build', lambda *args, **options: source)
    settings = config.load('lmpnet/critters:smoke', ['method.num_classes=3'])
    trained = inference.untrained(settings, source)
    before = identity.of(Filed(7, 0))._asdict()
    trained = trained._replace(meta={'data': before})
    found = evaluate.evaluate(trained, split='validation', compared=False)
    assert 'regressors are fitted on 6 of the 6 pictures' in caplog.text
    assert found['learnt_from'] is None and found['other_data']
    assert 'is not looked at' in caplog.text


def test_warnings_of_what_is_compared_with_say_so(caplog):
    with measuring._said_of('untrained'):
        logging.warning('%d points', 3)
    logging.warning('none')
    assert caplog.messages == ['untrained: 3 points', 'none']


@pytest.mark.parametrize('name, best', [('nme', 2), ('pck', 3)])
def test_the_oracle_knows_errors_and_passes_over_what_was_not_measured(
    monkeypatch, name, best
):
    values = {1: {}, 2: {name: 1.0}, 3: {name: 2.0}, 4: {name: float('nan')}}
    epochs = lambda workdir: ((step, step) for step in values)
    monkeypatch.setattr(measuring.runs, 'load_epochs', epochs)
    monkeypatch.setattr(measuring, 'splits', lambda *args: (None, None))
    look = lambda trained, fit, test: [values[trained.variables]]
    monkeypatch.setattr(measuring, 'measure', look)
    before = {'metrics': {name: 0.0}, 'split': 'test', 'baselines': {}}
    trained = inference.Trained(None, {}, {}, {})
    found = measuring.with_hindsight(before, trained, 'run', name)
    assert found['epochs'] == {2: 1.0, 3: 2.0}
    assert set(found['baselines']) == {'last epoch', f'oracle ({best})'}
