"""Which rows of a data set are for what."""

from __future__ import annotations

import logging

import numpy as np

from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)


def choose_rows(
    split: str,
    count: int,
    *,
    texts: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    holdout_validation: bool = False,
) -> np.ndarray:
    """Rows of a split, the same on every machine and in every run.

    'all' is every row. `texts` names each row's split; without it 'test' is every tenth
    row and 'train' the rest, except that fewer than ten rows are all in both (with a
    warning). 'validation', unless `texts` has it, is every tenth row of 'train', which
    loses them only if `holdout_validation`. Where `groups` are known, "every tenth" is
    every tenth group, or the last of fewer than ten.

    Raises:
        UserError: there is no such split, or nothing is left in it.
    """
    if split == 'all':
        return np.arange(count)
    groups = np.arange(count) if groups is None else groups
    texts = _split_texts(count, groups) if texts is None else texts
    rows = np.flatnonzero(texts == split)
    if split in ('train', 'validation') and 'validation' not in texts:
        rows = np.flatnonzero(np.isin(texts, ('train', 'both')))
        held = _tenth(groups[rows])
        kept = held if split == 'validation' else ~(held & holdout_validation)
        rows = rows[kept]
    elif split == 'test':
        rows = np.flatnonzero(np.isin(texts, ('test', 'both')))
    if not len(rows):
        known = ', '.join(sorted(set(texts.tolist()))) or 'none'
        raise UserError(f'no pictures in split {split!r} (of {count}; splits: {known})')
    return rows


def _split_texts(count, groups):
    if count < 10:
        _log.warning(
            'fewer than ten pictures (%d): all are in both train and test', count
        )
        return np.full(count, 'both')
    return np.where(_tenth(groups), 'test', 'train')


def _tenth(groups):
    """Bool mask of the rows of every tenth group."""
    unique = np.unique(groups)
    if len(unique) < 2:
        groups = unique = np.arange(len(groups))
    return np.isin(groups, unique[9::10] if len(unique) >= 10 else unique[-1:])
