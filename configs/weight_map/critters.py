"""The weight map on critters: 20 classes of drawn animals, true boxes and masks.

    kpd train --config=weight_map/critters:cpu --workdir=DIR            (method I)
    kpd train --config=weight_map/critters:method2,cpu --workdir=DIR

`:cpu`, 64 px, 1,580 s on one busy CPU core, 19 minutes on two (JAX_NUM_CPU_DEVICES=2):
GT-known 82.2, MaxBoxAccV2 73.4, PxAP 67.7; method II 16.6, 69.8, 63.3; CAM of the same
classifier 75.4, 85.7, 66.5 (RESULTS.md). The default, 224 px from random weights: not run.
"""

from kpdiscovery.configs import variants, weak_labels


def get_config(arg: str = ''):
    c = weak_labels.weight_map(
        data={'source': 'critters'},
        evaluation={'test': 1_000},
        epoch=1_250,
        num_classes=20,
    )
    return variants.apply(c, arg, **weak_labels.SHARED, cpu=cpu, smoke=smoke)


def cpu(c):
    weak_labels.small(c)
    weak_labels.short(c, classify=2_000, localize=750, epoch=250)


def smoke(c):
    weak_labels.smoke(c)
    c.data.options = {'length': 24}
