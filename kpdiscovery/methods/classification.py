"""What methods that learn from class labels share: their network and its step."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import tree_map_with_path

from kpdiscovery.methods import learning, optimizers
from kpdiscovery.methods.options import check_choices
from kpdiscovery.models import backbones, zoo
from kpdiscovery.models.classifier import Classifier
from kpdiscovery.models.norms import STATISTICS
from kpdiscovery.ops import reductions
from kpdiscovery.types import Batch, Run, State, UserError, WeightFile

_NETS = ('first', 'classifier', 'embedding')  # Those with a backbone, the best first.
_SHAPE = ('backbone', 'width', 'last_stride', 'small_stem')


@dataclasses.dataclass(frozen=True)
class Network:
    """A backbone with batch norm and where its weights come from; a config section."""

    backbone: str = 'resnet50'  # Or resnet18, 34, 101, or efficientnet_lite0.
    width: int = 64  # Of its channels; pretrained weights need 64.
    last_stride: int = 2  # 1: the last stage at twice the resolution.
    small_stem: bool = False  # ResNets for pictures of about 64 pixels.
    weights: str = ''  # A name, a file, or a classifier's workdir; '': random.
    statistics: str = 'all'  # Of batch norm; or each 'chip''s: `norms.ChipNorm`.
    frozen: str = ''  # A stage: what leads to it stays as it is, such as 'stage5'.
    frozen_statistics: bool = False  # Batch norm by the running statistics, always.
    dtype: str = 'float32'  # Of convolutions; parameters and reductions stay float32.

    def __post_init__(self):
        if self.backbone == 'vgg16':  # Without batch norm it hardly learns afresh.
            raise ValueError(
                f'backbone must be a ResNet or efficientnet_lite0, got {self.backbone!r}'
            )
        check_choices(self, statistics=STATISTICS)
        zoo.check_backbone(self.weights, self.backbone)
        self.build()  # Wrong options are told here.

    def build(self) -> backbones.Backbone:
        return backbones.build(
            self.backbone,
            width=self.width,
            last_stride=self.last_stride,
            small_stem=self.small_stem,
            head='relu',
            frozen=self.frozen,
            statistics=self.statistics,
            dtype=jnp.dtype(self.dtype),
        )

    def classifier(self, num_classes: int, **options) -> Classifier:
        """The trunk with a linear layer on what `pooling` makes of its last map.

        Of EfficientNet-Lite0 that is the head, not the last stage: it is what ImageNet's
        classes are linear in, and not negative, which maximum pooling, class activation
        maps and proposals from filters take for granted. Nor is it cut at 6, where maxima
        would tie and have no gradient.

        On a pretrained trunk the linear layer starts at zero: random weights would send
        it large gradients that mean nothing (birds, leaky maxima: 37 % right after 100
        steps, of which zero makes 59 after 75).
        """
        options = {'zero_start': bool(self.weights), **options}
        return Classifier(self.build(), num_classes, **options)

    def weight_file(self, section: str) -> WeightFile:
        """What its weights are, as the config's `method` section of that name."""
        check = functools.partial(backbones.load, backbone=self.build())
        field = f'{section}.weights'
        return WeightFile(field, self.weights, check, of_run=_start_of_run)

    def init(self, key: jax.Array, module: Any, images: jax.Array) -> dict:
        """Variables of a module whose trunk is called `backbone`, with its weights."""
        variables = module.init(key, images)
        if not self.weights:
            return variables
        loaded = backbones.load(self.weights, self.build())
        return {name: {**tree, 'backbone': loaded[name]} if name in loaded else tree
                for name, tree in variables.items()}  # fmt: skip


def classifier_of_run(run: Run) -> tuple[Any, dict[str, Any]]:
    """The backbone of a classifier's run, and its shape (`types.WeightFile`)."""
    for name in _NETS:
        net = run.variables.get(name, {})
        if 'backbone' in net.get('params', {}):
            shape = {field: run.method['network'][field] for field in _SHAPE}
            return {kind: tree['backbone'] for kind, tree in net.items()}, shape
    raise UserError(
        f'a {run.name} run has no classifier; wanted one of lmpnet or weight_map'
    )


def _start_of_run(run: Run) -> tuple[Any, dict[str, Any]]:
    """The same where it is trained further: the last stage's stride is its own."""
    tree, shape = classifier_of_run(run)
    return tree, {name: value for name, value in shape.items() if name != 'last_stride'}


def in_order(names: Iterable[str], sections: Mapping, build: Callable) -> tuple:
    """`build(name, section)` of the phases that a config has, in the order of `names`.

    Configs are sorted by name and remember no order.

    Raises:
        ValueError: a phase of another name.
    """
    names = tuple(names)
    unknown = sorted(set(sections) - set(names))
    if unknown:
        raise ValueError(f'a phase must be one of {names}, got {unknown[0]!r}')
    return tuple(build(name, sections[name]) for name in names if name in sections)


def build_optimizer(section: Mapping, network: Network) -> optax.GradientTransformation:
    """A phase's optimiser; its `trunk` (1) scales the rate of what is pretrained.

    What is frozen of `network` does not decay either.
    """
    options = dict(section['optimizer'])
    factor = options.pop('trunk', 1.0)
    update = optimizers.build(options, section['steps'])
    more = []
    if factor != 1:
        more.append(_masked(optax.scale(factor), lambda path: path[0] == 'backbone'))
    frozen = {('backbone', 'net', name) for name in network.build().frozen_modules}
    if frozen:
        more.append(_masked(optax.set_to_zero(), lambda path: path[:3] in frozen))
    return optax.chain(update, *more) if more else update


def _masked(update, inside):
    """`update` of the parameters whose path, of names, is inside."""
    mask = lambda path, _: inside(tuple(key.key for key in path))
    return optax.masked(update, functools.partial(tree_map_with_path, mask))


def check_labels(batch: Batch, num_classes: int) -> jax.Array:
    """Classes `[B]` of a batch.

    Raises:
        ValueError: the batch has none, or the method does not know how many there are.
    """
    if 'label' not in batch:
        raise ValueError(
            'this method learns from class labels, which the pictures do not have: sort '
            'them into one folder a class, or add `label` to annotations.npz'
        )
    if num_classes < 2:
        raise ValueError(f'method.num_classes must be at least 2, got {num_classes}')
    return batch['label']


def learn_classes(
    network: Network,
    module: Classifier,
    update: learning.Updates,
    state: State,
    images,
    label,
    counts=None,
) -> tuple[State, dict[str, Any]]:
    """One step of cross-entropy on pictures `[B, H, W, 3]` of classes `[B]`.

    `update` {name of the net: its optimiser}. `counts` `[B]` leaves rows out, None:
    none. A class outside 0..classes-1 makes the loss not finite, which ends the training.
    """
    (name,) = update
    train = not network.frozen_statistics
    counts = jnp.ones(label.shape, bool) if counts is None else counts

    def objective(variables):
        out, fresh = module.apply(
            variables[name], images, train=train, mutable=['batch_stats']
        )
        loss = optax.softmax_cross_entropy_with_integer_labels(out.logits, label)
        inside = (label >= 0) & (label < out.logits.shape[-1])
        loss = reductions.mean_where(jnp.where(inside, loss, jnp.nan), counts)
        right = reductions.mean_where(out.logits.argmax(axis=-1) == label, counts)
        return loss, ({'loss': loss, 'accuracy': right}, {name: fresh})

    return learning.descend(objective, update, state)
