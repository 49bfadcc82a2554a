import io

import numpy as np
import pytest
from PIL import Image

from kpdiscovery.reporting import drawing
from kpdiscovery.types import Keypoints


def keypoints(*xy, label=0, valid=True):
    k = len(xy)
    return Keypoints(
        np.array(xy, np.float32),
        np.ones(k, np.float32),
        np.full(k, label, np.int32),
        np.full(k, valid),
    )


def test_labels_up_to_128_have_distinct_colours():
    lab = drawing._oklab(drawing.palette()[:128] / 255)
    gap = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + np.eye(128)
    assert gap.min() > 0.05  # About twice what people just notice.


def test_a_colour_depends_on_nothing_but_the_label():
    assert drawing.colors([0, 5, -1]).tolist() == [
        [235, 59, 59],
        drawing.palette()[5].tolist(),
        [150, 150, 150],
    ]
    assert drawing.css(0) == '#eb3b3b'


def test_oklab_of_white_and_red():
    got = drawing._oklab(np.array([[1.0, 1, 1], [1, 0, 0]]))
    want = [[1, 0, 0], [0.62796, 0.22486, 0.12585]]  # Ottosson's table.
    np.testing.assert_allclose(got, want, atol=2e-3)


def test_a_ring_is_centred_on_its_keypoint():
    image = np.zeros((35, 35, 3), np.uint8)
    drawn = drawing.draw_keypoints(image, keypoints((7.25, 20.0)), scale=8)
    assert drawn.shape == (280, 280, 3)
    y, x = np.nonzero(drawn.any(-1))
    np.testing.assert_allclose([x.mean(), y.mean()], [61.5, 163.5], atol=0.5)
    assert not image.any()


def test_invalid_and_unbounded_keypoints_are_not_drawn():
    image = np.zeros((16, 16, 3), np.uint8)
    for points in (keypoints((8, 8), valid=False), keypoints((np.nan, 8))):
        assert not drawing.draw_keypoints(image, points, numbers=['x']).any()


def test_numbers_stay_inside_the_picture():
    image = np.zeros((300, 300, 3), np.uint8)
    drawn = drawing.draw_keypoints(image, keypoints((290, 150)), numbers=[113])
    white = (drawn == 255).all(-1)
    assert white.any() and np.nonzero(white)[1].max() < 285


def test_instances_leave_what_nobody_owns():
    image = np.full((4, 4, 3), 100, np.uint8)
    instances = np.full((4, 4), -1)
    instances[:, 2:] = 0
    drawn = drawing.draw_instances(image, instances, np.array([3]), opacity=0.5)
    assert (drawn[:, :2] == 100).all()
    want = np.round(50 + drawing.palette()[3] / 2)
    np.testing.assert_allclose(drawn[1, 3], want, atol=1)


def test_certainty_by_hand():
    alphas = np.array([[[1.0, 0.5, 0.75]], [[0.0, 0.5, 0.25]]])
    np.testing.assert_allclose(drawing.certainty(alphas), [[1, 0, 0.5]])
    np.testing.assert_allclose(drawing.certainty(np.ones((1, 1, 1))), 0)


@pytest.mark.parametrize(
    ('size', 'factor'), [((35, 35), 8), ((256, 20), 1), ((500, 9), 1)]
)
def test_zoom(size, factor):
    assert drawing.zoom(size, 256) == factor


def test_contact_sheet_places_pictures_in_rows():
    images = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = drawing.contact_sheet(images, columns=2, gap=1, background=0)
    assert sheet.shape == (5, 7, 3)
    assert [sheet[0, 0, 0], sheet[0, 4, 0], sheet[3, 0, 0]] == [10, 20, 30]


def test_png_round_trip():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    read = np.asarray(Image.open(io.BytesIO(drawing.png(image))))
    np.testing.assert_array_equal(read, image)
    assert drawing.data_uri(b'ab') == 'data:image/png;base64,YWI='


def test_pictures_in_unit_range_become_uint8():
    got = drawing.as_uint8(np.array([[-1, 0.5, 2, np.nan]]))
    assert got.tolist() == [[0, 128, 255, 0]]


def test_a_cross_is_centred_on_its_point():
    image = np.zeros((80, 80, 3), np.uint8)
    drawn = drawing.draw_crosses(image, np.array([(5.0, 3.0), (np.nan, 1)]), scale=8)
    y, x = np.nonzero(drawn.all(-1))
    np.testing.assert_allclose([x.mean(), y.mean()], [44, 28], atol=1)
    assert not image.any()


def test_rings_of_a_given_size():
    draw = lambda **options: drawing.draw_keypoints(
        np.zeros((96, 96, 3), np.uint8), keypoints((48, 48)), **options
    )
    wide = [np.ptp(np.nonzero(draw(radius=r).any(-1))[1]) for r in (5, 10)]
    assert 8 <= wide[1] - wide[0] <= 12
