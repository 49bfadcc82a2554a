"""The sections every method's report has."""

from __future__ import annotations

import json
import os

import jax
import numpy as np

from kpdiscovery.metrics.objects.descriptors import objects_of
from kpdiscovery.reporting import drawing, figures, logs, measured
from kpdiscovery.reporting.page import Figure, Row, Section, Table, picture
from kpdiscovery.reporting.seen import SHARP, Seen, beside_truth, row_of
from kpdiscovery.training import runs

_SHOWN = 24  # Pictures.
_BESIDE = 240  # CSS pixels of a picture.
_VIEWS = ('reconstruction', 'instances', 'mask')
_POINTS = 400  # In the scatter plot.


def summary(seen: Seen, workdir: str | os.PathLike) -> Section:
    """What was trained, how long, and the figures if there are any."""
    metrics = logs.read_metrics(workdir)
    facts = Table(
        [(name, str(value)) for name, value in _facts(seen, workdir, metrics)]
    )
    if metrics is None:
        note = f'Not evaluated yet: kpd evaluate --workdir={workdir}'
        return Section('Summary', 'summary', note, [facts])
    pictures = f'{metrics.get("pictures", "?")} {metrics.get("split", "")} pictures'
    others = ['the same network before training'] * bool(metrics.get('untrained'))
    others += [name.replace('_', ' ') for name in metrics.get('baselines', {})]
    others += ['the generic keypoints it began with'] * bool(metrics.get('generic'))
    beside = f', beside those of {" and of ".join(others)}' if others else ''
    note = f'Figures on {pictures}{beside}.'
    if older := measured.apart(metrics, seen.trained.config, seen.trained.meta):
        note += f' They were measured {older}: kpd evaluate --workdir={workdir}'
    return Section('Summary', 'summary', note, [facts, *_figures(metrics)])


def views(seen: Seen) -> list[Section]:
    """Keypoints, reconstruction and instances or mask, side by side, where there are."""
    prediction = seen.found.prediction
    if all(getattr(prediction, name) is None for name in _VIEWS):
        return []
    count = min(_SHOWN, len(seen.images))
    rows = [Row(list(_views(seen, i)), seen.names[i]) for i in range(count)]
    note = (
        f'{count} pictures of split {seen.split}, and what the model makes of them. '
        'Instances are tinted the more, the surer their keypoint owns the pixel.'
    )
    return [Section('Views', 'views', note, rows=rows, compact=True)]


def descriptors(seen: Seen, anchors: np.ndarray) -> Section:
    """Descriptors of the keypoints on a plane, with the point each label stands for.

    Args:
        anchors: `[labels, D]`, unit length.
    """
    valid = seen.keypoints.valid
    points = np.asarray(seen.found.prediction.descriptors)[valid][:_POINTS]
    labels = seen.keypoints.label[valid][:_POINTS]
    flat, how = figures.embed(np.concatenate([points, anchors]))
    xy, places = flat[: len(points)], flat[len(points) :]
    note = (
        f'{how} of {len(points)} descriptors (dots) and {len(anchors)} prototypes: '
        'stars where a keypoint here is nearest to them, crosses where none is.'
    )
    rows = [Row([Figure(figures.scatter(xy, labels, places), width=1000)])]
    rows += [
        Row([Figure(figures.scatter(xy[on], value[on], places[:0]), width=1000)], title)
        for title, on, value in _true_kinds(seen, valid)
    ]
    return Section('Descriptors', 'descriptors', note, rows=rows)


def _true_kinds(seen, valid):
    """The same points coloured by what they truly stand on: which, and its number."""
    truth = seen.found.truth
    if not {'boxes', 'boxes_valid', 'attributes'} <= set(truth):
        return
    owner = objects_of(seen.found)
    there = owner[valid][:_POINTS] >= 0
    for name, values in truth['attributes'].items():
        value = np.take_along_axis(np.asarray(values), np.maximum(owner, 0), axis=1)
        yield f'by the true {name} of the object', there, value[valid][:_POINTS]


def curves(workdir: str | os.PathLike) -> Section:
    """Every logged scalar over the steps."""
    rows = [
        Row([_curve(name, steps) for name, steps in scalars.items()], phase)
        for phase, scalars in logs.read_curves(workdir).items()
    ]
    note = '' if rows else 'Nothing was logged.'
    return Section('Curves', 'curves', note, rows=rows)


def config(seen: Seen) -> Section:
    """The config as text."""
    text = json.dumps(seen.trained.config.to_dict(), indent=2)
    return Section('Config', 'config', text=text)


def _facts(seen, workdir, metrics):
    settings, meta = seen.trained.config, seen.trained.meta
    yield 'method', settings.method.name
    yield 'data', settings.data.source
    state = runs.unfinished(meta)
    yield 'steps', state or f'{meta["step"]} of phase {meta["phase"]}'
    yield 'training', f'{meta["seconds"]:.0f} s on {meta["device"]}'
    yield 'seed', settings.seed
    recorded = {'device': 'device', 'version': 'kpdiscovery', 'commit': 'commit'}
    for key, name in recorded.items():
        if metrics and metrics.get(key):
            yield name, metrics[key]
    if not metrics:
        yield 'device', f'{jax.devices()[0].device_kind} (of this report)'
    yield 'pictures below', f'{len(seen.images)}, split {seen.split}'
    yield 'workdir', workdir


def _figures(metrics):
    """Tables of what was measured and of what was not."""
    columns = logs.columns(metrics)
    rows = [
        (name, *(_number(figures.get(name)) for figures in columns.values()))
        for name in columns['trained']
    ]
    if rows:
        yield Table(rows, ('', *columns))
    if metrics.get('warning'):
        yield Table([('warning', metrics['warning'])], ('', ''))
    if metrics.get('skipped'):
        yield Table(list(metrics['skipped'].items()), ('skipped', 'because'))


def _number(value):
    return '–' if value is None else f'{value:.3f}'


def _views(seen, index):
    prediction, image = seen.found.prediction, seen.images[index]
    rings = beside_truth(seen, index, numbered=True)
    yield picture(rings, 'keypoints', width=_BESIDE)
    if prediction.reconstruction is not None:
        built = prediction.reconstruction[index]
        yield picture(built, 'reconstruction', width=_BESIDE)
    if prediction.instances is not None:
        regions = _regions(image, row_of(prediction, index))
        yield picture(regions, 'instances', width=_BESIDE)
    elif prediction.mask is not None:
        yield picture(prediction.mask[index], 'mask', width=_BESIDE)


def _regions(image, prediction):
    sure = np.ones(image.shape[:2])
    if prediction.alphas is not None:
        sure = drawing.certainty(prediction.alphas)
    scale = drawing.zoom(image.shape, SHARP)
    layers = (image, prediction.instances, 0.6 * sure)
    large, owner, opacity = (drawing.enlarge(layer, scale) for layer in layers)
    return drawing.draw_instances(
        large, owner, prediction.keypoints.label, opacity=opacity
    )


def _curve(name, steps):
    values = np.array(list(steps.values()), np.float64)
    return Figure(figures.curve(np.array(list(steps)), values), name, 240)
