"""Training splits thinned evenly."""

import pickle

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from PIL import Image

from kpdiscovery import data
from kpdiscovery.data import class_labels, feeds, subset
from kpdiscovery.data.generated import Generated
from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.data.joined import Joined, temporal
from kpdiscovery.types import Source, UserError


class Rows:
    truth = ('label',)
    labels = np.arange(10) % 3
    class_names = ('a', 'b', 'c')

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return {
            'image': np.full((2, 3, 3), index, np.uint8),
            'label': self.labels[index],
        }


def test_fewer_drawn_rows_are_among_the_more():
    few, more = (subset.drawn(100, num, 3).tolist() for num in (10, 50))
    assert few == sorted(set(few)) and len(few) == 10 and set(few) < set(more)
    assert subset.drawn(100, 10, 4).tolist() != few
    assert subset.drawn(5, None).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    'num, want', [(1, [0]), (2, [0, 5]), (3, [0, 3, 6]), (4, [0, 2, 5, 7]), (9, None)]
)
def test_rows_are_spread_evenly(num, want):
    source = subset.thin(Rows(), num)
    want = [i * 10 // num for i in range(num)] if want is None else want
    assert isinstance(source, Source) and len(source) == num
    assert [source[i]['image'][0, 0, 0] for i in range(num)] == want
    assert len(set(want)) == num
    with pytest.raises(IndexError):
        source[num]


@pytest.mark.parametrize('num', [0, 10, 11])
def test_all_rows_are_the_source_itself(num):
    source = Rows()
    assert subset.thin(source, num) is source


def test_what_is_known_of_the_rows_is_thinned_and_the_rest_handed_on():
    source = subset.thin(Rows(), 4)
    assert source.truth == ('label',) and source.class_names == ('a', 'b', 'c')
    np.testing.assert_array_equal(source.labels, Rows.labels[[0, 2, 5, 7]])
    assert not hasattr(source, 'files') and not hasattr(source, 'anything')
    assert len(pickle.loads(pickle.dumps(source))) == 4


def test_drawn_rows_stay_drawn():
    whole = tetrominoes(split='train', length=20)
    source = subset.thin(whole, 8)
    assert isinstance(source, Generated) and (len(source), len(whole)) == (8, 20)
    mesh = jax.make_mesh((8,), ('data',), (AxisType.Auto,), devices=jax.devices()[:8])
    feed = feeds.Feed(source, 8, NamedSharding(mesh, PartitionSpec('data')))
    batch = next(feed.stream(feeds.shuffled(8, 8, seed=0), 1, 2))
    want = whole.batch(np.asarray(batch['index']))
    jax.tree.map(np.testing.assert_array_equal, dict(batch), dict(want))


def write(root, names):
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        Image.new('RGB', (8, 8), (int(name[-5]) * 20, 0, 0)).save(root / name)


def section(path, **changes):
    options = {'folder_labels': True}
    return {'source': 'folder', 'path': str(path), 'size': 8, 'resize': 'stretch',
            'options': options, **changes}  # fmt: skip


def test_a_folder_in_a_config(tmp_path):
    write(tmp_path, [f'{name}/{i}.png' for name in 'ab' for i in range(5)])
    whole = data.build(section(tmp_path), split='train')
    source = data.build(section(tmp_path, rows=3), split='train')
    rows = [i * len(whole) // 3 for i in range(3)]
    assert source.files == tuple(whole.files[row] for row in rows)
    assert source.paths == tuple(whole.paths[row] for row in rows)
    np.testing.assert_array_equal(source.labels, whole.labels[rows])
    assert source.videos is None and source.class_names == ('a', 'b')
    assert source.size == (8, 8) and source.keypoint_names == ()
    for row, number in zip(rows, range(3), strict=True):
        np.testing.assert_array_equal(source[number]['image'], whole[row]['image'])
    thinned = data.build(section(tmp_path, rows=3), split='test')
    assert len(thinned) == len(data.build(section(tmp_path), split='test'))
    class_labels.check(source.labels, 2)
    joined = Joined(source, {'detected': np.zeros((3, 1, 2))})
    assert joined.files == source.files and not hasattr(joined, 'anything')


def test_frames_of_a_thinned_folder(tmp_path):
    pytest.importorskip('cv2', reason='OpenCV is not installed')
    write(tmp_path, [f'{i}.png' for i in range(8)])
    source = data.build(section(tmp_path, rows=3, options={}), split='train')
    pairs = temporal.prepare(source, {'source': 'folder', 'temporal_gap': 1})
    np.testing.assert_array_equal(pairs.later, [1, 2, 2])


def test_a_negative_number(tmp_path):
    with pytest.raises(UserError, match='data.rows must be a number of rows.*got -1'):
        subset.thin(Rows(), -1)
