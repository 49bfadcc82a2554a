"""What the configs of TUSK share; the paper, table 10, and the released configs."""

from kpdiscovery.configs import variants


def phases(steps: int) -> dict:
    """TUSK's two optimisers (paper table 10; the prototypes' betas from its code)."""
    network = {'name': 'adam', 'lr': 1e-3}
    prototypes = {'name': 'adam', 'lr': 0.1, 'b1': 0.5}
    return {
        'train': {
            'steps': steps,
            'optimizer': {'network': network, 'prototypes': prototypes},
        }
    }


def views(pad, scale, scale_jitter, bend, offset, rotation, fill=0.0) -> dict:
    """The second thin-plate spline, in the order of the released configs."""
    return {
        'pad': pad, 'fill': fill, 'scale': scale, 'scale_jitter': scale_jitter,
        'bend': bend, 'offset': offset, 'rotation': rotation,
    }  # fmt: skip


def pretrained(c) -> None:
    """Pictures compared in EfficientNet-Lite0's maps (`kpd weights efficientnet_lite0`)."""
    c.method.update(reconstruction='perceptual', perceptual='efficientnet_lite0')


def small(c, *, resolution: int, window: int) -> None:
    """A network that learns on two CPU cores, at `resolution` px inside.

    The pull of prototypes goes with 20 / channels (`ops.mixtures`): at 16 twice the paper's.
    """
    short(c, resolution)
    c.method.update(
        resolution=resolution, window=window, channels=16, width=16, levels=3, groups=4,
        prototype_steps=4, projections=16, memory=256,
    )  # fmt: skip


def short(c, resolution: int) -> None:
    """What a few thousand steps ask for.

    A sub-pixel splat on few pixels is one pixel, so splats are wider and scaled to the
    map; features are standardised, which keeps equivariance from shrinking them and takes
    a weight of 0.1 in place of 100; a schedule replaces the endless constant rate.
    """
    c.method.update(
        normalize_features='channel', splat_variance=0.5, splat_gain=float(resolution**2),
        feature_weight=0.1, cluster_start=0.3,
    )  # fmt: skip
    network = {'name': 'adam', 'lr': 1.5e-3, 'warmup': 100, 'decay': 'linear'}
    c.phases.train.optimizer.network = network


def whitened(c) -> None:
    """Descriptors without what all have in common (why: RESULTS.md, MNIST-Hard)."""
    weight = 0.01 if c.method.get('clustering') == 'information' else 0.003
    c.method.update(normalize_features='picture', whiten=True, cluster_weight=weight)


def found_colors(c) -> None:
    """Against kinds of objects that are never found, and keypoints that claim ground."""
    c.method.update(exploration=0.7, weigh_alphas=True, claim_weight=0.01)


def sliced_wasserstein(c) -> None:
    """Table 4, second row: prototypes follow the descriptors, which nothing else pulls."""
    c.method.update(cluster_weight=0.0, heat_weight=0.0, feature_weight=0.0)


def smoke(c) -> None:
    """Two steps of a tiny network: proves that the pieces fit."""
    c.data.update(size=32, batch_size=8)
    c.method.update(levels=2, width=4, channels=4, groups=2, window=5, projections=8)
    variants.two_steps(c)
    c.evaluation.update(fit=8, test=8, batch_size=8)
