"""What the rooms of the library hand to each other; imports nothing of ours.

Pixels: (x right, y down), float32, integers at pixel centres, in the array the points
belong to. Letters in shapes: B batch, H W pixels, K keypoints, N objects or annotated
boxes, T annotated points, C channels, D descriptor.

A *batch* is a dict: always `image` uint8 `[B, H, W, 3]` and `index` int32 `[B]` (the
row in the source); where the source has them `label [B]`, `keypoints [B, T, 2]`,
`visible [B, T]` (of several objects `[B, N, T, ...]`), `boxes [B, N, 4]`,
`boxes_valid [B, N]`, `part_boxes [B, N, 4]` (annotated parts), `part_label [B, N]`
(int32: which part; -1 where there is no box), `mask [B, H, W]` (bool),
`mask_ignored [B, H, W]` (bool: pixels of which nobody says what they are, where the
source has such), `instances [B, H, W]` (object 0..N-1, -1 ground), `attributes` {name:
`[B, N]`, -1 where there is no object}, `pixels_valid [B, H, W]` (padding added by a
resize is False), `frame [B, 6]` (original to fitted pixels: `data.resize.Frame`).

With `data.keypoints` in a config, training batches have the generic keypoints found
beforehand (`data.joined.detections`): `detected [B, P, 2]` pixels, `detected_score [B, P]`
float32 (0: there is none) and, where the detector has them, `detected_descriptors
[B, P, D]` float32 of unit length (zeros where there is no point). Where they are landmarks
of another run: `detected_label` and `detected_mirror [B, P]` int32, what each is, here and in
the mirrored picture, -1 where nobody knows.

With `data.features`, batches have dense features extracted beforehand
(`data.joined.features`): `features` float32, or float16 where the files have that, `[B, h, w,
D]` with h = w, laid on the picture, and `features_valid` bool `[B, h, w]`: False, and
features 0, on padding.

With `data.temporal_gap`, training batches of video frames have a frame further on and
the optical flow to it (`data.joined.temporal`): `later` uint8 `[B, H, W, 3]` and `flow`
float32 `[B, H, W, 2]` (x, y) pixels, from each pixel of `image` to its place there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import flax.struct
import jax

Array = Any  # jax.Array inside jit, numpy.ndarray in sources and metrics.
Tree = Any  # Any pytree of arrays.
Batch = Mapping[str, Any]
Row = dict[str, Any]


class UserError(Exception):
    """A mistake of the user, or of their files: one line naming mistake and mend.

    Commands print it and exit with code 2; library code raises it only where the cause
    is outside the program (files, configs, checkpoints), ValueError elsewhere. It may
    repeat what a file says: line breaks and what a terminal would obey are shown as
    escapes, and the middle of what has no end is left out.
    """

    def __init__(self, line: str):
        if len(line) > 2000:
            line = f'{line[:1500]} [...] {line[-400:]}'
        super().__init__(''.join(c if c.isprintable() else repr(c)[1:-1] for c in line))


@flax.struct.dataclass
class Keypoints:
    """A fixed number K of points an image, `valid` marking the ones that count."""

    xy: Array  # [..., K, 2] float32 pixels.
    score: Array  # [..., K] float32 confidence.
    label: Array  # [..., K] int32: landmark, prototype, part or class; -1 none.
    valid: Array  # [..., K] bool.


@flax.struct.dataclass
class Prediction:
    """What a method says of B images; None where it has nothing to say."""

    keypoints: Keypoints
    mask: Array | None = None  # [B, H, W] float32 in [0, 1].
    boxes: Array | None = None  # [B, N, 4] float32 (x0, y0, x1, y1).
    boxes_valid: Array | None = None  # [B, N] bool.
    class_logits: Array | None = None  # [B, classes] float32.
    instances: Array | None = None  # [B, H, W] int32: keypoint that owns the pixel.
    alphas: Array | None = None  # [B, K, H, W] float32: each keypoint's share.
    descriptors: Array | None = None  # [B, K, D] float32, unit length.
    reconstruction: Array | None = None  # [B, H, W, 3] float32 in [0, 1].
    feature_entropy: Array | None = None  # [B] nats: ops.pooling.sparsity.
    class_maps: Array | None = None  # [B, h, w, classes]: where each class is seen.


@flax.struct.dataclass
class State:
    """All that training changes; `variables` alone is enough for prediction."""

    step: Array  # int32 scalar, steps done in this phase.
    variables: Any  # Nested dicts of arrays: a checkpoint remembers no other container.
    opt: Any  # {parameter group: optax state}


class SweepResult(NamedTuple):
    """What a pass over the whole data set leaves behind."""

    labels: Tree  # {name: [N_padded, ...]}, sharded by rows.
    state: State  # What the sweep found out beside labels (centroids, maps) is in it.
    scalars: Mapping[str, Array]  # The health line.


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Pseudo-labels for every row of the data set, renewed every `every` steps.

    `init(rows, labels, batch)` gives the table of the first step, `labels` being that of
    the phase before ({} in the first), `batch` any batch, for its shapes.
    `extract(state, batch, labels)` describes one batch,
    `labels` being the batch's rows of the table. `reduce(rows, state, key)` sees all
    rows at once, sharded by rows over the mesh axis 'data'; `rows['row_valid']` is
    False on the padding that fills the last shard. It runs before step 0, `every`,
    2 * `every` ..., and after the last step where `at_end` is set. With a `stride` it
    sees every stride-th row of the data set only, and the table has a row for each of
    those. `advise(scalars)` is a warning with its remedy for the person, or ''.
    """

    every: int
    init: Callable[[int, Tree, Batch], Tree]
    extract: Callable[[State, Batch, Tree], Tree]
    reduce: Callable[[Tree, State, jax.Array], SweepResult]
    at_end: bool = False
    stride: int = 1
    advise: Callable[[Mapping[str, float]], str] | None = None


@dataclasses.dataclass(frozen=True)
class Phase:
    """One training run inside a method: a fresh or inherited State, and its step.

    `init(key, batch, before)` gets the last State of the phase before, None in the
    first. `step(state, batch, labels, key)` returns the next State and named scalars;
    `labels` is the whole table of the last sweep ({} before any), to be gathered by
    `batch['index']`; `key` is already the step's own. `advise(scalars, share)` is a
    warning with its remedy for the person, or '', of a step when this share of the phase
    is done.
    """

    name: str
    steps: int
    init: Callable[[jax.Array, Batch, State | None], State]
    step: Callable[[State, Batch, Tree, jax.Array], tuple[State, dict[str, Array]]]
    sweep: Sweep | None = None
    # The sweep's scalar whose highest value keeps a state; -inf never does.
    keep_best: str | None = None
    advise: Callable[[Mapping[str, float], float], str] | None = None


class Run(NamedTuple):
    """What another run trained, for a method that starts from it."""

    name: str  # Of its method.
    method: Mapping[str, Any]  # Its section `config.method`.
    variables: Tree


class WeightFile(NamedTuple):
    """A file of weights that a method reads before it trains.

    `of_run(run)` gives the tree to be saved in the file's place, where the setting names
    the workdir of a run, and what the section that names it takes over from that run.
    """

    field: str  # Of `config.method` where the path stands: 'network.weights'.
    path: str  # '' where none is named.
    check: Callable[[str], Any]  # Reads it as training would, with the same UserErrors.
    missing: str = ''  # The complaint where there is none and training needs it.
    of_run: Callable[[Run], tuple[Tree, Mapping[str, Any]]] | None = None


class Method:
    """What a method derives from: a frozen dataclass of pure functions, its fields those
    of `config.method`.

    `phases(config)` says how it learns and `predict(variables, images)` what it sees in
    float32 pictures `[B, H, W, 3]` in [0, 1]; it is pure and can be compiled. Everything
    else that a method may need or offer is one of the names below: no command looks at
    the names of fields. `kpdiscovery.methods.example` is a short one.
    """

    metrics: ClassVar[tuple[str, ...]] = ()  # Names in metrics.PROTOCOLS.
    # Fields that are config sections: their dataclasses.
    sections: ClassVar[Mapping[str, type]] = {}
    # The same network used otherwise, measured too: {name: {field: value}}.
    baselines: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    # Batch fields that `predict` takes by name, where a batch has them.
    batch_fields: ClassVar[tuple[str, ...]] = ()
    # The field with the number of classes, of a method that learns from class labels;
    # where it is 0 the classes of the data are counted.
    class_count: ClassVar[str] = ''
    # Options of `kpd predict` ('keypoints', 'min_confidence'): the fields they set.
    predict_options: ClassVar[Mapping[str, str]] = {}
    # Further settings, such as 'network.dtype', that training does not depend on.
    free: ClassVar[tuple[str, ...]] = ()
    # Whole numbers that may be 0, though that is not their default: none of it, no limit.
    may_be_zero: ClassVar[tuple[str, ...]] = ()
    # Keypoint k is the same thing in every picture, and its label is k.
    ordered: ClassVar[bool] = False
    # A label is one thing of a picture: more points of it are further guesses.
    one_each: ClassVar[bool] = False

    phases: Callable[..., tuple[Phase, ...]]
    predict: Callable[..., Prediction]

    @property
    def num_labels(self) -> int:
        """Keypoint labels are 0..num_labels-1."""
        raise NotImplementedError

    def weight_files(self) -> tuple[WeightFile, ...]:
        """The files it reads before it trains."""
        return ()

    def describe(self, variables: Any, images: Array, xy: Array) -> Array | None:
        """What places `[B, T, 2]` in pixels look like: `[B, T, D]`; None: it cannot say."""
        del variables, images, xy
        return None

    def on_extracted(self) -> Method | None:
        """Itself for batches with the fields of `extract`; None: nothing is frozen."""
        return None

    def extract(self, variables: Any, batch: Batch) -> Mapping[str, Array]:
        """Batch fields that a frozen network makes of the pictures, once for all."""
        raise NotImplementedError

    def looking(self, section: Mapping[str, Any], variables: Any) -> tuple[Method, Any]:
        """Of one that is given what was extracted: itself with the network of that.

        Args:
            section: of `kpd features`, what it wrote down of the network.
            variables: of a run.

        Returns:
            It, and the variables with the network's, to predict from pictures alone.
        """
        raise NotImplementedError

    def advise(self, figures: Mapping[str, float]) -> str:
        """A warning with its mend that the figures of an evaluation ask for, or ''."""
        del figures
        return ''

    def may_change(self) -> tuple[str, ...]:
        """Settings `method.*` in which a run and its resumption may differ."""
        files = (file.field for file in self.weight_files())
        names = (*files, *self.predict_options.values(), *self.free)
        return tuple(f'method.{name}' for name in names)


@runtime_checkable
class Source(Protocol):
    """Pictures by row number; `truth` names the annotation fields each row has."""

    truth: tuple[str, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Row: ...


class Warped(NamedTuple):
    """Keypoints of n pictures and of their copies under known warps, leaves `[n, K]`."""

    first: Keypoints  # Found in the pictures.
    moved: Keypoints  # The same, where the warps take them.
    found: Keypoints  # In the copies.


class Split(NamedTuple):
    """Stacked predictions and truth of one split, all numpy: what a metric reads."""

    prediction: Prediction
    truth: Mapping[str, Any]  # Batch fields without `image`.
    size: tuple[int, int]  # (H, W) of the pictures the points belong to.
    num_labels: int
    landmarks: str = ''  # Name in metrics.LANDMARK_SETS of the annotated points.
    warped: Warped | None = None  # Of the first pictures, where a protocol reads it.
    described: Array | None = None  # [n, T, D] at their annotated points, likewise.


class Unmeasurable(ValueError):
    """What was found or annotated allows no figure: a reason to skip, no mistake."""


class MetricProtocol(NamedTuple):
    """An evaluation protocol: `function(fit, test)`, and what it reads."""

    function: Callable[[Split, Split], dict[str, float]]
    truth: Sequence[str]  # Batch fields; 'boxes or mask' wants one of the two.
    prediction: Sequence[str] = ()  # Fields of Prediction beside the keypoints.
    attributes: Sequence[str] = ()  # Names in truth['attributes'].
    fits: bool = False  # Fits something on the fit split; others ignore that split.
    landmarks: bool = False  # Reads lengths that only a named set of points has.
    warped: bool = False  # Reads predictions of warped copies.
    described: bool = False  # Reads descriptors at annotated points.
