"""Warnings with a remedy for phases that are collapsing (`types.Phase.advise`).

Limits are our own choice: no run that came to something was seen beyond them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

Advise = Callable[[Mapping[str, float], float], str]

_YOUNG = 0.25  # Share of a phase in which a network may still know nothing.


def landmarks(count: int) -> Advise:
    """Of `count` landmarks whose `separation` is how many others cover each."""

    def advise(scalars: Mapping[str, float], share: float) -> str:
        if share < _YOUNG or scalars['separation'] < (count - 1) / 2:
            return ''
        return (
            f'each landmark is covered by {scalars["separation"]:.1f} of the other '
            f'{count - 1}: they fall together; raise method.separation'
        )

    return advise


def prototypes(count: int) -> Advise:
    """Of keypoints whose mean `confidence` decides what is drawn, the share of those wanted
    that are `peaks`, and the `live` ones of `count` prototypes."""

    def advise(scalars: Mapping[str, float], share: float) -> str:
        if share < _YOUNG:
            return ''
        if scalars['confidence'] <= 0.01:
            return (
                f'the mean confidence of keypoints is {scalars["confidence"]:.2g}: nothing '
                'is drawn and so nothing learnt; lower the learning rate, or raise '
                'method.exploration'
            )
        if scalars['peaks'] < 0.5:
            return (
                f'maps have peaks for {scalars["peaks"]:.0%} of the keypoints: lower '
                'method.num_keypoints or method.window, or raise method.resolution'
            )
        if scalars.get('live', count) < count / 4:
            return (
                f'keypoints are of {scalars["live"]:.0f} of {count} prototypes: the others '
                'are dead; lower method.num_prototypes, or set method.cluster_start later'
            )
        return ''

    return advise


def classes(count: int) -> Advise:
    """Of a classifier with `count` classes."""

    def advise(scalars: Mapping[str, float], share: float) -> str:
        if share < _YOUNG or scalars['loss'] < 1.2 * math.log(count):
            return ''
        return (
            f'the loss is {scalars["loss"]:.2f}, and {math.log(count):.2f} would be had '
            f'by guessing among {count} classes: lower the learning rate, or look at the '
            'labels'
        )

    return advise


def maps(scalars: Mapping[str, float], share: float) -> str:
    """Of weight maps that cover the share `area` of their pictures."""
    if share < _YOUNG or 0.01 < scalars['area'] < 0.99:
        return ''
    what, mend = ('nothing', 'lower') if scalars['area'] < 0.5 else ('all', 'raise')
    return (
        f'the maps show {what} of the pictures (area {scalars["area"]:.3f}): '
        f'{mend} method.regularizer'
    )


def whole_boxes(share: float) -> str:
    """Of weight maps whose boxes are as large as their pictures in a share of them."""
    if share <= 0.5:
        return ''
    return (
        f'the boxes of {share:.0%} of the pictures are the whole pictures: the maps have '
        'not left the ground; train longer or at a higher rate, or raise '
        'method.regularizer'
    )


def parts(scalars: Mapping[str, float], share: float) -> str:
    """Of part maps that are aligned."""
    if share < _YOUNG:
        return ''
    if scalars['background'] > 0.8:
        return (
            f'background takes over: it is the likeliest in {scalars["background"]:.0%} of '
            'the cells; if method.cap times method.num_keypoints are fewer than the cells, '
            "raise one; leave method.parity='recommended', or take other features"
        )
    if not 0.01 < scalars['foreground'] < 0.99:
        return f'parts cover {scalars["foreground"]:.1%} of the pictures: ' + (
            'raise method.kappa'
            if scalars['foreground'] < 0.5
            else 'lower method.num_keypoints (method.cap cells each) below the cells'
        )
    if scalars['determinant'] < 0.25 or scalars['outside'] > 0.5:
        return (
            f'transforms shrink pictures (median determinant {scalars["determinant"]:.2f}, '
            f'{scalars["outside"]:.0%} of the cells uncovered): use '
            "method.transform=translation, and leave method.parity='recommended'"
        )
    if scalars['partners'] < 3:
        return (
            f'only {scalars["partners"]:.1f} cells of a neighbour have a like one in the '
            'picture: raise method.num_keypoints, or take features of another network'
        )
    return ''
