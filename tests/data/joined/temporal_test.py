"""Pairs of video frames: which frame is later, and the flow to it."""

import sys

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from PIL import Image, ImageFilter

from kpdiscovery.data import feeds
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.data.joined import Joined, temporal
from kpdiscovery.data.joined.temporal import Temporal, later_rows
from kpdiscovery.types import UserError

SIZE, MARGIN = 64, 16
STEP = (2, -1)  # Pixels (x, y) that the texture moves from frame to frame.
DATA = {'source': 'folder', 'temporal_gap': 2}


def frames(count, seed=0):
    """A window on a smooth texture: `[count, SIZE, SIZE, 3]`, moving by STEP."""
    side = SIZE + 2 * MARGIN
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    soft = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2))
    wide = np.asarray(soft, np.float32)
    wide = np.uint8(255 * (wide - wide.min()) / np.ptp(wide))
    corners = [(MARGIN - i * STEP[1], MARGIN - i * STEP[0]) for i in range(count)]
    return np.stack([wide[y : y + SIZE, x : x + SIZE] for y, x in corners])


class Rows(list):
    """A source of pictures."""

    truth = ()

    def __getitem__(self, index):
        return {'image': super().__getitem__(index)}


def write(root, names):
    root.mkdir(parents=True, exist_ok=True)
    for name, picture in zip(names, frames(len(names)), strict=True):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(root / name)


@pytest.fixture
def opencv():
    pytest.importorskip('cv2', reason='OpenCV is not installed')


# Which frame is later.


def test_the_end_of_a_sequence_is_its_own_later_frame():
    files = [f'{i:03d}.png' for i in range(5)]
    np.testing.assert_array_equal(later_rows(files, None, 2), [2, 3, 4, 3, 4])
    np.testing.assert_array_equal(later_rows(files, None, 5), np.arange(5))


def test_directories_are_sequences():
    files = ['a/0.png', 'a/1.png', 'a/2.png', 'b/0.png', 'b/1.png']
    np.testing.assert_array_equal(later_rows(files, None, 1), [1, 2, 2, 4, 4])


def test_annotated_videos_go_before_directories():
    files = [f'{i}.png' for i in range(6)]
    videos = np.array([7, 3, 7, 3, 7, 3])
    np.testing.assert_array_equal(later_rows(files, videos, 1), [2, 3, 4, 5, 4, 5])


def test_numbers_in_names_count_by_value():
    files = ['f1.png', 'f10.png', 'f2.png', 'f9.png']  # As `Folder` sorts them.
    np.testing.assert_array_equal(later_rows(files, None, 1), [2, 1, 3, 1])


# Rows.


def test_flow_finds_a_moving_texture(opencv):
    rows = Temporal(Rows(frames(5)), np.full(5, 4))
    flow = rows[1]['flow']
    assert flow.shape == (SIZE, SIZE, 2) and flow.dtype == np.float32
    inner = flow[MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert np.abs(inner - 3 * np.array(STEP)).max() < 1
    np.testing.assert_array_equal(rows[1]['later'], rows[4]['image'])


def test_a_row_without_a_later_one_shows_itself_and_stands_still():
    row = Temporal(Rows(frames(2)), np.array([1, 1]))[1]
    np.testing.assert_array_equal(row['later'], row['image'])
    assert row['flow'].dtype == np.float32 and not row['flow'].any()


# Of a config.


def test_two_sequences_reach_the_devices_in_pairs(opencv, tmp_path):
    names = [f'{video}/{i}.png' for video in 'ab' for i in range(4)]
    write(tmp_path, names)
    folder = Folder(tmp_path, size=SIZE)
    joined = Joined(folder, {'detected': np.zeros((8, 3, 2), np.float32)})
    source = temporal.prepare(joined, DATA)
    assert source.truth == () and len(source) == 8
    mesh = jax.make_mesh((4,), ('data',), (AxisType.Auto,), devices=jax.devices()[:4])
    feed = feeds.Feed(source, 8, NamedSharding(mesh, PartitionSpec('data')))
    batch = feeds.first_batch(feed, feeds.sequential(8))
    want = np.stack([folder[row]['image'] for row in [2, 3, 2, 3, 6, 7, 6, 7]])
    np.testing.assert_array_equal(batch['later'], want)
    moved = np.abs(np.asarray(batch['flow'])).max((1, 2, 3)) > 1
    np.testing.assert_array_equal(moved, [True, True, False, False] * 2)
    assert batch['detected'].shape == (8, 3, 2)


def test_videos_of_the_annotations_in_a_split(opencv, tmp_path):
    names = [f'{i}.png' for i in range(8)]
    write(tmp_path, names)
    np.savez(
        tmp_path / 'annotations.npz', files=names, video=[0, 1] * 4,
        identity=np.zeros(8, int), split=['test', *['train'] * 7],
    )  # fmt: skip
    source = temporal.prepare(Folder(tmp_path, size=SIZE, split='train'), DATA)
    # Rows 0..6 are pictures 1..7, of which the odd ones are video 1.
    np.testing.assert_array_equal(source.later, [4, 5, 6, 3, 4, 5, 6])


def test_off_changes_nothing():
    source = Rows(frames(1))
    assert temporal.prepare(source, {}) is source
    assert temporal.prepare(source, {**DATA, 'temporal_gap': 0}) is source


def test_mistakes_are_named(opencv, tmp_path):
    write(tmp_path, ['0.png', '1.png'])
    folder = Folder(tmp_path, size=SIZE)
    with pytest.raises(UserError, match='got 2 of source .critters.'):
        temporal.prepare(Rows(frames(1)), {**DATA, 'source': 'critters'})
    with pytest.raises(UserError, match='got -1 of source .folder.'):
        temporal.prepare(folder, {**DATA, 'temporal_gap': -1})
    with pytest.raises(UserError, match='no video has 3 frames or more'):
        temporal.prepare(folder, DATA)


def test_missing_opencv_is_told_at_once(tmp_path, monkeypatch):
    write(tmp_path, ['0.png', '1.png', '2.png'])
    monkeypatch.setitem(sys.modules, 'cv2', None)  # Importing it fails.
    with pytest.raises(UserError, match=r'optical flow .*kpdiscovery\[vision\]'):
        temporal.prepare(Folder(tmp_path, size=SIZE), DATA)
