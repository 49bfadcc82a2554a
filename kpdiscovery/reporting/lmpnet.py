"""What only the report of LMPNet has: its filters, and how keypoints come of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.methods.lmpnet import LmpNet
from kpdiscovery.ops import clustering, pooling
from kpdiscovery.ops import images as image_ops
from kpdiscovery.reporting import drawing
from kpdiscovery.reporting.page import Row, Section, picture
from kpdiscovery.reporting.patches import patch
from kpdiscovery.reporting.rounds import spread
from kpdiscovery.reporting.seen import Run, Seen, row_of
from kpdiscovery.types import Keypoints

_ROWS, _PATCHES, _SHOWN, _NOISE = 24, 12, 12, 64
_SHARE = 4  # Patches have this part of the picture's longer side.
_EPSILONS = (0.1, 0.01)


def sections(seen: Seen, run: Run) -> list[Section]:
    """The filters of the first net, and its proposals beside the keypoints."""
    del run
    method: LmpNet = seen.trained.method
    features = look(method, seen.trained.variables, seen.images)
    return [filters(seen, method, features), proposals(seen, method, features)]


def look(method: LmpNet, variables: Any, images: np.ndarray) -> np.ndarray:
    """Last maps `[N, h, w, C]` of the first net, a batch of 50 at a time."""

    @jax.jit
    def see(images):
        out: Any = method.classifier.apply(variables['first'], images)
        return out.features

    middle = lambda images: method.crops.middle(image_ops.as_float(images))[0]
    return np.concatenate(
        [see(middle(images[i : i + 50])) for i in range(0, len(images), 50)]
    )


def filters(seen: Seen, method: LmpNet, features: np.ndarray) -> Section:
    """All filters by all pictures, then what the strongest see (figure 4)."""
    strength = features.max(axis=(1, 2))  # [N, C]
    order = np.argsort(-strength.mean(axis=0), kind='stable')
    table = -np.sort(-strength[:, order].T, axis=1)
    overview = picture(
        table / max(table.max(), 1e-9),
        f'{len(order)} filters (down) by {len(strength)} pictures (across)',
        width=800,
    )
    chosen = spread([int(c) for c in order if strength[:, c].max() > 0], _ROWS)
    rows = [_filter_row(seen, method, features, c) for c in chosen]
    return Section(
        'Filters',
        'filters',
        _note(seen, method, features),
        rows=[Row([overview]), *rows],
    )


def proposals(seen: Seen, method: LmpNet, features: np.ndarray) -> Section:
    """Where the strongest filters fire, and the keypoints they agree on."""
    rows = [
        Row([_drawn(seen, i, _fired(seen, method, features[i])),
             _drawn(seen, i, row_of(seen.keypoints, i))], seen.names[i])
        for i in range(min(_SHOWN, len(seen.images)))
    ]  # fmt: skip
    note = (
        f'Left: the cells of the {method.num_filters(features)} strongest filters of the first '
        'net. Right: the keypoints, the most agreed on being 0.'
    )
    return Section('Proposals', 'proposals', note, rows=rows, compact=True)


def firing_on_noise(
    method: LmpNet, variables: Any, size: tuple[int, int]
) -> dict[float, float]:
    """Share of filters whose leaky maximum is above 0 on noise, by epsilon.

    Uniform noise in all channels; the mean over pictures. A filter that fires in one
    place keeps a value above 0, one that fires everywhere does not.
    """
    noise = np.random.default_rng(0).random((_NOISE, *size, 3), np.float32)
    features = look(method, variables, noise)
    pooled = {
        e: pooling.leaky_max_pool(jnp.asarray(features), epsilon=e) for e in _EPSILONS
    }
    return {e: float((np.asarray(p) > 0).mean()) for e, p in pooled.items()}


def pooling_flops(method: LmpNet, features: np.ndarray) -> float:
    """Floating point operations of the pooling of one picture, counted by the compiler."""
    pool = lambda x: pooling.pool(x, method.pooling, epsilon=method.epsilon)
    return _flops(jax.jit(pool).lower(features[0]).compile())


def network_flops(method: LmpNet, variables: Any, size: tuple[int, int]) -> float:
    """Those of the whole first net, pooling included, for a picture of (H, W)."""
    see = lambda image: method.classifier.apply(variables['first'], image)
    image = jax.ShapeDtypeStruct((1, *method.crops.size(*size), 3), jnp.float32)
    return _flops(jax.jit(see).lower(image))


def _flops(program) -> float:
    return float((program.cost_analysis() or {}).get('flops', float('nan')))


def _note(seen, method, features):
    shares = firing_on_noise(method, seen.trained.variables, seen.images.shape[1:3])
    said = ' and '.join(f'{100 * s:.0f} % at {e}' for e, s in shares.items())
    flops, size = pooling_flops(method, features[:1]), seen.images.shape[1:3]
    share = flops / network_flops(method, seen.trained.variables, size)
    return (
        'Above: the largest cell of every filter in every picture, strongest filters on '
        'top, each row sorted. Below: what a filter sees, from the picture it fires on '
        f'most to the least. On noise {said} of the filters keep a leaky maximum above '
        f'0; pooling costs {flops:,.0f} operations a picture, {100 * share:.2g} % of the net.'
    )


def _filter_row(seen, method, features, channel):
    maps = features[..., channel]
    strength = maps.max(axis=(1, 2))
    order = [int(i) for i in np.argsort(-strength, kind='stable') if strength[i] > 0]
    side = max(3, round(max(seen.images.shape[1:3]) / _SHARE))
    figures = [
        picture(patch(seen.images[i], _pixels(seen, method, maps[i]), side), width=72)
        for i in spread(order, _PATCHES)
    ]
    return Row(figures, f'Filter {channel}', f'fires in {len(order)} pictures')


def _pixels(seen, method, map_):
    """Pixel (x, y) of the largest cell of a map `[h, w]`."""
    row, column = np.unravel_index(map_.argmax(), map_.shape)
    xy = np.array([column, row], np.float32)
    return _from_cells(seen, method, xy)


def _from_cells(seen, method, xy):
    corner = method.crops.corner(*seen.images.shape[1:3])
    return method.classifier.to_pixels(xy) + np.array(corner)


def _fired(seen, method, maps) -> Keypoints:
    """The proposals of one picture as grey points."""
    kept, _ = clustering.strongest_filters(maps, method.num_filters(maps))
    flat = np.asarray(kept).reshape(-1, kept.shape[-1])
    best = flat.argmax(axis=0)
    cells = np.stack([best % maps.shape[1], best // maps.shape[1]], axis=-1)
    xy = _from_cells(seen, method, cells.astype(np.float32))
    none = np.full(len(xy), -1, np.int32)
    return Keypoints(xy, flat.max(axis=0), none, flat.max(axis=0) > 0)


def _drawn(seen, index, keypoints):
    scale = drawing.zoom(seen.images.shape[1:], 256)
    numbers = keypoints.label if keypoints.label.max() >= 0 else None
    drawn = drawing.draw_keypoints(
        seen.images[index], keypoints, scale=scale, numbers=numbers
    )
    return picture(drawn, width=200)
