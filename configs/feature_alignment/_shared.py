"""What the configs of part discovery by feature alignment share.

The paper states the short side, channels, pool, threshold, transform and optimiser; the
rest is our recommendation (10 passes over all pictures, each with its pool from among
2,000, pools renewed after every two).
"""

from kpdiscovery.configs import variants


def base(
    data: dict, evaluation: dict, *, pictures: int = 2_000, rows: int = 0, **method
):
    """Parts of pictures of 224 px, from VGG-16's pool4: 14 x 14 cells.

    Give the features with `--config.method.features.weights=FILE` (kpd weights). The
    paper's 224 px are the short side: data sets that are no squares have a larger
    `data.size`, which 'pad' fits the long side to.

    Args:
        pictures: of the training split; they set the number of steps.
        rows: that many are looked at, 0 for all.
    """
    batch = 8
    epoch = pictures // batch
    adagrad = {'name': 'adagrad', 'lr': 5e-3, 'decay': 'inverse', 'share': 0.1}
    return variants.base(
        data={
            'size': 224, 'resize': 'pad', 'batch_size': batch, 'rows': rows,
            'features': '', **data,
        },
        method={'name': 'feature_alignment', 'features': VGG, **method},
        phases={
            'dictionary': {'steps': 1},
            'align': {'steps': 10 * epoch, 'pools_every': 2 * epoch, 'optimizer': adagrad},
        },
        evaluation={'fit': 2_000, 'test': 100_000, **evaluation},
    )  # fmt: skip


def translation(c):
    """Table 7: the transforms."""
    c.method.transform = 'translation'


def homography(c):
    c.method.transform = 'homography'


def no_transform(c):
    c.method.transform = 'none'


def pretrained(c):
    """EfficientNet-Lite0's maps at stride 16, by `kpd weights efficientnet_lite0`."""
    c.method.features.update(LITE0)


def paper(c):
    """To the letter where that does not work well: transforms, background, anchors."""
    c.method.update(parity='paper', peaks=20)


# Of every config.
VARIANTS = {
    'translation': translation, 'homography': homography, 'no_transform': no_transform,
    'pretrained': pretrained, 'paper': paper,
}  # fmt: skip


def small(c):
    """64 parts from our own SuperPoint's trunk at 128 px, for two CPU cores; pretrained
    features see the pictures at the config's size.

    A pass over 2,000 pictures, in pools of 15 as in the paper: better than three passes in
    pools of 5, in less time (RESULTS.md). The paper's rate falls to a tenth in ninety
    steps, after which nothing moves: slower here.
    """
    c.data.rows = 2_000
    epoch = c.data.rows // c.data.batch_size
    c.method.num_keypoints = 64
    if c.method.features.backbone != LITE0['backbone']:
        c.data.size = 128
        c.method.features.update(SUPERPOINT)
    c.phases.align.update(steps=epoch, pools_every=epoch)
    c.phases.align.optimizer.share = 0.002


LITE0 = {
    'backbone': 'efficientnet_lite0', 'map': 'stage5', 'weights': 'efficientnet_lite0',
}  # fmt: skip
VGG = {'backbone': 'vgg16', 'map': 'pool4', 'weights': ''}
SUPERPOINT = {'backbone': 'superpoint', 'map': 'trunk'}


def smoke(c):
    """Two steps of few parts: proves that the pieces fit."""
    c.data.update(size=64, batch_size=8)
    c.method.update(
        num_keypoints=4, neighbours=2, iterations=3, peaks=2, block=8,
        hypotheses=8, matches=16,  # Of `:paper`.
    )  # fmt: skip
    if c.method.features.backbone != LITE0['backbone']:
        c.method.features.update(SUPERPOINT)
    variants.two_steps(c)
    c.evaluation.update(fit=16, test=16, batch_size=8)
