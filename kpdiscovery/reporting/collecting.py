"""The pictures of all splits, looked at in parts that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kpdiscovery import inference
from kpdiscovery.reporting import album as albums
from kpdiscovery.reporting import mistakes, seen
from kpdiscovery.reporting.album import Album
from kpdiscovery.reporting.seen import Seen
from kpdiscovery.types import Source, Split

PART = 200  # Pictures looked at together.
_WORDS = {'feature_alignment': 'part', 'tusk': 'prototype'}


def collect(
    sources: Mapping[str, Source], looked_at: Seen, fit: Split | None, *, count: int
) -> Album:
    """The first `count` pictures of every split, the worst errors known.

    Args:
        looked_at: the first PART, or `count` if fewer, of one of the splits.
        fit: training pictures, which regressors of errors are fitted on.
    """
    total = sum(min(count, len(source)) for source in sources.values())
    most, found, name = albums.limits(looked_at.images, total), [], ''
    for part in _parts(sources, looked_at, count):
        errors, called = mistakes.of_pictures(part, fit)
        name = name or called  # Only errors of one kind can be sorted by.
        found += albums.shots(part, errors if called == name else None, most)
    return albums.fitted(word(looked_at.trained), name, found)


def word(trained: inference.Trained) -> str:
    """What a label of the method stands for."""
    other = 'landmark' if trained.method.ordered else 'keypoint'
    return _WORDS.get(trained.config.method.name, other)


def _parts(sources, looked_at, count) -> Iterator[Seen]:
    for split, source in sources.items():
        for start in range(0, min(count, len(source)), PART):
            size = min(PART, count - start)
            if split == looked_at.split and start == 0:
                yield looked_at
            else:
                yield seen.look(
                    looked_at.trained, source, split, count=size, start=start, keep=()
                )
