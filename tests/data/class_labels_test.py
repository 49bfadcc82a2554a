import re

import ml_collections
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import methods
from kpdiscovery.data import class_labels
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.types import UserError

LMPNET = methods.named('lmpnet')


class Rows:
    """A source of which only the labels matter."""

    def __init__(self, known=None, names=(), truth=('label',)):
        self.labels = None if known is None else np.array(known, np.int32)
        self.class_names, self.truth = names, truth


def config(**method):
    data = {'source': 'folder', 'options': {}}
    return ml_collections.ConfigDict({'method': method, 'data': data})


def prepared(source, num_classes=0):
    settings = config(name='lmpnet', num_classes=num_classes)
    class_labels.prepare(source, settings, LMPNET)
    assert settings.data.class_names == source.class_names
    return settings.method.num_classes


@pytest.mark.parametrize('holdout, told', [
    (3, r'no picture of 1 classes .*\(owl\): method.holdout=3'), (0, ''), (4, ''),
])  # fmt: skip
def test_a_class_of_held_out_rows_alone_is_told(caplog, holdout, told):
    settings = config(name='weight_map', num_classes=0, holdout=holdout)
    rows = Rows([2, 0, 1, 2, 1, 0], names=('cat', 'dog', 'owl'))
    class_labels.prepare(rows, settings, methods.named('weight_map'))
    assert bool(told) == bool(caplog.text)
    assert re.search(told, caplog.text)


def test_classes_are_counted_where_nobody_says_how_many():
    assert prepared(Rows([2, 0, 1, 0])) == 3  # Of one picture each is fine.
    assert prepared(Rows([1, 0], names=('cat', 'dog', 'owl'))) == 3
    assert prepared(Rows(names=('cat', 'dog'))) == 2
    assert prepared(Rows([1, 0, 1]), num_classes=20) == 20
    assert prepared(Rows(), num_classes=20) == 20


def test_methods_that_count_no_classes_are_left_alone():
    settings = config(name='tusk')
    before = settings.to_dict()
    class_labels.expect(settings, methods.named('tusk'))
    class_labels.prepare(Rows(truth=()), settings, methods.named('tusk'))
    assert settings.to_dict() == before


def test_folders_are_classes_unless_the_config_says_otherwise():
    settings = config(name='lmpnet', num_classes=0)
    class_labels.expect(settings, LMPNET)
    assert settings.data.options.folder_labels
    settings.data.options.folder_labels = False
    class_labels.expect(settings, LMPNET)
    assert not settings.data.options.folder_labels


class Labelled(Rows):
    """With rows too."""

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {'label': self.labels[index]}


def as_trained(source, names=('ant', 'bee', 'cat'), num_classes=3):
    settings = config(name='lmpnet', num_classes=num_classes)
    settings.data.class_names = names
    return class_labels.as_trained(source, settings, LMPNET)


@pytest.mark.parametrize(
    ('names', 'labels', 'want'),
    [
        (('bee', 'cat'), [0, 1, 1], [1, 2, 2]),  # Fewer.
        (('cat', 'ant', 'bee'), [0, 1, 2], [2, 0, 1]),  # In another order.
        (('ant', 'bee', 'cat'), [0, 1, 2], [0, 1, 2]),
        (('dog', 'bee'), [1, 1], [1, 1]),  # No picture of a dog.
        ((), [2, 0, 1], [2, 0, 1]),  # Numbers are all there is.
    ],
)
def test_other_pictures_have_the_classes_of_the_run(names, labels, want):
    source = as_trained(Labelled(labels, names))
    assert source.labels.tolist() == want
    assert [
        int(row['label']) for row in (source[i] for i in range(len(source)))
    ] == want
    assert source.truth == ('label',) and len(source) == len(want)


def test_classes_the_run_does_not_know():
    with pytest.raises(UserError, match=r"no class 'dog': .*on ant, bee, cat"):
        as_trained(Labelled([0, 1], ('ant', 'dog')))
    with pytest.raises(UserError, match=r'0\.\.2, 1 of 2 are not, 3 say'):
        as_trained(Labelled([0, 3]))
    source = Labelled([0, 3], ('ant', 'dog'), truth=())
    assert as_trained(source) is source  # Nothing to measure.


@pytest.mark.parametrize(
    ('source', 'num_classes', 'message'),
    [
        (Rows(truth=('boxes',)), 0, 'lmpnet learns from class labels: sort'),
        (Rows(), 0, 'how many classes.*num_classes'),
        (Rows([1, 2, 3]), 0, r'0..n-1 with pictures of each, got \[1, 2, 3\]'),
        (Rows([0, 2, 2]), 0, r'got \[0, 2\]'),
        (Rows([-1, 0, 1]), 0, r'0..n-1.*got \[-1, 0, 1\]'),
        (Rows([0, 1, 2, 5]), 3, r'0..2, 1 of 4 are not, 5 say'),
        (Rows([0, -1, 1]), 2, r'0..1, 1 of 3 are not, -1 say'),
        (Rows([0, 0, 0]), 0, 'at least 2 classes.*got 1'),
        (Rows(names=('cat',)), 0, 'at least 2 classes.*got 1'),
        (Rows([0, 0], names=('cat',)), 0, 'at least 2 classes.*got 1'),
        (Rows([0, 1]), 1, 'at least 2 classes.*got 1'),
        (Rows([]), 0, 'no labels'),
    ],
)
def test_mistakes_say_what_to_do(source, num_classes, message):
    with pytest.raises(UserError, match=message):
        prepared(source, num_classes)


def test_a_folder_of_folders_is_counted(tmp_path):
    for name in ('cat/1.png', 'cat/2.png', 'dog/1.png', 'owl/a/1.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (5, 4)).save(tmp_path / name)
    assert prepared(Folder(tmp_path, size=4, folder_labels=True)) == 3
