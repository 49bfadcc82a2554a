"""How TUSK learns: one step of the networks, then several of the prototypes.

`init` and `step` are the phase's, bound to a `Tusk` (its options and forward pass) and
the optax transformations by parameter group.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery import losses
from kpdiscovery.methods import reconstruction
from kpdiscovery.methods.learning import descend, parameters, start
from kpdiscovery.methods.tusk import network
from kpdiscovery.methods.tusk.prototypes import remember
from kpdiscovery.methods.views import follow, resized, to_first
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops import parallel, vectors, whitening
from kpdiscovery.ops.reductions import mean_where
from kpdiscovery.types import Batch, State

_LIFTED = 0.5  # Share of the exploration in which confidences are lifted.
_FRESH = 0.2  # Share of a batch in the running moments.
_COMMITMENT = 0.25  # Of vector quantisation; [oord2017].
_SHARP = 0.1  # Temperature of the cosines whose mutual information is learnt.
_GROUPS = {'network': ('encoder', 'decoder'), 'prototypes': ('prototypes',)}


def init(tusk, update, key: jax.Array, batch: Batch, before: State | None) -> State:
    """Fresh networks and prototypes; there is no phase before."""
    del before
    keys = jax.random.split(key, 4)
    images = tusk.fit(image_ops.as_float(batch['image'][:1]))
    dense = jnp.zeros((*images.shape[:3], tusk.channels))
    variables = {
        'encoder': tusk.encoder.init(keys[0], images)['params'],
        'decoder': tusk.decoder.init(keys[1], dense)['params'],
        'prototypes': jax.random.normal(keys[2], (tusk.num_prototypes, tusk.channels)),
    }
    if tusk.whiten:
        mean, covariance = jnp.zeros(tusk.channels), jnp.eye(tusk.channels)
        variables['moments'] = {'mean': mean, 'covariance': covariance}
    if tusk.memory:
        recent = jax.random.normal(keys[3], (tusk.memory, tusk.channels))
        variables['recent'] = vectors.normalize(recent)
    variables |= reconstruction.networks(tusk)
    return start(variables, update, _GROUPS)


def step(tusk, update, steps: int, state: State, batch: Batch, labels, key: jax.Array):
    """One network step, then the prototype steps on its own descriptors ([jin2022], 3.3)."""
    del labels
    view_key, cluster_key = jax.random.split(key)
    keys = jax.vmap(jax.random.split)(parallel.example_keys(view_key, batch['index']))
    images, warp = views(tusk, keys[:, 0], batch)
    done = state.step / steps
    exploration = explore(tusk, keys[:, 1], images, done)
    groups = {'network': _GROUPS['network']} if tusk.alternates else _GROUPS
    objective = functools.partial(
        loss, tusk, images, warp, exploration, done, cluster_key
    )
    state, terms = descend(objective, update, state, groups, axis_name=tusk.axis_name)
    descriptors = terms.pop('descriptors')
    if tusk.alternates and tusk.prototype_steps:
        variables, opt = dict(state.variables), dict(state.opt)
        if tusk.encodes_again:
            *_, found, _ = _looked_at(tusk, variables, images, exploration)
            descriptors = found.descriptors
        _step_prototypes(tusk, update, variables, opt, descriptors, terms, cluster_key)
        state = State(state.step, variables, opt)
    return state, parallel.mean(terms, tusk.axis_name)


def views(tusk, keys: jax.Array, batch: Batch):
    """Images `[B V, H, W, 3]` of one step, V views each side by side, and the warp
    between the two, both of the inner resolution.

    Warped before they are resized: a warp of small pictures blurs them, and views would
    never be as sharp as the pictures of a prediction.
    """
    images: jax.Array = image_ops.as_float(batch['image'])
    if tusk.views is None:
        return tusk.fit(images), None
    pair = tusk.views.pair(keys, images)
    # Views of one example side by side: the rows of each device stay on it.
    both = jnp.stack([pair.first, pair.second], axis=1)
    both = tusk.fit(both.reshape(-1, *images.shape[1:]))
    return both, resized(pair.warp, images.shape[1:3], both.shape[1:3])


def loss(tusk, images, warp, exploration, done, key, variables):
    """Scalar; beside it its named terms, the descriptors `[B V, K, D]` among them, and
    the moments that follow those of this batch, where descriptors are whitened.

    `done` is the share of the phase that is behind.
    """
    scores, features, found, moments = _looked_at(tusk, variables, images, exploration)
    unit = vectors.normalize(variables['prototypes'])
    terms, strength = _clustering_terms(
        tusk, variables, found.descriptors, unit, done, key
    )
    descriptors = found.descriptors  # Prototypes follow these, not what is decoded.
    found = tusk.drawn(variables, found)
    picture, alphas = tusk.decode(variables, found, images.shape[1:3], found.peak)
    error = reconstruction.loss(tusk, variables, picture, images)
    terms['reconstruction'] = error.mean()
    strength['reconstruction'] = tusk.reconstruction_weight
    if tusk.alpha:
        terms['claim'] = jnp.sum(alphas**2, axis=1).mean()
        strength['claim'] = jnp.where(done >= tusk.claim_start, tusk.claim_weight, 0)
    if warp is not None:
        terms |= _equivariance(tusk, scores, features, warp)
        terms |= _agreement(tusk, found, descriptors, unit, warp)
        strength |= {'heat_equivariance': tusk.heat_weight,
                     'feature_equivariance': tusk.feature_weight}  # fmt: skip
    total = sum(weight * terms[name] for name, weight in strength.items())
    terms |= {'loss': total, 'peaks': found.peak.mean()}
    terms['confidence'] = mean_where(found.confidence, found.peak)
    fresh = {}
    if moments is not None:
        fresh['moments'] = _track(variables['moments'], moments._asdict())
    return total, ({**terms, 'descriptors': descriptors}, fresh)


def _looked_at(tusk, variables, images, exploration):
    """Scores, features, the keypoints of training, and the moments of this batch."""
    scores, features = tusk.encode(variables, images)
    found = _peaks_only(_explored(tusk, scores, features, exploration))
    moments = _moments(tusk, found.descriptors)
    return scores, features, network.on_sphere(found, moments), moments


def _peaks_only(found):
    """What fills up a map of fewer peaks than keypoints is not drawn, and its descriptor
    is that of the picture's best point."""
    confidence = jnp.where(found.peak, found.confidence, 0)
    best = found.descriptors[:, :1]
    descriptors = jnp.where(found.peak[..., None], found.descriptors, best)
    return found._replace(confidence=confidence, descriptors=descriptors)


def _moments(tusk, read):
    """Of the features at this batch's keypoints."""
    if not tusk.whiten:
        return None
    return whitening.moments(read.reshape(-1, tusk.channels), axis_name=tusk.axis_name)


def _track(kept, fresh):
    """Moments for prediction: a running mean of the batches'.

    What is whitened away is free to drift, and drifts while the learning rate is high:
    the mean is short, and exact only at the end of a schedule that decays to zero.
    """
    return jax.tree.map(lambda old, new: old + _FRESH * (new - old), kept, fresh)


def _clustering_terms(tusk, variables, descriptors, unit, done, key):
    """What pulls descriptors and prototypes together inside the network's own loss."""
    weight = jnp.where(done >= tusk.cluster_start, tusk.cluster_weight, 0)
    if tusk.clustering == 'information':  # Its term needs both views: `_agreement`.
        return {}, {'information': weight}
    cluster = losses.prototype_assignment(
        descriptors, unit, form=tusk.assignment
    ).mean()
    terms = {'cluster': cluster}
    strength: dict[str, Any] = {'cluster': weight}
    if tusk.clustering == 'vector_quantization':
        fixed = jax.lax.stop_gradient(unit)
        terms['commitment'] = losses.nearest_prototype(descriptors, fixed).mean()
        strength = {'commitment': _COMMITMENT}
    if not tusk.alternate:
        cloud = parallel.gather_rows(
            descriptors.reshape(-1, tusk.channels), tusk.axis_name
        )
        terms['prototypes'] = tusk.cluster_updates.loss(
            key, variables['prototypes'], cloud
        )
        strength['prototypes'] = 1.0
    return terms, strength


def _agreement(tusk, found, descriptors, unit, warp):
    """Keypoints `[B V, K]` of second views with the nearest ones of the first, of those
    that are near: `agreement`, the share of equal prototypes, and the loss of
    `clustering='information'`."""
    pair = lambda leaf: leaf.reshape(-1, 2, *leaf.shape[1:])
    xy, peak = pair(jax.lax.stop_gradient(found.xy)), pair(found.peak)
    descriptors = pair(descriptors)
    apart = jnp.linalg.norm(
        xy[:, 0, :, None] - to_first(warp, xy[:, 1])[:, None], axis=-1
    )
    # What only fills up a map lies in the same pixels of both.
    apart = jnp.where(peak[:, 0, :, None] & peak[:, 1, None], apart, jnp.inf)
    near = apart.min(axis=1) <= tusk.window / 4
    partner = jnp.take_along_axis(
        descriptors[:, 0], apart.argmin(axis=1)[..., None], axis=1
    )
    both = [d.reshape(-1, d.shape[-1]) for d in (partner, descriptors[:, 1])]
    cosines = [jnp.einsum('nd,md->nm', d, unit, precision='highest') for d in both]
    one, two = (c.argmax(axis=-1) for c in cosines)
    alike, near = (one == two).astype(jnp.float32), near.reshape(-1)
    terms = {'agreement': mean_where(alike, near, axis_name=tusk.axis_name)}
    if tusk.clustering == 'information':
        here, there = (jax.nn.softmax(c / _SHARP, axis=-1) for c in cosines)
        terms['information'] = losses.mutual_information(
            here, there, near, axis_name=tusk.axis_name
        )
        every = parallel.gather_rows(two, tusk.axis_name)
        terms['live'] = _live(every, tusk.num_prototypes)
    return terms


def _step_prototypes(tusk, update, variables, opt, descriptors, terms, key):
    """Renews prototypes, their optimiser state and the memory in the given dicts."""
    cloud = jax.lax.stop_gradient(descriptors).reshape(-1, tusk.channels)
    cloud = parallel.gather_rows(cloud, tusk.axis_name)
    if tusk.memory:
        cloud = remember(variables['recent'], cloud)
        variables['recent'] = cloud[: tusk.memory]
    fresh, opt['prototypes'], terms['prototypes'] = tusk.cluster_updates.steps(
        key,
        parameters(variables, _GROUPS['prototypes']),
        opt['prototypes'],
        cloud,
        count=tusk.prototype_steps,
        update=update['prototypes'].update,
    )
    variables |= fresh
    unit = vectors.normalize(variables['prototypes'])
    nearest = vectors.squared_distances(cloud, unit).argmin(-1)
    terms['live'] = _live(nearest, tusk.num_prototypes)


def _live(nearest, count):
    """Prototypes that are the nearest of some descriptor."""
    return jax.nn.one_hot(nearest, count).max(axis=0).sum()


class Exploration(NamedTuple):
    """What helps points to spread while the scores are young; fades with training."""

    bonus: jax.Array  # [B V, H, W], added where peaks are chosen and nowhere else.
    lift: jax.Array  # Scalar in [0, 1]: how far confidences are raised towards 1.


def explore(tusk, keys: jax.Array, images: jax.Array, done) -> Exploration | None:
    """A lottery in which every unusual spot of a picture may become a keypoint.

    Only chosen points get gradients, and those in proportion to their confidence. So a
    kind of object whose first scores happen to lie below the ground's is never chosen,
    or chosen without effect, and never found: one colour of Tetrominoes, say. Here
    noise on unusual pixels chooses, and what it chooses counts in full. Later it still
    chooses but counts by its confidence, which so learns to rank every kind before the
    lottery ends.
    """
    if not tusk.exploration:
        return None
    h, w = images.shape[1:3]
    draw = lambda key: jax.random.uniform(key, (len(images) // len(keys), h, w))
    noise = jax.vmap(draw)(keys).reshape(images.shape[:3])
    weight, lift = (
        jnp.maximum(0, 1 - done / share)
        for share in (tusk.exploration, _LIFTED * tusk.exploration)
    )
    return Exploration(weight * noise * network.saliency(images), lift)


def _explored(tusk, scores, features, exploration):
    if exploration is None:
        return tusk.find(scores, features, tusk.num_keypoints)
    found = tusk.find(scores, features, tusk.num_keypoints, exploration.bonus)
    lifted = found.confidence + exploration.lift * (1 - found.confidence)
    return found._replace(confidence=lifted)


def _equivariance(tusk, scores, features, warp):
    """Scores and raw features of one view, warped, against those of the other."""
    maps = jnp.concatenate([scores[..., None], features], axis=-1)
    maps = maps.reshape(-1, 2, *maps.shape[1:])
    first, second = maps[:, 0], maps[:, 1]
    moved, _ = follow(warp, first)
    compare = lambda a, b: losses.equivariance(a, b).mean()
    return {
        'heat_equivariance': compare(moved[..., :1], second[..., :1]),
        'feature_equivariance': compare(moved[..., 1:], second[..., 1:]),
    }
