"""SuperPoint on any folder of pictures: homographic adaptation, then descriptors; not run.

    kpd train --config=superpoint/folder --data=FOLDER --workdir=DIR \
        --config.method.weights=FILE_OR_WORKDIR

Starts from a detector of corners: a workdir of superpoint/shapes, or a file of ours or of
the public layout (then add --config.method.batch_norm=false --config.method.frame=corner).
Two rounds of labels and training, then descriptors; the paper's sizes, with square pictures.
`:cpu` has superpoint/shapes:cpu's network.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.superpoint import shapes


def get_config(arg: str = ''):
    train = {'steps': 18_000, 'optimizer': {'name': 'adam', 'lr': 1e-3}}
    c = variants.base(
        data={'source': 'folder', 'size': 240, 'batch_size': 32},
        method={
            'name': 'superpoint',
            'weights': '',
            'photometric': shapes.mild(),
        },
        phases={
            'adapt': train,
            'adapt_again': train,
            'describe': {'steps': 600_000, 'optimizer': {'name': 'adam', 'lr': 1e-4}},
        },
    )
    return variants.apply(c, arg, VARIANTS)


def cpu(c):
    shapes.small(c)
    c.data.update(size=96, batch_size=16)
    c.method.update(adaptations=25, pseudo_keypoints=64, descriptor_weight=500.0)
    rate = {'name': 'adam', 'lr': 5e-4, 'decay': 'cosine'}
    c.phases = {'adapt': {'steps': 1500, 'optimizer': rate},
                'describe': {'steps': 1500, 'optimizer': rate}}  # fmt: skip


def smoke(c):
    """Two steps of each phase of a tiny network: proves that the pieces fit."""
    shapes.tiny(c)
    c.method.update(adaptations=3, pseudo_keypoints=8, weights='')


VARIANTS = {'cpu': cpu, 'smoke': smoke}
