"""The weight map on critters: `:cpu` 1,580 s on one busy core, the default not run.

    kpd train --config=weight_map/critters:cpu --workdir=DIR            (method I)
    kpd train --config=weight_map/critters:method2,cpu --workdir=DIR

20 classes of drawn animals with true boxes and masks. `:cpu` is 64 px, 19 minutes on two
cores (JAX_NUM_CPU_DEVICES=2): GT-known 82.2, MaxBoxAccV2 73.4; method II 16.6, 69.8; CAM of
the same classifier 75.4, 85.7 (RESULTS.md). Figures are of maps with a batch norm before
their sigmoid, today's `:paper`. The default is 224 px from random weights.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.weight_map import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={'source': 'critters'},
        evaluation={'test': 1_000},
        epoch=1_250,
        num_classes=20,
    )
    return variants.apply(c, arg, VARIANTS)


def cpu(c):
    _shared.small(c)
    _shared.short(c, classify=2_000, localize=250, epoch=25)


def smoke(c):
    _shared.smoke(c)
    c.data.options = {'length': 24}


VARIANTS = {**_shared.VARIANTS, 'cpu': cpu, 'smoke': smoke}
