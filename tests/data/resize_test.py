import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data import resize

SHAPES = [(48, 64), (64, 48), (37, 91), (200, 7), (1, 1), (1, 50), (33, 33)]
SIZES = [(32, 32), (24, 40), (90, 100), (1, 1)]


@pytest.mark.parametrize('how', resize.HOW)
@pytest.mark.parametrize('original', SHAPES)
@pytest.mark.parametrize('size', SIZES)
def test_points_and_boxes_return_to_where_they_were(how, original, size):
    frame = resize.fit_frame(original, size, how)
    h, w = original
    xy = np.random.default_rng(0).uniform(-0.5, (w - 0.5, h - 0.5), (50, 2))
    back = resize.to_original(frame, resize.to_fitted(frame, xy))
    np.testing.assert_allclose(back, xy, atol=1e-4)
    boxes = np.concatenate([xy[:25], xy[25:]], axis=-1)
    there = resize.to_fitted(frame, boxes)
    np.testing.assert_allclose(there[:, :2], resize.to_fitted(frame, xy[:25]))
    np.testing.assert_allclose(resize.to_original(frame, there), boxes, atol=1e-4)


def test_frames_worked_out_by_hand():
    stretch = resize.fit_frame((10, 20), (20, 20), 'stretch')  # x as it is, y doubled.
    np.testing.assert_allclose(resize.to_fitted(stretch, [[0, 0], [19, 9]]),
                               [[0, 0.5], [19, 18.5]])  # fmt: skip
    crop = resize.fit_frame((10, 20), (20, 20), 'crop')  # Doubled, 5 columns cut off.
    np.testing.assert_allclose(resize.to_fitted(crop, [[5, 0]]), [[0.5, 0.5]])
    half = resize.fit_frame(
        (10, 20), (20, 20), 'crop:0.5'
    )  # Of its middle 10 x 10, 5 x 5.
    np.testing.assert_allclose(resize.to_fitted(half, [[9.5, 4.5], [7.5, 2.5]]),
                               [[9.5, 9.5], [1.5, 1.5]])  # fmt: skip
    pad = resize.fit_frame((10, 20), (20, 20), 'pad')  # 5 rows above.
    np.testing.assert_allclose(resize.to_fitted(pad, [[0, 0]]), [[0, 5]])
    np.testing.assert_array_equal(pad.original, [20, 10])


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('original', SHAPES)
def test_the_edges_of_the_picture_are_the_edges_of_the_canvas(original, size):
    edges = [-0.5, -0.5, original[1] - 0.5, original[0] - 0.5]
    canvas = np.array([-0.5, -0.5, size[1] - 0.5, size[0] - 0.5])
    fitted = {h: resize.to_fitted(resize.fit_frame(original, size, h), edges)
              for h in resize.HOW}  # fmt: skip
    outward = np.array([-1, -1, 1, 1])
    np.testing.assert_allclose(fitted['stretch'], canvas, atol=1e-4)
    assert ((fitted['crop'] - canvas) * outward >= -1e-4).all()
    assert ((fitted['pad'] - canvas) * outward <= 1e-4).all()
    np.testing.assert_allclose(fitted['pad'], np.round(fitted['pad'] + 0.5) - 0.5)


@pytest.mark.parametrize('method', ['bilinear', 'bicubic', 'nearest'])
@pytest.mark.parametrize('how', [*resize.HOW, 'crop:0.8'])
@pytest.mark.parametrize('original', [(480, 641), (63, 40), (30, 47), (1500, 2000)])
def test_warped_points_follow_warped_pixels(original, how, method):
    size, side = (96, 120), max(original) // 16 + 1
    rng = np.random.default_rng(1)
    middle, spread = np.array(original) / 2, min(original) / 5
    for _ in range(3):
        y, x = np.round(middle + rng.uniform(-spread, spread, 2)).astype(int)
        image = np.zeros((*original, 3), np.uint8)
        image[y : y + side, x : x + side] = 255
        fitted, frame = resize.fit_image(image, size, how, method=method)
        mass = fitted[..., 0].astype(float)
        rows, columns = np.mgrid[: size[0], : size[1]]
        seen = [(mass * g).sum() / mass.sum() for g in (columns, rows)]
        want = resize.to_fitted(frame, [x + (side - 1) / 2, y + (side - 1) / 2])
        np.testing.assert_allclose(
            seen, want, atol=0.55 if method == 'nearest' else 0.1
        )


def test_bars_are_black_and_known_to_be_bars():
    image = np.full((10, 40, 3), 200, np.uint8)
    fitted, frame = resize.fit_image(image, (32, 32), 'pad')
    valid = resize.pixels_valid(frame, (32, 32))
    assert valid.sum() == 8 * 32
    assert valid[12:20].all()
    assert (fitted[valid] == 200).all()
    assert (fitted[~valid] == 0).all()
    for how in ('stretch', 'crop'):
        assert resize.pixels_valid(
            resize.fit_frame((10, 40), (9, 5), how), (9, 5)
        ).all()


def test_crop_keeps_the_centre_and_stretch_keeps_everything():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 2:6] = 255
    assert (resize.fit_image(image, (4, 4), 'crop', method='nearest')[0] == 255).all()
    stretched, _ = resize.fit_image(image, (4, 4), 'stretch', method='nearest')
    np.testing.assert_array_equal(stretched[0, :, 0], [0, 255, 255, 0])


def test_shrinking_is_antialiased_and_the_same_size_is_the_same_picture():
    board = np.indices((64, 64)).sum(0) % 2 * 255
    board = np.repeat(board[..., None], 3, -1).astype(np.uint8)
    assert (
        abs(resize.fit_image(board, (8, 8), 'stretch')[0].astype(int) - 127).max() < 4
    )
    for how in resize.HOW:
        np.testing.assert_array_equal(resize.fit_image(board, (64, 64), how)[0], board)


def test_grey_arrays_and_pillow_pictures_are_pictures_too():
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    want = np.repeat(grey[..., None], 3, -1)
    for image in (grey, grey[..., None], want, Image.fromarray(grey)):
        np.testing.assert_array_equal(resize.fit_image(image, (4, 6), 'crop')[0], want)


@pytest.mark.parametrize('how', resize.HOW)
def test_labels_go_where_nearest_pixels_go(how):
    labels = np.random.default_rng(0).integers(0, 255, (23, 37)).astype(np.uint8)
    size = (14, 31)
    fitted, frame = resize.fit_image(labels, size, how, method='nearest')
    got = resize.fit_labels(labels.astype(np.int32), size, how, fill=-1)
    valid = resize.pixels_valid(frame, size)
    np.testing.assert_array_equal(got[valid], fitted[..., 0][valid])
    assert (got[~valid] == -1).all()
    assert got.dtype == np.int32
    assert resize.fit_labels(labels > 9, size, how).dtype == bool


def test_points_outside_picture_or_canvas_are_not_inside():
    frame = resize.fit_frame((10, 20), (20, 20), 'crop')
    xy = [[4.4, 5], [4.6, 5], [14.4, 9.4], [14.6, 5], [10, 9.6], [10, -0.4]]
    want = [False, True, True, False, False, True]
    np.testing.assert_array_equal(resize.inside(frame, xy, (20, 20)), want)


def test_a_frame_travels_as_a_vector_and_maps_batches():
    frames = [resize.fit_frame(s, (16, 16), 'pad') for s in SHAPES]
    vectors = np.stack([frame.vector for frame in frames])
    assert vectors.dtype == np.float32
    xy = np.random.default_rng(0).uniform(0, 15, (len(SHAPES), 3, 2))
    got = resize.to_original(resize.Frame.from_vector(vectors[:, None]), xy)
    want = [resize.to_original(f, p) for f, p in zip(frames, xy, strict=True)]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="stretch, crop, pad, got 'fit'"):
        resize.fit_frame((2, 2), (2, 2), 'fit')
    for wrong in ('crop:', 'crop:0', 'crop:1.5', 'crop:half', 'pad:0.5'):
        with pytest.raises(ValueError, match=f'got {wrong!r}'):
            resize.fit_frame((2, 2), (2, 2), wrong)
    with pytest.raises(ValueError, match="got 'cubic'"):
        resize.fit_image(np.zeros((2, 2), np.uint8), (2, 2), 'pad', method='cubic')
    with pytest.raises(ValueError, match=r'got float64 \(2, 2, 3\)'):
        resize.fit_image(np.zeros((2, 2, 3)), (2, 2), 'pad')
    with pytest.raises(ValueError, match='got 0'):
        resize.as_size(0)
    assert resize.as_size(8) == resize.as_size([8, 8]) == (8, 8)
