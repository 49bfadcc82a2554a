"""How the nets learn: triplets of a batch, and maps a frozen net approves of."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery import losses
from kpdiscovery.methods.classification import check_labels, learn_classes
from kpdiscovery.methods.learning import descend
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.reductions import mean_where
from kpdiscovery.types import Batch, State


def step_classify(method, update, state: State, batch: Batch, labels, key):
    """One step of the classifier on random crops."""
    del labels
    images, label = _view(method, batch, key)
    counts = _counts(method, batch)
    return learn_classes(
        method.network, method.classifier, update, state, images, label, counts
    )


def step_embed(method, update, state: State, batch: Batch, labels, key):
    """One step of the embedding, on triplets of the batch."""
    del labels
    images, _ = _view(method, batch, key)
    chosen = _drawn(method, batch, key)
    train = not method.network.frozen_statistics

    def loss(variables):
        out, fresh = method.embedding.apply(
            variables['embedding'], images, train=train, mutable=['batch_stats']
        )
        value = _triplets(out.logits, chosen, method)
        scalars = {'loss': value, 'triplets': chosen[2].sum()}
        return value, (scalars, {'embedding': fresh})

    return descend(loss, update, state)


def step_localize(method, update, state: State, batch: Batch, labels, key):
    """One step of the map's net; what judges it stays as it is."""
    del labels
    images, label = _view(method, batch, key)
    counts = _counts(method, batch)
    judge = functools.partial(method.judge, state.variables)

    def loss(variables):
        maps, fresh = method.mapper.apply(
            variables['map'], images, train=True, mutable=['batch_stats']
        )
        if method.guide == 'classifier':
            terms = _keep_class(method, judge, images, maps, label, counts)
        else:
            chosen = _drawn(method, batch, key)
            terms = _keep_apart(method, judge, images, maps, chosen, counts)
        return terms['loss'], ({**terms, 'area': maps.mean()}, {'map': fresh})

    return descend(loss, update, state)


def cover(method, images: jax.Array, maps: jax.Array) -> jax.Array:
    """Pictures `[B, H, W, 3]` times maps `[B, H, W]`, zero being the colour that is 0 to
    the judge (or black, with `masking='raw'`)."""
    mean = method.network.build().mean
    zero = mean if method.masking == 'normalized' else (0.0, 0.0, 0.0)
    ground = jnp.array(zero, images.dtype).reshape(1, 1, 1, 3)
    return ground + (images - ground) * maps[..., None]


def pick_triplets(
    key: jax.Array, label: jax.Array, index: jax.Array, counts: jax.Array
):
    """A positive and a negative row for each row of a batch.

    Args:
        label: `[B]`.
        index: `[B]` which picture each is: one may fill a small class several times.
        counts: bool `[B]`, rows that may take part.

    Returns:
        Rows `[B]` of the same class, rows `[B]` of another, each drawn evenly, and
        which anchors have both: a class with a single picture in the batch has none.
    """
    b = len(label)
    same = label[:, None] == label[None]
    usable = counts[None] & (index[:, None] != index[None])
    luck = jax.random.uniform(key, (2, b, b))
    options = jnp.stack([same & usable, ~same & usable])
    rows = jnp.where(options, luck, -1).argmax(axis=-1)
    return rows[0], rows[1], options.any(axis=-1).all(axis=0) & counts


def _drawn(method, batch, key):
    """The triplets of a batch."""
    key, label = jax.random.fold_in(key, 1), batch['label']
    return pick_triplets(key, label, batch['index'], _counts(method, batch))


def _keep_class(method, judge, images, maps, label, counts):
    """Method I: the class of the covered picture is that of the whole one."""
    logits = judge(cover(method, images, maps))
    target = jax.nn.softmax(jax.lax.stop_gradient(judge(images)))
    if method.target == 'label':
        target = jax.nn.one_hot(label, method.num_classes)
    each = losses.weight_map(logits, target, maps, regularizer=method.regularizer)
    kept = logits.argmax(axis=-1) == target.argmax(axis=-1)
    return {'loss': mean_where(each, counts), 'kept': mean_where(kept, counts)}


def _keep_apart(method, judge, images, maps, chosen, counts):
    """Method II: what is shown tells classes apart, and what is hidden does not."""
    whole = jax.lax.stop_gradient(judge(images))
    shown, hidden = (
        judge(cover(method, images, maps)),
        judge(cover(method, images, 1 - maps)),
    )
    terms = {}
    if method.inner:
        inner = losses.triplet(whole, shown, hidden, margin=method.margin)
        terms['inner'] = mean_where(inner, counts)
    if method.outer:
        terms['outer'] = _triplets(shown, chosen, method)
    size = method.regularizer * mean_where(jnp.abs(maps).mean(axis=(1, 2)), counts)
    return {**terms, 'loss': sum(terms.values()) + size}


def _triplets(vectors, chosen, method):
    """Mean loss of the triplets of a batch."""
    positive, negative, counts = chosen
    each = losses.triplet(
        vectors, vectors[positive], vectors[negative], margin=method.margin
    )
    return mean_where(each, counts)


def _view(method, batch, key):
    label = check_labels(batch, method.num_classes)
    images = image_ops.as_float(batch['image'])
    return method.crops.draw(key, images, batch['index']), label


def _counts(method, batch):
    """Rows to learn from: all but those that the stopping score is measured on."""
    return (
        batch['index'] % method.holdout != 0 if method.holdout else batch['index'] >= 0
    )
