"""Pictures cut to their boxes: against slices of the picture itself."""

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import config_checks
from kpdiscovery.data import box_crops, resize
from kpdiscovery.data.files import folder
from kpdiscovery.types import UserError

BOXES = {  # Edges (x0, y0, x1, y1) -> part that is kept with a quarter around.
    (20, 10, 28, 26): (12, 6, 36, 30),  # Higher than wide: 16 + 8 a side.
    (0, 0, 8, 8): (-2, -2, 10, 10),  # Reaches over the corner.
    (50, 30, 64, 40): (46, 24, 67, 45),  # 14 + 7; the centre at 57, 35 less a half.
}


@pytest.fixture
def pictures(tmp_path):
    """40 x 64, columns red and rows green, as many as boxes and one without any."""
    y, x = np.mgrid[:40, :64].astype(np.uint8)
    image = Image.fromarray(np.stack([3 * x + 9, 5 * y + 9, 0 * x + 200], -1))
    (tmp_path / 'masks').mkdir()
    names = [f'{i}.png' for i in range(len(BOXES) + 1)]
    mask = np.zeros((40, 64), np.uint8)
    mask[12:20, 22:26] = 255
    for name in names:
        image.save(tmp_path / name)
        Image.fromarray(mask).save(tmp_path / 'masks' / name)
    boxes = np.full((len(names), 1, 4), -1.0)
    boxes[:-1, 0] = list(BOXES)
    points = np.tile(np.float32([[[23, 15], [30, 25]]]), (len(names), 1, 1))
    np.savez(tmp_path / 'annotations.npz', files=names, boxes=boxes, keypoints=points)
    return tmp_path


@pytest.mark.parametrize('row', range(len(BOXES)))
def test_a_row_is_a_slice_of_its_picture(pictures, row):
    x0, y0, x1, y1 = list(BOXES.values())[row]
    whole = np.asarray(Image.open(pictures / f'{row}.png'))
    bars = np.pad(whole, ((2, 5), (2, 3), (0, 0)))  # Indices from -2.
    source = folder.Folder(pictures, size=y1 - y0, resize='box:0.25')
    got = source[row]
    np.testing.assert_array_equal(got['image'], bars[y0 + 2 : y1 + 2, x0 + 2 : x1 + 2])
    np.testing.assert_array_equal(got['pixels_valid'], got['image'][..., 2] == 200)
    np.testing.assert_allclose(
        got['keypoints'], [[23 - x0, 15 - y0], [30 - x0, 25 - y0]]
    )
    frame = resize.Frame.from_vector(got['frame'])
    back = resize.to_original(frame, got['keypoints'])
    np.testing.assert_allclose(back, [[23, 15], [30, 25]], atol=1e-5)


@pytest.mark.parametrize('size', [12, 96, (48, 96)])
def test_points_stay_on_their_colours_in_every_size(pictures, size):
    one = folder.Folder(pictures, size=size, resize='box:0.25')[0]
    x, y = one['keypoints'][0].round().astype(int)
    red, green, _ = one['image'][y, x].astype(float)
    scale = resize.Frame.from_vector(one['frame']).scale
    assert abs((red - 9) / 3 - 23) < 1 / scale[0] + 0.3
    assert abs((green - 9) / 5 - 15) < 1 / scale[1] + 0.3
    ys, xs = np.nonzero(one['mask'])
    middle = resize.to_original(
        resize.Frame.from_vector(one['frame']), [xs.mean(), ys.mean()]
    )
    np.testing.assert_allclose(middle, [23.5, 15.5], atol=0.6)


def test_the_shape_of_the_canvas_is_kept(pictures):
    one = folder.Folder(pictures, size=(24, 48), resize='box')[0]
    scale = resize.Frame.from_vector(one['frame']).scale
    np.testing.assert_allclose(scale, [1.5, 1.5])  # 16 rows, hence 32 columns.


def test_a_picture_without_a_box_is_padded(pictures):
    last = len(BOXES)
    cut = folder.Folder(pictures, size=32, resize='box')[last]
    padded = folder.Folder(pictures, size=32, resize='pad')[last]
    for name in padded:
        np.testing.assert_array_equal(cut[name], padded[name], err_msg=name)


def test_a_box_without_area_is_none():
    boxes, there = (
        np.array([[4.5, 4.5, 4.5, 9.5], [1.5, 1.5, 5.5, 5.5]]),
        np.ones(2, bool),
    )
    assert box_crops.region(boxes[:1], there[:1], (8, 8), 0.1) is None
    assert box_crops.region(boxes, there, (8, 8), 0) == (2, 2, 6, 6)


def test_a_box_far_beyond_its_picture_is_not_made_in_full():
    """4,000 times the picture's sides, which the memory could not hold; seen small."""
    image = Image.new('RGB', (80, 60), (255, 0, 0))
    make = lambda edges: box_crops.fit_region(
        image, edges, (32, 32), method='bilinear', original=(60, 80)
    )
    assert make((0, 0, 320_000, 320_000))[0].shape == (32, 32, 3)
    small, frame = make((-80, -160, 320, 240))
    x, y = resize.to_fitted(frame, [40.0, 30.0])
    assert small[round(y), round(x)].tolist() == [255, 0, 0]
    near = np.asarray(box_crops.fit_region(
        image, (-80, -100, 200, 180), (32, 32), method='bilinear', original=(60, 80)
    )[0])  # fmt: skip
    assert 0.9 < (near[..., 0] > 127).sum() / (32 * 32 * 80 * 60 / 280**2) < 1.1


def test_no_boxes_at_all_is_a_user_error(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.png')
    with pytest.raises(UserError, match='boxes'):
        folder.Folder(tmp_path, size=8, resize='box:0.1')


@pytest.mark.parametrize(
    ('how', 'margin'),
    [('box', 0), ('box:0.1', 0.1), ('box:0', 0), ('box:-1', None), ('box:', None),
     ('box:x', None), ('boxes', None), ('pad', None), ('crop:0.5', None)],
)  # fmt: skip
def test_margins_by_name(how, margin):
    assert box_crops.margin_of(how) == margin
    assert box_crops.is_box(how) is (margin is not None)


def test_configs_take_it():
    config_checks.check({'data': {'resize': 'box:0.1'}})
    with pytest.raises(UserError, match="'box:0.1'"):
        config_checks.check({'data': {'resize': 'box:-1'}})
