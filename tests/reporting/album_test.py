"""What of the pictures goes into the file."""

import base64
import io
import json

import numpy as np
from PIL import Image

from kpdiscovery.reporting import album
from tests.reporting import pictures

MOST = album.Limits(320, 100)


def decode(uri):
    assert uri.startswith('data:image/webp;base64,')
    return Image.open(io.BytesIO(base64.b64decode(uri.split(',')[1])))


def test_points_that_count_are_there_surest_first():
    seen = pictures.see(1, 3)
    points = seen.keypoints
    points.xy[0, 2] = (1.256, 7)
    points.score[0], points.valid[0] = (0.5, 0.75, 0.875), (True, False, True)
    (shot,) = album.shots(seen, None, MOST)
    x, y = points.xy[0, 0]
    assert shot['points'] == [1.26, 7, 2, 0.88, x, y, 0, 0.5]
    assert (shot['width'], shot['height']) == (96, 48) and 'truth' not in shot
    points.xy[0, 2] = np.nan
    assert len(album.shots(seen, None, MOST)[0]['points']) == 4
    (shot,) = album.shots(pictures.see(1, 9), None, album.Limits(64, 5))
    assert len(shot['points']) == 20


def test_annotated_points_and_errors_where_they_are_known():
    truth = {
        'keypoints': np.array([[[1, 2], [3, 4.5]]] * 2),
        'visible': np.array([[True, True], [False, True]]),
    }
    errors = np.array([np.nan, 2.345])
    found = album.shots(pictures.see(2, 1, truth=truth), errors, MOST)
    assert [shot['truth'] for shot in found] == [[1, 2, 3, 4.5], [3, 4.5]]
    assert 'error' not in found[0] and 2.34 <= found[1]['error'] <= 2.35
    lost = album.shots(pictures.see(1, 1, truth=truth), np.array([np.inf]), MOST)
    assert lost[0]['error'] is None  # JSON knows no infinity.


def test_small_pictures_are_kept_exactly_and_large_ones_shrunk():
    image = np.random.default_rng(0).integers(0, 255, (32, 40, 3), np.uint8)
    exact = album.limits(image[None], 10)
    np.testing.assert_array_equal(decode(album.thumbnail(image, exact)), image)
    many = album.limits(image[None], 8000)
    assert not many.exact and decode(album.thumbnail(image, many)).size == (40, 32)
    wide = album.thumbnail(image.repeat(8, 1), album.Limits(96, 1))
    assert decode(wide).size == (96, 10)


def test_the_more_pictures_the_smaller():
    noise = np.random.default_rng(0).integers(0, 255, (20, 256, 256, 3), np.uint8)
    sides = [album.limits(noise, total).side for total in (20, 1000, 100_000)]
    assert sides[0] == 320 and sides[1] < sides[0] and sides[2] == 64
    assert album.limits(noise, 100_000).points == 12


def test_what_finds_no_room_is_left_out_and_counted(monkeypatch):
    found = album.shots(pictures.see(9, 1), None, MOST)
    largest = max(len(json.dumps(shot)) for shot in found)
    monkeypatch.setattr(album, 'ALBUM_BYTES', 4 * largest)
    kept = album.fitted('landmark', '', found)
    assert kept.left_out == 9 - len(kept.shots) > 0
    assert kept.shots[0] is found[0] and kept.shots[-1] is found[-1]
    assert album.fitted('landmark', '', found[:2]).left_out == 0


def test_the_text_is_json_that_ends_no_script():
    seen = pictures.see(1, 2)._replace(names=('</script>',))
    text = album.text(album.fitted('part', 'nme', album.shots(seen, None, MOST)))
    assert '<' not in text
    said = json.loads(text)
    assert said['word'] == 'part' and said['dozen'] == 12
    assert said['shots'][0]['name'] == '</script>'


def test_crowded_is_more_than_a_dozen():
    one = album.fitted('part', '', album.shots(pictures.see(1, 12), None, MOST))
    assert not one.crowded and not one.annotated and one.splits == ['test']
    two = album.fitted('part', '', album.shots(pictures.see(1, 13), None, MOST))
    assert two.crowded
