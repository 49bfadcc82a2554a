import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data.files import masks
from kpdiscovery.types import UserError

HALF = np.zeros((4, 6), np.uint8)
HALF[:, 3:] = 1


def kinds():
    palette = Image.fromarray(HALF).convert('P')
    palette.putpalette([0, 0, 0, 255, 255, 255])
    white = Image.new('L', (6, 4), 255)
    yield 'grey 0, 255', Image.fromarray(HALF * 255)
    yield 'grey 0, 1', Image.fromarray(HALF)
    yield 'a vote of 3 in 5', Image.fromarray(HALF * 153)
    yield '1 bit', Image.fromarray(HALF * 255).convert('1')
    yield '16 bit', Image.fromarray(HALF.astype(np.uint16) * 65535)
    yield 'palette', palette
    yield 'RGB', Image.fromarray(HALF * 255).convert('RGB')
    yield 'with alpha', Image.merge('LA', (Image.fromarray(HALF * 255), white))


@pytest.mark.parametrize('case', list(kinds()), ids=lambda case: case[0])
def test_the_light_half_is_the_object(tmp_path, case):
    case[1].save(tmp_path / 'a.png')
    got = masks.read_mask(tmp_path / 'a.png')
    assert got.object.dtype == bool and not got.ignored.any() and not got.numbers
    np.testing.assert_array_equal(got.object, HALF == 1)


def test_half_of_full_scale_is_not_yet_the_object():
    values = np.array([[0, 127, 128, 255]], np.uint8)
    np.testing.assert_array_equal(
        masks.foreground(values), [[False, False, True, True]]
    )
    assert not masks.foreground(np.zeros((2, 2), np.uint8)).any()
    assert not masks.foreground(np.full((2, 2), 102, np.uint8)).any()  # 2 in 5.


def test_a_mask_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no picture')
    with pytest.raises(UserError, match=r'a\.png: cannot be read as a mask'):
        masks.read_mask(tmp_path / 'a.png')


# Numbers of classes.

VOC = np.array([[0, 0, 15, 15], [0, 255, 255, 7]], np.uint8)


def numbered(kind):
    if kind == 'grey':
        return Image.fromarray(VOC)
    if kind == '16 bit':
        return Image.fromarray(VOC.astype(np.uint16) * 257)
    image = Image.fromarray(VOC, 'L').convert('P')
    colors = np.random.default_rng(0).integers(0, 255, (256, 3), np.uint8)
    colors[0], colors[255] = 0, (224, 224, 192)  # VOC's ground and its outlines.
    image.putdata(VOC.ravel())
    image.putpalette(colors.ravel().tolist())
    return image


@pytest.mark.parametrize('kind', ['grey', '16 bit', 'palette'])
def test_class_numbers_are_told_from_light_on_dark(tmp_path, kind):
    numbered(kind).save(tmp_path / 'a.png')
    got = masks.read_mask(tmp_path / 'a.png')
    np.testing.assert_array_equal(got.object, (VOC > 0) & (VOC < 255))
    np.testing.assert_array_equal(got.ignored, VOC == 255)
    assert got.numbers


@pytest.mark.parametrize(
    ('values', 'objects', 'ignored', 'dark'),
    [
        ([0, 1, 255], [0, 1, 0], [0, 0, 1], False),  # One class and its outline.
        ([0, 51, 102, 153], [0, 0, 0, 1], [0] * 4, False),  # Votes of 5.
        ([0, 3, 250, 255], [0, 0, 1, 1], [0] * 4, False),  # JPEG's noise.
        ([0, 255, 255], [0, 1, 1], [0] * 3, False),
        ([255, 255], [1, 1], [0, 0], False),
        ([0, 80, 90], [0, 0, 0], [0] * 3, True),
        ([0, 0], [0, 0], [0, 0], False),
    ],
)
def test_readings_of_greys(tmp_path, values, objects, ignored, dark):
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / 'a.png')
    got = masks.read_mask(tmp_path / 'a.png')
    assert got.object[0].tolist() == list(map(bool, objects))
    assert got.ignored[0].tolist() == list(map(bool, ignored))
    assert got.dark == dark
