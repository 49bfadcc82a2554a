"""What methods that learn from classes ask of a source, before they begin and after."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from kpdiscovery.data.joined import OF_ALL, OF_ROWS
from kpdiscovery.types import Method, Row, Source, UserError


def expect(settings: Any, method: type[Method]) -> None:
    """Before a source is built: the folders of pictures are classes where a method needs
    them, unless the config says otherwise; in place."""
    if method.class_count and settings.data.source == 'folder':
        settings.data.options = {'folder_labels': True, **settings.data.options}


def prepare(source: Source, settings: Any, kind: type[Method]) -> None:
    """Fills the `class_count` of a config's method, in place, if it is 0, and the
    classes' names.

    Methods without classes are left alone. Labels are checked where the source
    knows all of them without reading its pictures (`labels` `[N]`).

    Raises:
        UserError: the source has no labels, or not 0..classes-1.
    """
    method, field = settings.method, kind.class_count
    if not field:
        return
    if 'label' not in source.truth:
        raise UserError(
            f'{method.name} learns from class labels: sort the pictures into one folder '
            "a class, or add 'label' to annotations.npz"
        )
    labels = getattr(source, 'labels', None)
    names = tuple(getattr(source, 'class_names', ()))
    method[field] = method[field] or len(names) or _count(labels)
    with settings.unlocked():
        settings.data.class_names = names
    labels = np.array([], int) if labels is None else np.asarray(labels)
    check(labels, method[field])
    _tell_held_out(labels, names, method.get('holdout', 0))


def _tell_held_out(labels, names, holdout):
    """Every `holdout`th row is not learnt from: of a class perhaps all there are."""
    if not holdout:
        return
    learnt = labels[np.arange(len(labels)) % holdout != 0]
    lost = [names[c] if names else str(c) for c in np.setdiff1d(labels, learnt)]
    if lost:
        logging.warning(
            'no picture of %d classes is learnt from (%s): method.holdout=%d leaves every '
            'such row out; set another, or 0',
            len(lost), ', '.join(lost[:3]), holdout,
        )  # fmt: skip


def check(labels: np.ndarray, num_classes: int) -> None:
    """Labels `[N]` must be 0..num_classes-1, of at least two classes.

    Raises:
        UserError: they are not; says how many and which.
    """
    if num_classes < 2:
        raise UserError(
            f'there must be at least 2 classes to tell apart, got {num_classes}'
        )
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if len(outside):
        raise UserError(
            f'labels must be 0..{num_classes - 1}, {len(outside)} of {len(labels)} are '
            f'not, {outside[0]} say: number them from 0, or set '
            '--config.method.num_classes'
        )


class Renumbered:
    """A source whose classes have the numbers by which a run knows them.

    Args:
        numbers: `[classes of the source]` int32, the run's number of each.
        names: of the run's classes.

    Attributes:
        truth, files, ...: the source's, where it has them.
    """

    def __init__(self, source: Source, numbers: np.ndarray, names: Sequence[str]):
        self.source, self.numbers, self.truth = source, numbers, source.truth
        self.class_names = tuple(names)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        row = self.source[index]
        return {**row, 'label': self.numbers[row['label']]}

    def __getattr__(self, name: str) -> Any:
        if name not in (*OF_ROWS, *OF_ALL):
            raise AttributeError(name)
        found = getattr(self.source, name)
        return self.numbers[found] if name == 'labels' and found is not None else found


def as_trained(source: Source, settings: Any, kind: type[Method]) -> Source:
    """The source with the classes of a run, by name (`data.class_names`).

    Other pictures may show fewer classes or list them in another order. Methods that do
    not learn from classes, and sources without labels, are left alone.

    Raises:
        UserError: there are pictures of a class the run does not know.
    """
    if not kind.class_count or 'label' not in source.truth:
        return source
    names, theirs = (
        [unicodedata.normalize('NFC', str(name)) for name in found]
        for found in (
            settings.data.get('class_names', ()),
            getattr(source, 'class_names', ()),
        )
    )
    labels = getattr(source, 'labels', None)
    if names == theirs or not (names and theirs):
        count = settings.method[kind.class_count]
        check(np.array([], int) if labels is None else labels, count)
        return source
    used = range(len(theirs)) if labels is None else np.unique(labels)
    unknown = [theirs[label] for label in used if theirs[label] not in names]
    if unknown:
        raise UserError(
            f'the run knows no class {", ".join(map(repr, unknown[:3]))}: it was trained '
            f'on {", ".join(names)}'
        )
    known = {name: number for number, name in enumerate(names)}
    numbers = np.array([known.get(name, -1) for name in theirs], np.int32)
    return Renumbered(source, numbers, names)


def _count(labels):
    if labels is None:
        raise UserError(
            'how many classes there are is not known: set --config.method.num_classes'
        )
    if not len(labels):
        raise UserError('there are no labels to count classes of')
    found = np.unique(labels)
    missing = np.setdiff1d(np.arange(found[-1] + 1), found)
    if len(missing) or found[0] < 0:
        raise UserError(
            f'labels must be 0..n-1 with pictures of each, got {found[:5].tolist()}...: '
            'number them from 0, or set --config.method.num_classes'
        )
    return len(found)
