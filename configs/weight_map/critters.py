"""The weight map on critters: `:cpu` some 27 minutes of one core, by estimate.

    kpd train --config=weight_map/critters:cpu --workdir=DIR            (method I)
    kpd train --config=weight_map/critters:method2,cpu --workdir=DIR

20 classes of drawn animals with true boxes and masks. `:cpu` is 64 px: GT-known 86.0,
MaxBoxAccV2 76.9; CAM of the same classifier 76.5, 86.8 (RESULTS.md). Method II was measured
with a batch norm before the sigmoid only (`:paper`): 16.6, 69.8. The default is 224 px from
random weights, and not run.
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
