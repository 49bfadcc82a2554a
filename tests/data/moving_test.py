"""What moves before a fixed camera, against where it was drawn."""

import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data import resize
from kpdiscovery.data.files import folder, moving
from kpdiscovery.types import UserError

RNG = np.random.default_rng(0)
GROUND = np.clip(RNG.normal(120, 30, (60, 80, 1)).repeat(3, -1), 0, 200)
PLACES = [(5 + 7 * i, 4 + 5 * i) for i in range(9)]  # Corner (x, y) of 12 x 8 pixels.


def film(root, *, scale=1, places=PLACES, light=0.0):
    """Frames of a bright patch, and of a smaller one, on a ground of noise."""
    root.mkdir(parents=True, exist_ok=True)
    for number, place in enumerate(places):
        picture = GROUND + RNG.normal(light, 2, GROUND.shape)
        picture[50:53, 70 - 5 * number : 73 - 5 * number] = 250  # Moves too.
        if place:
            x, y = place
            picture[y : y + 8, x : x + 12] = 255
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        size = (80 * scale, 60 * scale)
        image.resize(size, Image.Resampling.NEAREST).save(root / f'{number}.png')
    return root


def edges(source):
    """Corners of what the rows show, in original pixel edges."""
    frames = resize.Frame.from_vector(np.stack([row['frame'] for row in source]))
    side = source.size[0]
    return [resize.to_original(resize.Frame(*(leaf[i] for leaf in frames)),
                               np.float64([[-0.5, -0.5], [side - 0.5, side - 0.5]])) + 0.5
            for i in range(len(frames.scale))]  # fmt: skip


@pytest.mark.parametrize('scale', [1, 8])
def test_crops_hold_the_thing_that_moves(tmp_path, scale):
    source = folder.Folder(film(tmp_path, scale=scale), size=16, resize='moving')
    for (low, high), (x, y) in zip(edges(source), PLACES, strict=True):
        middle = scale * np.array([x + 6, y + 4])
        np.testing.assert_allclose((low + high) / 2, middle, atol=1.5 * scale)
        assert high - low == pytest.approx(12 * scale, abs=6 * scale)  # Blur adds some.


def test_a_margin_is_kept_around_it(tmp_path):
    plain, wide = (folder.Folder(film(tmp_path), size=16, resize=how)
                   for how in ('moving', 'moving:0.5'))  # fmt: skip
    for (low, high), (lower, higher) in zip(edges(plain), edges(wide), strict=True):
        np.testing.assert_allclose(higher - lower, 2 * (high - low), atol=2)


def test_the_ground_is_of_all_splits_and_of_each_camera_by_itself(tmp_path):
    film(tmp_path / 'a'), film(tmp_path / 'b', light=60.0)
    names = [f'{of}/{i}.png' for of in 'ab' for i in range(9)]
    split = ['test' if name.endswith('/4.png') else 'train' for name in names]
    np.savez(tmp_path / 'annotations.npz', files=names, split=split)
    source = folder.Folder(tmp_path, size=16, resize='moving', split='test')
    x, y = PLACES[4]
    for low, high in edges(source):
        np.testing.assert_allclose((low + high) / 2, (x + 6, y + 4), atol=1.5)


def test_a_still_picture_is_padded_whole(tmp_path, caplog):
    root = film(tmp_path, places=[*PLACES[:-1], None])
    still = np.median(
        [np.asarray(folder.read_image(root / f'{i}.png')) for i in range(9)], 0
    )
    Image.fromarray(still.astype(np.uint8)).save(root / '8.png')
    source = folder.Folder(root, size=16, resize='moving')
    assert 'nothing moves in 1 of 9 pictures' in caplog.text
    low, high = edges(source)[8]
    assert (high - low == 80).all()
    assert not source[8]['pixels_valid'].all()


def test_too_few_frames_tell_no_ground(tmp_path):
    with pytest.raises(UserError, match=r'the folder has 3 pictures .* at least 5'):
        folder.Folder(film(tmp_path, places=PLACES[:3]), size=16, resize='moving')


def test_the_largest_of_two_components_counts():
    difference = np.zeros((40, 40))
    difference[5:10, 5:9], difference[20:30, 15:35] = 90, 50
    np.testing.assert_array_equal(moving.largest(difference, 20), [15, 20, 35, 30])
    assert moving.largest(difference, 100) is None
