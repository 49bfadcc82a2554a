"""LMPNet on critters, drawn animals: `:cpu` 1,630 s on one busy core, the default not run.

    kpd train --config=lmpnet/critters:cpu --workdir=DIR
    kpd evaluate --workdir=DIR [--config.method.fusion=first]

20 classes, 12 true keypoints. The second line's option leaves the masked net out. `:cpu` is
112 px and a quarter of ResNet-18's width (RESULTS.md); the default 448 px and ResNet-50
from random weights.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.lmpnet import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={'source': 'critters'},
        evaluation={'test': 2_000},
        epoch=625,
        num_classes=20,
    )
    return variants.apply(c, arg, VARIANTS)


def cpu(c):
    """112 px crops of 128 px: as many cells, 14 x 14, as in the paper.

    On 8 x 8 cells (64 px) the erase threshold of 3 leaves nothing of the animal.
    """
    _shared.small(c)
    c.data.update(size=128, batch_size=40)  # 64 take half an hour.
    c.method.crops.share = 112 / 128
    c.method.filters = 1 / 2  # 64, as many as of ResNet-50's 2,048: the net is narrow.
    rate = {'name': 'adamw', 'lr': 3e-3, 'decay': 'cosine', 'warmup': 60}
    # So few steps teach a fresh net nothing of pictures without their first keypoint.
    c.method.replica = 'copy'
    c.phases = {
        'classify': {'steps': 1_200, 'optimizer': rate},
        'mask_out': {'steps': 500, 'optimizer': rate},
    }


def smoke(c):
    _shared.smoke(c)
    c.data.options = {'length': 24}


VARIANTS = {**_shared.POOLINGS, 'cpu': cpu, 'smoke': smoke}
