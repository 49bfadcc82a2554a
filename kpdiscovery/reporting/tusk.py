"""What only TUSK's report has: prototypes, and keypoints decoded one by one."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.methods.tusk import Tusk
from kpdiscovery.methods.tusk.network import SoftKeypoints
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops import vectors
from kpdiscovery.reporting import drawing
from kpdiscovery.reporting.page import Row, Section, picture
from kpdiscovery.reporting.patches import patch
from kpdiscovery.reporting.sections import descriptors
from kpdiscovery.reporting.seen import Run, Seen, overlay, row_of

_PROTOTYPES, _PATCHES, _LAYERED, _LAYERS = 24, 6, 4, 12


class Layers(NamedTuple):
    """Every keypoint of B pictures decoded alone, at the network's resolution."""

    colors: np.ndarray  # [B, K, h, w, 3]
    shares: np.ndarray | None  # [B, K, h, w] of each pixel; None without alpha.


def sections(seen: Seen, run: Run) -> list[Section]:
    """Prototypes, descriptors and layers."""
    del run
    unit = vectors.normalize(jnp.asarray(seen.trained.variables['prototypes']))
    prototypes = np.asarray(unit)
    return [_prototypes(seen, prototypes), descriptors(seen, prototypes), _layers(seen)]


def decode_prototypes(seen: Seen, prototypes: np.ndarray) -> np.ndarray:
    """What the decoder makes of prototypes `[M, D]`, each alone at the centre.

    Returns `[M, h, w, 3]` float32 in [0, 1].
    """
    method, variables = _method(seen), seen.trained.variables
    h, w = size = _inner(seen)
    count = len(prototypes)
    middle = jnp.tile(jnp.array([(w - 1) / 2, (h - 1) / 2]), (count, 1, 1))
    alone = SoftKeypoints(
        middle, jnp.ones((count, 1)), jnp.asarray(prototypes[:, None])
    )
    colors, _ = jax.jit(method.layers, static_argnums=2)(variables, alone, size)
    return np.asarray(colors[:, 0])


def decode_layers(seen: Seen, count: int) -> Layers:
    """The layers of the first pictures, keypoints in the order of the prediction."""
    method, size = _method(seen), _inner(seen)
    k = seen.keypoints.label.shape[1]

    @jax.jit
    def layers(variables, images):
        found = method.detect(variables, image_ops.as_float(images), k)
        found = method.drawn(variables, found)
        colors, logits = method.layers(variables, found, size)
        shares = method.shares(found, logits, found.peak) if method.alpha else None
        return colors, shares

    found = layers(seen.trained.variables, seen.images[:count])
    return Layers(*jax.device_get(found))


def _prototypes(seen, prototypes):
    valid, label = seen.keypoints.valid, seen.keypoints.label
    counts = np.bincount(label[valid], minlength=len(prototypes))
    order = np.argsort(-counts, kind='stable')[:_PROTOTYPES]
    shown = order[counts[order] > 0]
    decoded = prototypes[:0]  # No keypoint at all.
    if len(shown):
        decoded = decode_prototypes(seen, prototypes[shown])
    rows = [
        _prototype(seen, number, prototypes[number], image, counts[number])
        for number, image in zip(shown, decoded, strict=True)
    ]
    note = (
        f'{(counts > 0).sum()} of {len(prototypes)} prototypes have a keypoint in '
        f'these {len(seen.images)} pictures; the most frequent first, up to '
        f'{_PROTOTYPES}. Left, what the decoder makes of the prototype alone; then the '
        'real patches whose descriptors are nearest to it.'
    )
    return Section('Prototypes', 'prototypes', note, rows=rows, compact=True)


def _prototype(seen, number, prototype, image, count):
    figures = [picture(image, width=84)]
    figures += [picture(patch, width=56) for patch in _nearest(seen, number, prototype)]
    plural = '' if count == 1 else 's'
    color = drawing.css(number)
    return Row(figures, f'Prototype {number}', f'{count} keypoint{plural}', color)


def _nearest(seen, number, prototype):
    """Patches around the prototype's keypoints, closest descriptor first."""
    similar = seen.found.prediction.descriptors @ prototype
    mine = seen.keypoints.valid & (seen.keypoints.label == number)
    places = np.argwhere(mine)
    best = np.argsort(-similar[mine], kind='stable')[:_PATCHES]
    side = _patch_side(seen)
    for index, k in places[best]:
        yield patch(seen.images[index], seen.keypoints.xy[index, k], side)


def _patch_side(seen):
    """Two suppression windows, in pixels of the pictures."""
    share = 2 * _method(seen).window / max(_inner(seen))
    return max(3, round(min(share, 1) * max(seen.images.shape[1:3])))


def _layers(seen):
    count = min(_LAYERED, len(seen.images))
    layers = decode_layers(seen, count)
    note = 'Each keypoint decoded alone'
    if layers.shares is None:
        note += (
            '. The picture is decoded from all of them together, not a sum of these.'
        )
    else:
        note += (
            ', also where another object hides it, and below the share of each pixel '
        )
        note += 'that it wins in the blended picture (white: all of it).'
    rows = [_layer_row(seen, layers, index) for index in range(count)]
    compact = seen.keypoints.label.shape[1] <= 3
    return Section('Layers', 'layers', note, rows=rows, compact=compact)


def _layer_row(seen, layers, index):
    points = row_of(seen.keypoints, index)
    shown = overlay(seen.images[index], points, numbers=points.label)
    figures = [picture(shown, 'keypoints', width=150)]
    tile = functools.partial(_tile, row_of(layers, index))
    for k in np.flatnonzero(points.valid)[:_LAYERS]:
        figures.append(picture(tile(k), f'prototype {points.label[k]}', width=96))
    return Row(figures, seen.names[index])


def _tile(layers, k):
    """A keypoint's colours, and its share of the pixels below them."""
    images = [drawing.as_uint8(layers.colors[k])]
    if layers.shares is not None:
        images.append(drawing.as_uint8(layers.shares[k])[..., None].repeat(3, axis=-1))
    factor = drawing.zoom(images[0].shape, 96)
    images = [drawing.enlarge(image, factor) for image in images]
    return drawing.contact_sheet(images, columns=1, gap=6, background=128)


def _method(seen) -> Tusk:
    assert isinstance(seen.trained.method, Tusk)
    return seen.trained.method


def _inner(seen):
    """(h, w) the network works at."""
    return _method(seen).inner_size(seen.images)
