"""A network taught by annotated points alone, to set beside `kpd fit`.

    python scripts/supervised_points.py --config=self_training/faces:cpu --data=FACES
      --pictures=10 [--seed=0] [--steps=N] [--measure=test] [--config.KEY=VALUE]

Stage 2 of self-training as its config has it (network, views, targets, loss, places read between
cells), but from fresh weights and with annotated points in place of found ones: those of the
pictures that `kpd fit --pictures=N --seed=S` draws. Points that are not visible are neither
learnt nor measured. Pictures are mirrored where the set of `data.landmarks` says which point
becomes which.

Errors are in pixels of the pictures' own size, as `kpd fit --measure` tells them, in % of the
set's lengths (nme, what the forward error of landmarks is compared with), and shares in %:
pck of each point at its own place, greedy_pck of points at any annotated one. Below them are
the same figures of the mean place of each point in the pictures learnt from. Settings are
chosen on training pictures left out: --measure=validation
--config.data.options.holdout_validation=True.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from kpdiscovery import cli, config, fit, inference, methods, metrics
from kpdiscovery.data import feeds, resize, subset
from kpdiscovery.methods.self_training import SelfTraining, network
from kpdiscovery.ops import coordinates
from kpdiscovery.ops.keypoints import labelled
from kpdiscovery.training import loop
from kpdiscovery.types import Prediction, Source, Split, UserError


def main(argv: Sequence[str]) -> int:
    parser = cli.Parser('supervised_points.py', description=__doc__)
    parser.add_argument('--config', required=True, help='self_training/DATA:VARIANT')
    parser.add_argument('--data', required=True, help='a folder with annotated points')
    parser.add_argument('--pictures', type=int, help='so many, at random; else all')
    parser.add_argument('--seed', type=int, default=0, help='of pictures and weights')
    parser.add_argument('--steps', type=int, help="else the config's of stage 2")
    parser.add_argument('--measure', default='test', metavar='SPLIT')
    args, overrides = parser.parse(argv)
    settings = config.load(args.config, overrides)
    if args.steps:
        settings.phases.landmarks.steps = args.steps
    train = fit.pictures(settings.data, args.data, 'train')
    test = fit.pictures(settings.data, args.data, args.measure)
    metrics.check_landmarks(settings.data.landmarks, train)
    rows = subset.drawn(len(train), args.pictures, args.seed)
    shown, start = points_of(subset.Subset(train, rows)), time.monotonic()
    trained = teach(settings, shown, args.seed)
    print(
        f'{len(rows)} pictures, {settings.phases.landmarks.steps} steps of '
        f'{settings.data.batch_size}, seed {args.seed}: {time.monotonic() - start:.0f} s'
    )
    split = inference.predict_rows(
        trained, test, len(test), batch_size=settings.evaluation.batch_size
    )
    print(f'{args.measure}, {len(test)} pictures: {_told(figures(split))}')
    print(f'mean place: {_told(figures(at_mean_place(split, shown)))}')
    return 0


def points_of(source: Source) -> dict[str, np.ndarray]:
    """All rows: `image` `[N, H, W, 3]`, `keypoints` `[N, T, 2]`, `visible` `[N, T]`."""
    rows = [source[row] for row in range(len(source))]
    names = ('image', 'keypoints', 'visible')
    return {name: np.stack([row[name] for row in rows]) for name in names}


def teach(settings: Any, shown: Mapping[str, np.ndarray], seed: int):
    """Stage 2 of a config trained on the points of pictures (`points_of`).

    Returns:
        `inference.Trained`, whose keypoint t is annotated point t.

    Raises:
        UserError: the config is of another method or chapter.
    """
    method, mirror = _method(settings, shown['visible'].shape[1])
    rates = settings.phases.landmarks.optimizer
    rates.trunk = rates.head  # A trunk of stage 1 may learn slower; this one is fresh.
    phase = method.phases(settings.to_dict())[-1]
    # Keys of views are a row's: pictures fewer than a batch are in the table often enough.
    count, batch_size = len(shown['image']), settings.data.batch_size
    rows = np.tile(np.arange(count), -(-batch_size // count))
    labels = label_table(shown['keypoints'][rows], shown['visible'][rows])
    order = feeds.shuffled(len(rows), batch_size, seed)
    batch_of = lambda index: {'image': shown['image'][rows[index]], 'index': index}
    start = jax.jit(phase.init, static_argnums=2)
    state = start(loop.phase_key(seed, 0, 0), batch_of(order(0)), None)
    clusters = {**state.variables['clusters'], 'flip': mirror}
    state = state.replace(variables={**state.variables, 'clusters': clusters})
    step, key = jax.jit(phase.step, donate_argnums=0), loop.phase_key(seed, 0, 1)
    for number in tqdm.trange(phase.steps, disable=None):
        now = jax.random.fold_in(key, number)
        state, _ = step(state, batch_of(order(number)), labels, now)
    jax.block_until_ready(state)
    return inference.Trained(method, state.variables, settings, {})


def label_table(xy: np.ndarray, visible: np.ndarray) -> dict[str, jax.Array]:
    """Pixels `[N, T, 2]` as stage 2 reads its labels: point t is landmark t, unless it is
    not `visible` `[N, T]`."""
    return {
        'xy': coordinates.pixel_to_cell(jnp.asarray(xy), network.STRIDE),
        'score': jnp.ones(visible.shape),
        'landmark': jnp.where(visible, jnp.arange(visible.shape[1])[None], -1),
    }


def figures(split: Split) -> dict[str, float]:
    """What is told of predictions whose keypoint t is annotated point t."""
    truth, xy = split.truth, np.asarray(split.prediction.keypoints.xy)
    frame = resize.Frame.from_vector(truth['frame'][:, None])
    ours, theirs = (resize.to_original(frame, p) for p in (xy, truth['keypoints']))
    pixels = np.linalg.norm(ours - theirs, axis=-1)[truth['visible']]
    found = {'mean px': pixels.mean(), 'median px': np.median(pixels)}
    if split.landmarks:
        found |= _by_set(metrics.landmark_set(split.landmarks), truth, xy)
    greedy, _ = metrics.evaluate(('greedy_pck',), None, split)
    return found | {n: greedy[n] for n in ('greedy_pck@0.1', 'greedy_pck@0.05')}


def at_mean_place(split: Split, shown: Mapping[str, np.ndarray]) -> Split:
    """The split with every point at its mean in other pictures (`points_of`)."""
    visible = shown['visible'][..., None]
    total = np.where(visible, shown['keypoints'], 0).sum(axis=0)
    mean = total / np.maximum(visible.sum(axis=0), 1)
    xy = np.broadcast_to(mean, split.truth['keypoints'].shape)
    return split._replace(prediction=Prediction(labelled(jnp.asarray(xy))))


def _method(settings, count: int) -> tuple[SelfTraining, jax.Array]:
    """Self-training of so many landmarks, and what each is in a mirrored picture."""
    method = methods.build(settings.method)
    if not isinstance(method, SelfTraining) or method.chapter != 6:
        raise UserError('wanted a config of self_training, chapter 6')
    name, mirror = settings.data.landmarks, np.arange(count)
    pairs = metrics.landmark_set(name).pairs if name else ()
    for one, two in pairs:
        mirror[[one, two]] = two, one
    flips = {n: bool(pairs) and getattr(method, n) for n in ('flip_train', 'flip_test')}
    method = dataclasses.replace(method, num_keypoints=count, num_points=count, **flips)
    return method, jnp.asarray(mirror, jnp.int32)


def _by_set(known: metrics.LandmarkSet, truth, xy) -> dict[str, float]:
    """Errors in % of the set's lengths, and the share of points within its reach."""
    found, visible = {}, truth['visible']
    for name, group in known.subsets.items():
        points, seen = group.points(truth['keypoints'], visible)
        length, usable = group.normalizer(
            {**truth, 'keypoints': points, 'visible': seen}
        )
        errors = metrics.normalized_errors(
            group.points(xy, visible)[0], points, length, seen & usable[:, None]
        )
        found[f'nme_{name}'] = np.nanmean(errors)
    length, usable = known.torso(truth)
    seen = visible & usable[:, None]
    hits = metrics.pck(xy, truth['keypoints'], length, None, seen, alpha=known.alpha)
    return {**found, f'pck@{known.alpha}': hits.mean}


def _told(found: Mapping[str, float]) -> str:
    return ', '.join(f'{name} {value:.2f}' for name, value in found.items())


if __name__ == '__main__':
    sys.exit(cli.run(main))
