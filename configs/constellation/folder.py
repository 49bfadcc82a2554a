"""Landmarks without training on your own pictures of one kind of thing.

    kpd weights efficientnet_lite0 xfeat
    kpd train --config=constellation/folder --data=FOLDER --workdir=DIR
    kpd predict --workdir=DIR FOLDER --out=OUT

No annotation is needed. A pass takes about .1 s a picture of one CPU core, and there are
four (RESULTS.md). Best of crops to the object with little around it, seen from one
side: one arrangement of landmarks is learnt, and laid on each picture by an affine map.
Frames of a fixed camera are cut to what moves by `--config.data.resize=moving:0.1`, else the
ground's landmarks win (a mouse: 6.6 instead of 59.6, RESULTS.md).
Pictures keep their shape between bars. `--config.phases.arrange.stride=S` and the same of
`cluster` learn from every S-th picture, which is enough of a thousand.
"""

from kpdiscovery.configs import variants


def get_config(arg: str = ''):
    c = base(data={'source': 'folder', 'resize': 'pad'}, num_keypoints=10)
    return variants.apply(c, arg, VARIANTS)


def base(data: dict, *, stride: int = 1, **method):
    return variants.base(
        data={'size': 256, 'batch_size': 16, **data},
        method={'name': 'constellation', **method},
        phases={
            'cluster': {'stride': stride},
            'arrange': {'rounds': 3, 'stride': stride},
        },
        evaluation={'fit': 10_000, 'test': 10_000, 'batch_size': 16},
    )


def smoke(c):
    """Small random networks of which nothing can be expected: proves that the pieces fit."""
    c.data.update(size=32, batch_size=8)
    c.method.update(
        num_keypoints=4, num_clusters=6, num_points=8, kmeans_iterations=3,
        descriptors={
            'xfeat': 'random', 'backbone': 'random', 'sides': (32,), 'side': 32,
            'taps': ('stage2',), 'cells': 8,
        },
    )  # fmt: skip
    c.phases.arrange.rounds = 2
    c.run.update(log_every=1, checkpoint_every=1)
    c.evaluation.update(fit=16, test=16, batch_size=8)


VARIANTS = {'smoke': smoke}
