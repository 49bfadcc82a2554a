"""What only the report of feature alignment has: parts, pools, and how they agree."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery import metrics
from kpdiscovery.methods.feature_alignment import FeatureAlignment, aligning
from kpdiscovery.methods.feature_alignment.features import of_batch
from kpdiscovery.ops import alignment, coordinates, divergences
from kpdiscovery.reporting import drawing
from kpdiscovery.reporting.page import Figure, Row, Section, picture
from kpdiscovery.reporting.patches import patch
from kpdiscovery.reporting.rounds import spread
from kpdiscovery.reporting.seen import Run, Seen, overlay
from kpdiscovery.types import Keypoints, UserError

_TRAINING, _QUERIES, _NEIGHBOURS, _ALIGNED = 200, 6, 5, 2
_PARTS, _PATCHES, _PICTURES, _SHOWN = 16, 10, 12, 10
_WIDTH = 150
_PARTNERED = 0.3  # Of a cell, to be drawn.
_READ = ('image', 'features', 'features_valid', 'pixels_valid')


class Pool(NamedTuple):
    """Training pictures, their part maps, and those most alike among them."""

    images: np.ndarray  # uint8 [N, H, W, 3]
    seen: aligning.Pictures  # Leaves [N, h, w, ...].
    similar: divergences.Similar


def sections(seen: Seen, run: Run) -> list[Section]:
    """Parts of test pictures; pools, matches and labels of training pictures."""
    found = [parts(seen), pictures(seen)]
    try:
        source = run.training()
    except UserError as error:
        note = f'The training pictures are not there: {error}'
        return [*found, Section('Pools', 'pools', note)]
    pool = look(seen.trained.method, seen.trained.variables, source)
    return [*found, pools(pool), agreement(seen.trained.method, pool)]


def look(
    method: FeatureAlignment, variables: Any, source: Any, count: int = _TRAINING
) -> Pool:
    """The first `count` training pictures, compared with each other only."""
    count = min(count, len(source))
    rows = [source[i] for i in range(count)]
    batch = {name: np.stack([row[name] for row in rows])
             for name in _READ if name in rows[0]}  # fmt: skip
    batch['image'] = drawing.as_uint8(batch['image'])

    @jax.jit
    def see(batch):
        fields = {name: value for name, value in batch.items() if name != 'image'}
        features, valid = of_batch(method.features, variables, batch)
        maps = method.maps(variables, batch['image'] / 255, **fields)
        return aligning.Pictures(maps, features, valid)

    pieces = [
        see({name: values[i : i + 50] for name, values in batch.items()})
        for i in range(0, count, 50)
    ]
    seen = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *pieces)
    similar = divergences.most_similar(
        seen.maps.reshape(count, -1, seen.maps.shape[-1]),
        min(method.neighbours, count), cell_valid=seen.valid.reshape(count, -1),
    )  # fmt: skip
    return Pool(batch['image'], seen, jax.device_get(similar))


def parts(seen: Seen) -> Section:
    """A row a part: where it is surest, over many pictures."""
    score, xy = best_peaks(seen.keypoints, seen.trained.method.num_labels)
    sure = np.sort(score, axis=0)[::-1][: max(len(score) // 4, 1)].mean(axis=0)
    chosen = np.argsort(-sure, kind='stable')[:_PARTS]
    side = max(max(seen.images.shape[1:3]) // 4, 8)
    rows = []
    for part in chosen:
        first = np.argsort(-score[:, part], kind='stable')[:_PATCHES]
        figures = [picture(patch(seen.images[i], xy[i, part], side),
                           f'{score[i, part]:.2f}', width=80) for i in first]  # fmt: skip
        rows.append(Row(figures, f'part {part}'))
    note = (
        f'The {len(rows)} surest of {score.shape[1]} parts: a quarter of each test '
        'picture around the place where the part is surest, with its probability.'
    )
    return Section('Parts', 'parts', note, rows=rows, compact=True)


def pictures(seen: Seen) -> Section:
    """The surest parts on test pictures, one place each."""
    score, xy = best_peaks(seen.keypoints, seen.trained.method.num_labels)
    chosen = np.argsort(-score.mean(axis=0), kind='stable')[:_SHOWN]
    figures = []
    for i in range(min(_PICTURES, len(seen.images))):
        points = Keypoints(
            xy[i, chosen], score[i, chosen], chosen, score[i, chosen] > 0
        )
        figures.append(
            picture(overlay(seen.images[i], points), seen.names[i], width=240)
        )
    note = f'The {len(chosen)} parts that are surest on average, where each is surest.'
    return Section('Parts on pictures', 'on_pictures', note, rows=[Row(figures)])


def best_peaks(keypoints: Keypoints, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """The highest peak of each part: scores `[N, parts]` and pixels `[N, parts, 2]`."""
    found = metrics.group_candidates(keypoints, num_labels)
    return found.score[..., 0], found.xy[..., 0, :]


def pools(pool: Pool) -> Section:
    """Queries and the pictures of least divergence to them (figure 5)."""
    rows = []
    for query in _queries(pool):
        figures = [picture(pool.images[query], 'query', width=_WIDTH)]
        for other, distance in _neighbours(pool, query, _NEIGHBOURS):
            caption = f'divergence {distance:.3f}'
            figures.append(picture(pool.images[other], caption, width=_WIDTH))
        rows.append(Row(figures))
    note = (
        f'Pictures most alike by their part maps, among the first {len(pool.images)} of '
        'the training pictures only; in nats, at most 0.69.'
    )
    return Section('Pools', 'pools', note, rows=rows)


def agreement(method: FeatureAlignment, pool: Pool) -> Section:
    """Like cells, part maps on the query's canvas, and what they agree on."""
    rows = [row for query in _queries(pool) for row in _aligned(method, pool, query)]
    note = (
        'A query, its labels from all its neighbours (pseudo ground truth; the '
        'background is left as it is), then for its nearest neighbours: cells that the '
        'transform takes to like ones, in one colour in both pictures, and the part '
        'maps, moved onto the canvas of the query.'
    )
    return Section('Agreement', 'agreement', note, rows=rows, compact=True)


def _aligned(method, pool, query):
    near = _neighbours(pool, query, method.neighbours)
    if not near:
        return
    others = np.array([other for other, _ in near])
    # Compiled once for all queries: by single operations it takes seconds.
    align = jax.jit(aligning.align, static_argnums=0)
    own = jax.tree.map(lambda leaf: leaf[query], pool.seen)
    around = jax.tree.map(lambda leaf: leaf[others], pool.seen)
    found = align(method, jax.random.key(int(query)), own, around)
    there = jnp.ones(len(others), bool)
    labels = aligning.agree(method, found.maps, found.covers, there, own.valid)
    image, size = pool.images[query], own.valid.shape
    tinted = _tinted(image, labels, method.num_keypoints)
    figures = [picture(image, 'query', width=_WIDTH),
               picture(tinted, 'labels', width=_WIDTH)]  # fmt: skip
    for j in range(min(_ALIGNED, len(others))):
        first = method.features.first
        figures += _pair(pool, query, others[j], j, found, size, first)
    yield Row(figures)


def _pair(pool, query, other, j, found, size, first) -> list[Figure]:
    """Cells with partners in both pictures, and the moved maps over the query."""
    agreed = np.flatnonzero(np.asarray(found.transforms.partners[j]) > _PARTNERED)
    kept = np.array(spread(agreed.tolist(), 12), int)
    cells = jnp.asarray(np.stack([kept % size[1], kept // size[1]], -1), jnp.float32)
    there, _ = alignment.project(found.transforms.matrix[j], cells)
    stride = pool.images.shape[1] / size[0]
    figures = []
    for place, image, name in (
        (there, pool.images[query], f'{len(agreed)} cells alike'),
        (cells, pool.images[other], 'neighbour'),
    ):
        xy = np.asarray(coordinates.cell_to_pixel(place, stride, first))
        numbers = np.arange(len(kept))
        points = Keypoints(xy, np.ones(len(kept)), numbers, np.ones(len(kept), bool))
        figures.append(picture(overlay(image, points), name, width=_WIDTH))
    moved = found.maps[j].argmax(axis=-1)
    tinted = _tinted(pool.images[query], moved, found.maps.shape[-1] - 1)
    return [*figures, picture(tinted, 'its maps here', width=_WIDTH)]


def _tinted(image, labels, ground):
    """Cells in the colours of their parts, those of the ground as they are."""
    labels = np.asarray(labels)
    (height, width), (h, w) = image.shape[:2], labels.shape
    y, x = np.arange(height) * h // height, np.arange(width) * w // width
    owner = np.where(labels < ground, labels, -1)[y[:, None], x[None]]
    return drawing.draw_instances(image, owner, np.arange(ground))


def _queries(pool):
    return spread(list(range(len(pool.images))), _QUERIES)


def _neighbours(pool, query, count):
    """(picture, divergence) of the nearest there are."""
    pairs = zip(pool.similar.indices[query], pool.similar.distances[query], strict=True)
    return [(int(i), float(d)) for i, d in pairs if i >= 0][:count]
