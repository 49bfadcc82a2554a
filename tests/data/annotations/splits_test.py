"""Rows of a data set by split: the same everywhere, and groups stay whole."""

import functools

import numpy as np
import pytest

from kpdiscovery.data.annotations import splits
from kpdiscovery.types import UserError


def test_validation_is_a_tenth_of_train_and_parts_no_group():
    texts = np.array(['train'] * 80 + ['test'] * 20)
    groups = np.repeat(np.arange(25), 4)
    choose = functools.partial(
        splits.choose_rows, count=100, texts=texts, groups=groups
    )
    assert choose('train').tolist() == list(range(80))
    assert choose('test').tolist() == list(range(80, 100))
    validation = choose('validation')
    assert sorted(set(groups[validation])) == [9, 19] and len(validation) == 8
    kept = choose('train', holdout_validation=True)
    assert sorted([*kept, *validation]) == list(range(80))
    assert not set(groups[kept]) & set(groups[validation])


def test_few_groups_lose_the_last_one_and_a_single_group_is_no_group():
    few = splits.choose_rows('validation', 40, groups=np.repeat([3, 1, 2, 0], 10))
    assert len(few) == 10
    one = splits.choose_rows('test', 40, groups=np.zeros(40))
    assert one.tolist() == [9, 19, 29, 39]


def test_a_files_own_splits_are_used_as_they_are():
    texts = np.array(['train', 'validation', 'easy', 'train'])

    def choose(split):
        return splits.choose_rows(split, 4, texts=texts).tolist()

    assert choose('validation') == [1]
    assert choose('easy') == [2]
    assert choose('train') == [0, 3]
    assert choose('all') == [0, 1, 2, 3]
    with pytest.raises(
        UserError, match=r"'test' .of 4; splits: easy, train, validation"
    ):
        choose('test')
