import numpy as np

from kpdiscovery.reporting.patches import patch


def test_a_patch_is_centred_and_grey_beyond_the_border():
    image = np.arange(25, dtype=np.uint8).reshape(5, 5, 1).repeat(3, axis=-1)
    inside = patch(image, np.array([2.2, 1.9]), 3)
    assert inside[..., 0].tolist() == [[6, 7, 8], [11, 12, 13], [16, 17, 18]]
    corner = patch(image, np.array([-3.0, 0.0]), 3)
    assert corner[..., 0].tolist() == [[128, 128, 128], [128, 0, 1], [128, 5, 6]]
