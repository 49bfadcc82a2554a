import jax.numpy as jnp
import numpy as np

from kpdiscovery.ops.keypoints import labelled


def test_keypoint_k_has_label_k():
    xy = jnp.arange(12.0).reshape(2, 3, 2)
    got = labelled(xy)
    np.testing.assert_array_equal(got.label, [[0, 1, 2], [0, 1, 2]])
    assert got.label.dtype == jnp.int32
    np.testing.assert_array_equal(got.score, 1)
    assert got.valid.all() and got.valid.dtype == bool
    score, valid = jnp.full((2, 3), 0.5), jnp.zeros((2, 3), bool)
    given = labelled(xy, score, valid)
    assert given.score is score and given.valid is valid and given.xy is xy
