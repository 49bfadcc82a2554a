import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from kpdiscovery.data import feeds
from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.data.joined import Joined

FIELDS = {'detected': np.arange(40, dtype=np.float32).reshape(10, 2, 2)}


class Rows:
    truth = ('label',)

    def __len__(self):
        return 10

    def __getitem__(self, index):
        image = np.full((2, 3, 3), index, np.uint8)
        return {'image': image, 'label': np.int32(index)}


def over(devices):
    mesh = jax.make_mesh(
        (devices,), ('data',), (AxisType.Auto,), devices=jax.devices()[:devices]
    )
    return NamedSharding(mesh, PartitionSpec('data'))


@pytest.mark.parametrize('make', [Rows, lambda: tetrominoes(split='test', length=10)])
@pytest.mark.parametrize('devices', [1, 4])
def test_rows_arrive_with_their_fields(make, devices):
    source = make()
    order = feeds.shuffled(10, 4, seed=3)
    plain = feeds.Feed(source, 4, over(devices)).stream(order, 1, 4)
    joined = feeds.Feed(Joined(source, FIELDS), 4, over(devices)).stream(order, 1, 4)
    for alone, batch in zip(plain, joined, strict=True):
        batch = dict(batch)
        found = batch.pop('detected')
        np.testing.assert_array_equal(found, FIELDS['detected'][batch['index']])
        assert len(found.sharding.device_set) == devices
        assert found.addressable_shards[0].data.shape[0] == 4 // devices
        jax.tree.map(np.testing.assert_array_equal, batch, dict(alone))


def test_padding_repeats_rows():
    source = Joined(tetrominoes(split='test', length=10), FIELDS)
    batch = next(feeds.Feed(source, 4, over(2)).stream(feeds.sequential(4), 2, 3))
    np.testing.assert_array_equal(batch['index'], [8, 9, 10, 11])
    np.testing.assert_array_equal(batch['detected'], FIELDS['detected'][[8, 9, 0, 1]])


def test_a_row_has_both_and_truth_stays():
    source = Joined(Rows(), FIELDS)
    assert source.truth == ('label',) and len(source) == 10
    np.testing.assert_array_equal(source[3]['detected'], FIELDS['detected'][3])
    assert source[3]['label'] == 3


def test_mistakes():
    with pytest.raises(ValueError, match='detected must have 10 rows, got 4'):
        Joined(Rows(), {'detected': np.zeros((4, 2))})
    with pytest.raises(ValueError, match=r"already has \['label'\]"):
        Joined(Rows(), {'label': np.zeros(10)})
