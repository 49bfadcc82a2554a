import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data.files import pictures
from kpdiscovery.types import UserError

HALF = np.zeros((4, 6), np.uint8)
HALF[:, 3:] = 1


def save(root, name, size=(5, 4)):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size).save(path)
    return path


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
    got = pictures.read_mask(tmp_path / 'a.png')
    assert got.dtype == bool
    np.testing.assert_array_equal(got, HALF == 1)


def test_half_of_full_scale_is_not_yet_the_object():
    values = np.array([[0, 127, 128, 255]], np.uint8)
    np.testing.assert_array_equal(
        pictures.foreground(values), [[False, False, True, True]]
    )
    assert not pictures.foreground(np.zeros((2, 2), np.uint8)).any()
    assert not pictures.foreground(np.full((2, 2), 102, np.uint8)).any()  # 2 in 5.


def test_a_mask_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no picture')
    with pytest.raises(UserError, match=r'a\.png: cannot be read as a mask'):
        pictures.read_mask(tmp_path / 'a.png')


def test_masks_are_no_pictures(tmp_path):
    for name in ('1.jpg', 'bird/2.png', 'masks/1.png', 'masks/bird/2.png'):
        save(tmp_path, name)
    save(tmp_path, 'masks/lost.png')
    assert pictures.list_images(tmp_path)[1] == ['1.jpg', 'bird/2.png']
    assert pictures.list_images(tmp_path / 'masks')[1] == [
        '1.png', 'bird/2.png', 'lost.png',
    ]  # fmt: skip


def test_a_class_may_be_called_masks(tmp_path):
    for name in ('faces/1.png', 'masks/1.png', 'masks/2.png'):
        save(tmp_path, name)
    assert len(pictures.list_images(tmp_path)[1]) == 3
