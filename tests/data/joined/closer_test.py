"""Pictures looked at in a size of their own, and the way back."""

import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data.files.folder import Folder
from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.data.joined import Joined, closer, detections
from kpdiscovery.data.subset import thin


def brightest(images, valid):
    """One point a picture, at the middle of what is white."""
    where = images[..., 0] > 180
    y, x = np.mgrid[: images.shape[1], : images.shape[2]]
    middle = lambda grid: (where * grid).sum((1, 2)) / np.maximum(where.sum((1, 2)), 1)
    xy = np.stack([middle(x), middle(y)], axis=-1)[:, None]
    return detections.Detections(
        xy.astype(np.float32), np.float32(where.any((1, 2)))[:, None]
    )


@pytest.fixture
def spots(tmp_path):
    """Pictures of 80 x 48 with a white square of 4 px, whose middle is given."""
    middles = np.array([[21.5, 11.5], [60.5, 40.5], [35.5, 20.5]])
    for n, (x, y) in enumerate(middles.astype(int)):
        image = np.zeros((48, 80, 3), np.uint8)
        image[y - 1 : y + 3, x - 1 : x + 3] = 255
        Image.fromarray(image).save(tmp_path / f'{n}.png')
    return tmp_path, middles


@pytest.mark.parametrize('how', ['stretch', 'crop', 'pad'])
def test_files_are_read_again(spots, how):
    """At 17 px their spots are gone; bars of 'pad' are whole pixels in either size."""
    path, middles = spots
    source = thin(Folder(path, size=17, resize=how), 2)
    assert (detections.detect(source, brightest, num=1).score == 0).all()
    found = detections.detect(source, brightest, num=1, side=80)
    frames = [source[row]['frame'] for row in range(2)]
    want = [
        middles[row] * f[:2] + f[2:4] for row, f in zip((0, 1), frames, strict=True)
    ]
    np.testing.assert_allclose(found.xy[:, 0], want, atol=0.5 * 17 / 80)


def test_only_the_size_is_another(spots):
    source = Folder(spots[0], size=17, resize='pad')
    again = closer.refitted(Joined(source, {'more': np.zeros(3)}), (40, 40))
    assert again.files == source.files and again[1]['image'].shape == (40, 40, 3)
    assert source[1]['image'].shape == (17, 17, 3)


def test_drawn_pictures_are_enlarged():
    """Half-pixel centres: what is at pixel (2, 3) is at (4.5, 6.5) where all is doubled."""
    source = tetrominoes(split='test', size=16, length=2)
    seen = closer.look(source, 32)(np.array([1]))
    assert seen.images.shape == (1, 32, 32, 3) and seen.images.dtype == np.uint8
    back = seen.back(np.array([[[4.5, 6.5], [-0.5, 31.5]]]))
    np.testing.assert_allclose(back[0], [[2, 3], [-0.5, 15.5]], atol=1e-6)
    mean = lambda images: images.astype(float).mean()
    small = source[1]['image']
    np.testing.assert_allclose(mean(seen.images), mean(small), atol=2)
