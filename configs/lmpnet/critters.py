"""LMPNet on critters: 20 classes of drawn animals, 12 true keypoints.

    kpd train --config=lmpnet/critters:cpu --workdir=DIR
    kpd evaluate --workdir=DIR [--config.method.fusion=first]

The second line's option leaves the masked net out. `:cpu`, 64 px: see RESULTS.md. The
default, 448 px and ResNet-50 from random weights: not run.
"""

from kpdiscovery.configs import variants, weak_labels


def get_config(arg: str = ''):
    c = weak_labels.lmpnet(
        data={'source': 'critters'},
        evaluation={'test': 2_000},
        epoch=625,
        num_classes=20,
    )
    return variants.apply(c, arg, cpu=cpu, smoke=smoke)


def cpu(c):
    weak_labels.small(c)
    rate = {'name': 'adamw', 'lr': 3e-3, 'decay': 'cosine', 'warmup': 100}
    c.phases = {
        'classify': {'steps': 2_000, 'optimizer': rate},
        'mask_out': {'steps': 1_000, 'optimizer': rate},
    }


def smoke(c):
    weak_labels.smoke(c)
    c.data.options = {'length': 24}
