"""What moves before a fixed camera, against where it was drawn."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data import resize
from kpdiscovery.data.annotations import npz
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


def test_too_few_frames_tell_no_ground(tmp_path, caplog):
    with pytest.raises(UserError, match=r'no camera has 5 pictures .*resize=pad'):
        folder.Folder(film(tmp_path / 'b', places=PLACES[:3]), size=16, resize='moving')
    film(tmp_path / 'a')
    source = folder.Folder(tmp_path, size=16, resize='moving')
    assert '3 of 12 pictures are kept whole: fewer than 5' in caplog.text
    sides = [(high - low).max() for low, high in edges(source)]
    assert max(sides[:9]) < 20 and min(sides[9:]) == 80


def test_pictures_of_another_size_and_broken_ones_do_no_harm(tmp_path, caplog):
    root = film(tmp_path)
    Image.new('RGB', (30, 90)).save(root / '6.png')
    (root / '7.png').write_bytes(b'nothing')
    source = folder.Folder(root, size=16, resize='moving')
    assert len(source) == 8 and '1 of 9 pictures are kept whole' in caplog.text
    assert 'nothing moves' not in caplog.text
    x, y = PLACES[0]
    np.testing.assert_allclose(sum(edges(source)[0]) / 2, (x + 6, y + 4), atol=1.5)


def test_what_is_not_annotated_tells_the_ground_too(tmp_path):
    root = film(tmp_path)
    np.savez(root / 'annotations.npz', files=['2.png', '4.png'])
    source = folder.Folder(root, size=16, resize='moving')
    assert source.files == ('2.png', '4.png')
    for (low, high), (x, y) in zip(edges(source), (PLACES[2], PLACES[4]), strict=True):
        np.testing.assert_allclose((low + high) / 2, (x + 6, y + 4), atol=1.5)


def clocked(root, radius):
    """Twenty frames of a spot that wanders below a clock whose digits change."""
    root.mkdir(exist_ok=True)
    y, x = np.mgrid[:240, :320]
    for number in range(20):
        picture = np.full((240, 320), 110.0) + RNG.normal(0, 2, (240, 320))
        digits = RNG.integers(0, 2, (3, 12)).repeat(8, 0).repeat(8, 1) * 140 + 110
        picture[5:29, 5:101] = digits
        middle = 30 + 13 * number, 90 + 6 * number
        if radius:
            near = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 <= radius**2
            picture[near] = 10
        image = np.clip(picture, 0, 255).astype(np.uint8)[..., None].repeat(3, -1)
        Image.fromarray(image).save(root / f'{number:02}.png')
    return root


def test_a_clock_is_no_animal(tmp_path, caplog):
    source = folder.Folder(clocked(tmp_path / 'a', 8), size=16, resize='moving')
    for number, (low, high) in enumerate(edges(source)):
        middle = 30.5 + 13 * number, 90.5 + 6 * number
        np.testing.assert_allclose((low + high) / 2, middle, atol=2)
    assert 'clock' not in caplog.text
    folder.Folder(clocked(tmp_path / 'b', 0), size=16, resize='moving')
    assert 'what moves is always in one place' in caplog.text


def test_each_video_and_each_side_of_a_mirror_is_a_camera():
    notes = npz.Annotations(('a/1.png', 'a/2.png', 'b/1.png'), {})
    assert moving.cameras(notes) == ['a', 'a', 'b']
    films = dataclasses.replace(
        notes, videos=np.array([3, 4, 4]), mirrored=np.array([True, False, True])
    )
    assert moving.cameras(films) == ['video 3 mirrored', 'video 4', 'video 4 mirrored']


def test_the_largest_of_two_components_counts():
    difference = np.zeros((40, 40))
    difference[5:10, 5:9], difference[20:30, 15:35] = 90, 50
    np.testing.assert_array_equal(moving.largest(difference, 20), [15, 20, 35, 30])
    assert moving.largest(difference, 100) is None


def test_what_enters_at_the_border_is_whole():
    difference = np.zeros((240, 320))
    difference[50:80, :20] = 90
    np.testing.assert_array_equal(moving.largest(difference, 20), [0, 50, 20, 80])
