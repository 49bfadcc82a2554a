"""The first rows of the label table stay readable beside the checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.data.feeds import Feed
from kpdiscovery.training import loop, sharding
from kpdiscovery.training.label_files import LabelFiles
from tests.training.toy import Colors, Toy, config


@pytest.mark.parametrize(('length', 'kept'), [(21, 8), (5, 5)])
def test_rows_on_many_devices_and_their_pictures(tmp_path, length, kept):
    mesh = sharding.make_mesh(8)
    source, rows = Colors(length), np.arange(48).reshape(24, 2)
    with jax.set_mesh(mesh):
        feed = Feed(source, 8, sharding.by_rows(mesh))
        halves = jnp.asarray(rows, jnp.bfloat16)
        table = jax.device_put({'xy': rows, 'features': halves}, feed.sharding)
        LabelFiles(tmp_path, feed).write(30, table)
    found = np.load(tmp_path / 'labels' / '30.npz')
    np.testing.assert_array_equal(found['xy'], rows[:kept])
    np.testing.assert_array_equal(found['features'], rows[:kept])  # As float32.
    images = np.load(tmp_path / 'labels' / 'images.npz')['image']
    want = [source[row]['image'] for row in range(kept)]
    np.testing.assert_array_equal(images, want)


def test_a_run_keeps_the_rows_of_every_sweep(tmp_path):
    loop.train(Toy(at_end=True), config(), Colors(), tmp_path)
    names = {path.name for path in (tmp_path / 'labels').iterdir()}
    assert names == {'6.npz', '8.npz', '10.npz', '12.npz', 'images.npz'}
    assert np.load(tmp_path / 'labels' / '12.npz')['bright'].shape == (8,)
