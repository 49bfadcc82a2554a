"""All splits of a run, part by part."""

from types import SimpleNamespace

import numpy as np
import pytest

from kpdiscovery.reporting import collecting, mistakes
from tests.reporting import pictures

SOURCES = {'test': range(7), 'train': range(50), 'validation': range(3)}


@pytest.fixture
def looks(monkeypatch):
    """Parts of three; what was looked at beside the first part is written down."""
    done = []

    def look(trained, source, split, *, count, start, keep):
        done.append((split, start, count))
        rows = min(count, len(source) - start)
        return pictures.see(rows, 2, split=split)._replace(trained=trained)

    monkeypatch.setattr(collecting, 'PART', 3)
    monkeypatch.setattr(collecting.seen, 'look', look)
    return done


def first(name='self_training', ordered=True):
    config = SimpleNamespace(method=SimpleNamespace(name=name))
    method = SimpleNamespace(ordered=ordered)
    trained = SimpleNamespace(config=config, method=method)
    return pictures.see(3, 2)._replace(trained=trained)


def test_all_splits_in_parts_and_the_first_only_once(looks):
    found = collecting.collect(SOURCES, first(), None, count=5)
    assert looks == [
        ('test', 3, 2),
        ('train', 0, 3),
        ('train', 3, 2),
        ('validation', 0, 3),
    ]
    assert [shot['split'] for shot in found.shots] == (
        5 * ['test'] + 5 * ['train'] + 3 * ['validation']
    )
    assert found.splits == ['test', 'train', 'validation']
    assert found.word == 'landmark' and found.error == '' and not found.left_out


def test_only_errors_of_one_kind_are_sorted_by(looks, monkeypatch):
    kinds = iter([None, 'ours', 'other', 'ours', 'ours'])

    def of_pictures(part, fit):
        name = next(kinds)
        return (np.ones(len(part.images)), name) if name else (None, '')

    monkeypatch.setattr(mistakes, 'of_pictures', of_pictures)
    found = collecting.collect(SOURCES, first(), None, count=5)
    assert found.error == 'ours'
    with_error = [place for place, shot in enumerate(found.shots) if 'error' in shot]
    assert with_error == [3, 4, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(
    ('name', 'ordered', 'word'),
    [('tusk', False, 'prototype'), ('feature_alignment', False, 'part'),
     ('imm', True, 'landmark'), ('superpoint', False, 'keypoint')],
)  # fmt: skip
def test_what_a_label_is_called(name, ordered, word):
    assert collecting.word(first(name, ordered).trained) == word
