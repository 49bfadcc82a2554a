"""What methods that learn from classes ask of a source before they begin."""

from __future__ import annotations

from typing import Any

import numpy as np

from kpdiscovery.types import Method, Source, UserError


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
    check(np.array([], int) if labels is None else labels, method[field])


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
