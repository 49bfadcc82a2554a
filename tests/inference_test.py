"""Predictions of warped copies."""

import dataclasses
import json
from typing import ClassVar

import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from kpdiscovery import config, inference, metrics
from kpdiscovery.data import identity
from kpdiscovery.ops import coordinates
from kpdiscovery.training import runs
from kpdiscovery.types import Keypoints, Prediction, UserError

CONFIG = ml_collections.ConfigDict({'data': {}})


class Spots:
    """A bright disc on black, somewhere in the middle."""

    truth: ClassVar = ()

    def __len__(self):
        return 7

    def __getitem__(self, index):
        x, y = np.random.default_rng(index).uniform(24, 40, 2)
        gap = np.hypot(*(np.indices((64, 64)) - np.array([y, x])[:, None, None]))
        image = np.uint8(255 * np.clip(8 - gap, 0, 1))[..., None].repeat(3, axis=-1)
        return {'image': image, 'index': np.int32(index)}


@dataclasses.dataclass(frozen=True)
class Centroid:
    """Finds the middle of what is bright, or of the picture."""

    sees: bool
    batch_fields: tuple = ()
    num_labels: ClassVar = 1

    def predict(self, variables, images, pixels_valid=None, **fields):
        weight = images[..., :1] if self.sees else jnp.ones_like(images[..., :1])
        if pixels_valid is not None:
            weight = pixels_valid[..., None].astype(jnp.float32)
        xy = (weight * coordinates.pixel_grid(64, 64)[None]).sum((1, 2))
        xy = (xy / weight.sum((1, 2)))[:, None]
        label = jnp.zeros(xy.shape[:2], jnp.int32)
        return Prediction(Keypoints(xy, label + 1.0, label, label == 0))


def warped(method, source):
    trained = inference.Trained(method, {}, CONFIG, {})
    split = inference.predict_rows(trained, source, 7, batch_size=4)
    found = inference.predict_warped(trained, source, split, 6, batch_size=4)
    return split._replace(warped=found)


def test_a_detector_that_follows_is_told_from_one_that_stays():
    split = warped(Centroid(sees=True), Spots())
    assert split.warped.found.xy.shape == (6, 1, 2)
    got = metrics.landmark_repeatability(split, split)
    assert got['warp_error'] < 0.1 and got['warp_within@3'] == 100
    assert 2 < got['warp_shift'] < 8
    split = warped(Centroid(sees=False), Spots())
    got = metrics.landmark_repeatability(split, split)
    assert got['warp_error'] == pytest.approx(got['warp_shift'])
    assert 2 < got['warp_shift'] < 8


class Padded(Spots):
    """Of which a disc beside the middle is no padding."""

    def __getitem__(self, index):
        row = super().__getitem__(index)
        return {**row, 'pixels_valid': row['image'][..., 0] > 128}


def test_what_is_padding_moves_with_the_copies():
    method = Centroid(False, batch_fields=('pixels_valid',))
    split = warped(method, Padded())
    got = metrics.landmark_repeatability(split, split)
    assert got['warp_error'] < 0.1 and 2 < got['warp_shift'] < 8


def test_no_copies_where_more_is_read_than_pictures():
    assert warped(Centroid(True, batch_fields=('index',)), Spots()).warped is None


def test_other_pictures_than_those_of_the_training_are_told(caplog):
    before = identity.of(Spots())._asdict()
    trained = inference.Trained(Centroid(True), {}, CONFIG, {'data': before})
    inference.tell_other_pictures(trained, Spots())
    assert not caplog.messages
    before['content'] = 'other'
    inference.tell_other_pictures(trained, Spots())
    assert 'not those of the training (other content)' in caplog.text


@pytest.mark.parametrize(
    ('path', 'value', 'said'),
    [
        ('seed', None, 'there is no seed'),
        ('data', [], 'there is no data.source'),
        ('method', {}, 'there is no method.name'),
        ('a.b', 1, 'config.json is damaged'),
        ('method', {'name': 'tusk', 'views': []}, 'method.views must be a section'),
    ],
)
def test_a_damaged_config_is_told(tmp_path, monkeypatch, path, value, said):
    monkeypatch.setattr(runs, 'load_variables', lambda *_: ({}, {}))
    whole = json.loads(config.load('tusk/tetrominoes:smoke').to_json())
    (tmp_path / 'config.json').write_text(json.dumps({**whole, path: value}))
    with pytest.raises(UserError, match=said):
        inference.load(tmp_path)
