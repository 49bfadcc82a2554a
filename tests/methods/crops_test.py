"""What of a picture a classifier sees, by pictures whose pixels hold their place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods.crops import Crops

H, W = 12, 20


def places(count=1):
    """`[count, H, W, 3]`, channels x, y and 0."""
    y, x = np.mgrid[:H, :W]
    picture = np.stack([x, y, 0 * x], axis=-1).astype(np.float32)
    return jnp.asarray(np.repeat(picture[None], count, axis=0))


def test_the_middle():
    crops = Crops(share=0.5)
    assert crops.size(H, W) == (6, 10) and crops.corner(H, W) == (5, 3)
    seen, corner = crops.middle(places())
    assert seen.shape == (1, 6, 10, 3) and corner == (5, 3)
    np.testing.assert_array_equal(seen[0, 0, 0], [5, 3, 0])
    np.testing.assert_array_equal(seen[0, -1, -1], [14, 8, 0])


def test_all_of_it_shrunk():
    seen = Crops(share=0.5).whole(places())
    assert seen.shape == (1, 6, 10, 3)
    np.testing.assert_allclose(seen[0, 2, 3], [6.5, 4.5, 0], atol=0.2)


@pytest.mark.parametrize('flip', [True, False])
def test_random_parts(flip):
    crops, rows = Crops(share=0.5, flip=flip), jnp.arange(200)
    seen = np.asarray(crops.draw(jax.random.key(0), places(200), rows))
    step = seen[:, 0, 1, 0] - seen[:, 0, 0, 0]
    assert set(step) == ({1, -1} if flip else {1})
    if flip:
        assert 60 < (step < 0).sum() < 140
    # Every corner that a part may have, and no other.
    assert set(seen[..., 0].min(axis=(1, 2))) == set(range(W - 10 + 1))
    assert set(seen[..., 1].min(axis=(1, 2))) == set(range(H - 6 + 1))
    assert (np.diff(seen[..., 1], axis=1) == 1).all()


def test_a_row_has_its_own_part_whatever_the_batch():
    draw = lambda rows: Crops(share=0.5).draw(
        jax.random.key(0), places(len(rows)), jnp.array(rows)
    )
    np.testing.assert_array_equal(draw([4, 9])[1], draw([9, 1, 2])[0])
