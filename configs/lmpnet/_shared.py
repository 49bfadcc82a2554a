"""What the configs of LMPNet share.

The paper leaves much of the training open; what is not its is our recommendation.
"""

from kpdiscovery.configs import variants

_SGD = {'name': 'sgd', 'momentum': 0.9, 'l2': 1e-4}


def base(data: dict, evaluation: dict, *, epoch: int, **method):
    """LMPNet on some data: 448 px crops of 512 px, batches of 32, 60 epochs a net.

    `epoch` counts the steps of one. Random weights learn at the classifier's rate;
    pretrained ones (`--config.method.network.weights=FILE`) want `trunk` 0.1.
    """
    steps = 60 * epoch
    optimizer = {
        **_SGD,
        'lr': 0.01,
        'trunk': 1.0,
        'decay': 'drops',
        'drops': (40 * epoch,),
    }
    return variants.base(
        data={'size': 512, 'batch_size': 32, **data},
        method={
            'name': 'lmpnet',
            'network': {'backbone': 'resnet50', 'weights': ''},
            'crops': {'share': 448 / 512},
            **method,
        },
        phases={
            'classify': {'steps': steps, 'optimizer': optimizer},
            'mask_out': {'steps': steps, 'optimizer': dict(optimizer)},
        },
        evaluation=evaluation,
    )


def pretrained(c) -> None:
    """EfficientNet-Lite0 from ImageNet (`kpd weights efficientnet_lite0`)."""
    c.method.network.update(backbone='efficientnet_lite0', weights='efficientnet_lite0')
    for section in c.phases.values():
        section.optimizer.trunk = 0.1


def average(c) -> None:
    """Table 1: average pooling."""
    c.method.pooling = 'average'


def maximum(c) -> None:
    """Table 1: maximum pooling."""
    c.method.pooling = 'max'


def epsilon01(c) -> None:
    """Table 1: the smaller leak, .01."""
    c.method.epsilon = 0.01


def pretrained_cpu(c, *, classify: int, mask_out: int) -> None:
    """As many cells, 14 x 14, of 224 px crops, for two CPU cores."""
    c.data.update(size=256, batch_size=16)
    # Frozen so far, a step takes half as long. With statistics of the batches birds were
    # named right in 63 % instead of 75, and their first keypoints in 64 instead of 78.
    c.method.network.update(last_stride=1, frozen='stage5', frozen_statistics=True)
    # At a share of 1/32 a quarter of the keypoints were not given.
    c.method.update(replica='copy', crops={'share': 224 / 256}, filters=1 / 8)
    rate = {'name': 'adamw', 'lr': 1e-3, 'trunk': 0.1, 'decay': 'cosine', 'warmup': 20}
    c.phases = {
        'classify': {'steps': classify, 'optimizer': rate},
        'mask_out': {'steps': mask_out, 'optimizer': rate},
    }


def small(c) -> None:
    """A network for two CPU cores: a quarter of the width, cells of 8 pixels."""
    c.method.network.update(
        backbone='resnet18', width=16, small_stem=True, last_stride=1
    )


# Variants of every LMPNet config; sizes come after them.
POOLINGS = {'average': average, 'max': maximum, 'epsilon01': epsilon01}


def smoke(c) -> None:
    """Two steps a phase of a tiny network: proves that the pieces fit."""
    c.data.update(size=36, batch_size=8)
    if c.method.network.weights:
        c.data.size = 72
    else:
        small(c)
        c.method.network.width = 4
        c.method.filters = 1 / 4
    c.method.crops.share = 64 / 72
    variants.two_steps(c)
    c.evaluation.update(fit=0, test=16, batch_size=8)
