import numpy as np
import pytest

from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.data.joined import classical, detections
from kpdiscovery.types import UserError

SIZE = (32, 48)


def blobs(*centers, sigma=4.0, size=96):
    y, x = np.mgrid[:size, :size]
    fall = lambda c: np.exp(-((x - c[0]) ** 2 + (y - c[1]) ** 2) / (2 * sigma**2))
    gray = np.clip(40 + 200 * sum(map(fall, centers)), 0, 255)
    return np.repeat(gray[..., None], 3, axis=-1).astype(np.uint8)


class Pictures:
    truth = ()

    def __init__(self, images, valid=None):
        self.images, self.valid = images, valid

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        padded = {} if self.valid is None else {'pixels_valid': self.valid[index]}
        return {'image': self.images[index], **padded}


def squares(rng, count=3, size=96):
    """Pictures with corners and blobs."""
    images = np.full((count, size, size, 3), 90, np.uint8)
    for image in images:
        for x, y in rng.integers(5, size - 25, (8, 2)):
            image[y : y + 14, x : x + 18] = rng.integers(0, 255)
    return images


@pytest.fixture(params=[classical.sift, classical.orb])
def detector(request):
    pytest.importorskip('cv2', reason='OpenCV is not installed')
    return request.param


# Finding.


def test_sift_finds_the_middle_of_a_blob():
    pytest.importorskip('cv2', reason='OpenCV is not installed')
    want = np.array([[40, 30], [70, 64]])
    found = classical.sift(np.stack([blobs(*want)]))
    best = found.xy[0, np.argsort(-found.score[0])]
    for point in want:
        assert np.abs(best[:2] - point).max(axis=-1).min() < 0.1


def test_points_spread_and_descriptors_have_unit_length(detector, rng):
    found = detections.detect(Pictures(squares(rng)), detector, num=12)
    assert found.xy.shape == (3, 12, 2) and found.xy.dtype == np.float32
    there = found.score > 0
    assert there.sum() > 20
    lengths = np.linalg.norm(found.descriptors, axis=-1)
    np.testing.assert_allclose(lengths[there], 1, atol=1e-5)
    assert (lengths[~there] == 0).all()
    assert ((found.xy >= -0.5) & (found.xy <= 95.5)).all()
    for xy, here in zip(found.xy, there, strict=True):
        assert len(np.unique(xy[here], axis=0)) == here.sum()


def test_points_move_with_the_picture(detector, rng):
    one = squares(rng, count=1)[0]
    wide = np.full((128, 128, 3), 90, np.uint8)
    other = wide.copy()
    wide[8:104, 8:104], other[16:112, 20:116] = one, one
    a, b = (detections.detect(Pictures([p]), detector, num=16) for p in (wide, other))
    shifted = a.xy[0][a.score[0] > 0] + [12, 8]
    gap = np.abs(shifted[:, None] - b.xy[0]).max(-1).min(1)
    assert np.mean(gap < 1.5) > 0.6


@pytest.mark.parametrize('size', [8, 64])
def test_pictures_of_one_colour_have_no_points(detector, size):
    gray = np.full((2, size, size, 3), 77, np.uint8)
    found = detections.detect(Pictures(gray), detector, num=5)
    assert found.xy.shape == (2, 5, 2) and not found.score.any()


def test_a_generated_source_and_a_single_row():
    finder = lambda images, valid: detections.Detections(
        images[:, :4, 0, :2].astype(np.float32), images[:, :4, 0, 2] + np.float32(1)
    )
    source = tetrominoes(split='test', length=1)
    found = detections.detect(source, finder, num=6)
    assert found.xy.shape == (1, 6, 2) and found.descriptors is None


def test_nothing_is_found_next_to_padding():
    valid = np.zeros((1, 32, 48), bool)
    valid[:, :, 10:40] = True
    xy = np.array([[[11, 9], [25, 9], [38.6, 9], [3, 3]]], np.float32)
    finder = lambda images, valid: detections.Detections(
        np.repeat(xy, len(images), 0), np.ones((len(images), 4), np.float32)
    )
    source = Pictures(np.zeros((1, 32, 48, 3), np.uint8), valid)
    found = detections.detect(source, finder, num=4)
    assert found.xy[found.score > 0].tolist() == [[25, 9]]


def test_the_best_off_padding_take_the_places_of_those_at_bars():
    xy = np.float32([[[11, 9], [25, 9], [38, 9], [3, 3], [20, 20], [30, 5]]])
    score = np.float32([[0.9, 0.3, 0.8, 0.7, 0.5, 0.4]])
    valid = np.zeros((1, 32, 48), bool)
    valid[:, :, 10:40] = True
    found = detections.off_padding(detections.Detections(xy, score, xy), valid, 2)
    np.testing.assert_allclose(found.xy, [[[20, 20], [30, 5]]])
    np.testing.assert_allclose(found.score, [[0.5, 0.4]])
    np.testing.assert_array_equal(found.descriptors, found.xy)


def test_few_points_between_bars_are_told(caplog):
    finder = lambda images, valid: detections.Detections(
        np.full((len(images), 4, 2), [[3, 3], [2, 9], [45, 9], [24, 9]], np.float32),
        np.ones((len(images), 4), np.float32),
    )
    images, valid = np.zeros((1, 32, 48, 3), np.uint8), np.zeros((1, 32, 48), bool)
    for first in (10, 0):
        caplog.clear()
        valid[:, :, first:40] = True
        detections.detect(Pictures(images, valid), finder, num=4)
        assert ('have 1.0 of 4 keypoints' in caplog.text) == (first == 10)


# Files.


def points(rows=3, places=4, **changes):
    fields = {
        'xy': np.full((rows, places, 2), 7.0),
        'score': np.ones((rows, places)),
        'descriptors': np.full((rows, places, 5), 2.0),
    }
    return {n: v for n, v in {**fields, **changes}.items() if v is not None}


def read(tmp_path, **changes):
    path = tmp_path / 'mine.npz'
    np.savez(path, **points(**changes))
    return detections.load(path, rows=3, size=SIZE)


def test_what_was_saved_is_loaded(tmp_path, rng):
    unit = rng.normal(size=(3, 4, 5)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    xy = rng.uniform(0, 30, (3, 4, 2)).astype(np.float32)
    want = detections.Detections(xy, np.ones((3, 4), np.float32), unit)
    detections.save(tmp_path / 'k.npz', want, size=SIZE, detector='sift 4')
    got = detections.load(tmp_path / 'k.npz', rows=3, size=SIZE)
    for a, b in zip(got[:3], want[:3], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert detections.detector_of(tmp_path / 'k.npz') == 'sift 4'


def test_other_detectors_files(tmp_path):
    score = np.ones((3, 4))
    score[1, 2] = -3
    xy = np.full((3, 4, 2), 7)
    xy[1, 2] = 1000  # Where there is no point, anything may stand.
    got = read(tmp_path, score=score, xy=xy)
    assert got.score[1, 2] == 0 and got.xy[1, 2].tolist() == [0, 0]
    assert not got.descriptors[1, 2].any()
    np.testing.assert_allclose(got.descriptors[0, 0], 1 / np.sqrt(5), atol=1e-6)
    assert read(tmp_path, descriptors=None).descriptors is None
    assert not read(tmp_path, score=0 * score).score.any()  # Nothing anywhere.


def test_points_of_smaller_pictures_are_scaled(tmp_path, caplog):
    """If the file says so; if not, and all lie in the quarter that these were, it is told."""
    xy = np.tile(np.float32([[3, 5], [22.5, 14.5]]), (3, 2, 1))
    got = read(tmp_path, xy=xy, size=np.array([16, 24])).xy
    np.testing.assert_allclose(got, np.tile([[6.5, 10.5], [45.5, 29.5]], (3, 2, 1)))
    np.testing.assert_allclose(read(tmp_path, xy=xy, size=np.array(SIZE)).xy, xy)
    assert not caplog.text
    np.testing.assert_allclose(read(tmp_path, xy=xy).xy, xy)
    assert 'add their `size` (H, W)' in caplog.text
    caplog.clear()
    xy[2, 0] = [30, 5]
    read(tmp_path, xy=xy)
    assert not caplog.text


class Named(Pictures):
    files = ('a.png', 'b/c.png')


def test_files_say_whose_the_points_are(tmp_path):
    """Through the copy that a workdir keeps, too."""
    source = Named(np.zeros((2, 32, 48, 3), np.uint8))
    xy = np.arange(3.0)[:, None, None] + np.zeros((3, 4, 2))
    files = ['b/c.png', 'not/here.png', 'a.png']
    np.savez(tmp_path / 'mine.npz', **points(xy=xy), files=files)
    found = detections.load(tmp_path / 'mine.npz', rows=2, size=SIZE)
    detections.save(tmp_path / 'kept.npz', found, size=SIZE)
    for name in ('mine', 'kept'):
        found = detections.load(tmp_path / f'{name}.npz', rows=2, size=SIZE)
        fields = detections.join(source, found).fields
        assert fields['detected'][:, 0, 0].tolist() == [2, 0]
        assert fields['detected_score'].shape == (2, 4)
    np.savez(tmp_path / 'mine.npz', **points(), files=['a.png', 'x', 'y'])
    with pytest.raises(UserError, match=r"'files' lacks 1 of 2 .*b/c.png"):
        detections.join(
            source, detections.load(tmp_path / 'mine.npz', rows=2, size=SIZE)
        )
    np.savez(tmp_path / 'mine.npz', **points(), files=['a.png', 'x'])
    with pytest.raises(UserError, match=r'files must be \[3\], .*got \[2\]'):
        detections.load(tmp_path / 'mine.npz', rows=2, size=SIZE)


NAN = np.full((3, 4, 2), 7.0)
NAN[2, 1, 0] = np.nan
OUTSIDE = np.full((3, 4, 2), 7.0)
OUTSIDE[1, 0] = [60, 5]


@pytest.mark.parametrize('changes, message', [
    ({'size': np.array([32, 32])}, 'of 32 x 32 pixels, and data.size makes 48 x 32'),
    ({'size': np.array(32)}, r'size must be the two numbers'),
    ({'rows': 2}, 'points of 2 pictures, but the training split has 3'),
    ({'xy': NAN}, 'xy of picture 2 is not finite'),
    ({'xy': OUTSIDE}, r'picture 1 at \[60.0, 5.0\] is outside its 48 x 32 pixels'),
    ({'score': None}, "no 'score', there are: xy, descriptors"),
    ({'xy': None}, "no 'xy'"),
    ({'xy': np.zeros((3, 4))}, r'xy has shape \(3, 4\)'),
    ({'score': np.ones((3, 5))}, r'score has shape \(3, 5\)'),
    ({'descriptors': np.ones((3, 4))}, r'descriptors has shape \(3, 4\)'),
    ({'descriptors': np.full((3, 4, 5), np.inf)}, 'descriptors of picture 0 is not finite'),
    ({'score': np.full((3, 4), 'a')}, 'score holds no numbers'),
    ({'xy': np.empty((3, 4, 2), object)}, 'not an .npz file of plain arrays'),
])  # fmt: skip
def test_mistakes_in_files_are_named(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, **changes)


def test_no_file_and_no_npz(tmp_path):
    with pytest.raises(UserError, match='no such file'):
        detections.load(tmp_path / 'none.npz', rows=1, size=SIZE)
    for content in (b'', b'hello', b'PK\x03\x04'):
        (tmp_path / 'text.npz').write_bytes(content)
        with pytest.raises(UserError, match='not an .npz file'):
            detections.load(tmp_path / 'text.npz', rows=1, size=SIZE)
