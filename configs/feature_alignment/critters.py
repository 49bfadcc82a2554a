"""Parts of critters, drawn animals: `:cpu` 561 s on one CPU core, the default not run.

    kpd train --config=feature_alignment/critters:cpu --workdir=DIR

Crops with 12 true keypoints; features are SuperPoint's. Those of an LMPNet run on critters
give better parts (RESULTS.md):

      --config.method.features.weights=LMPNET_WORKDIR
      --config.method.features.backbone=resnet18 --config.method.features.map=stage3

The default is 224 px and VGG-16.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'critters',
            'landmarks': 'critters12',
            'options': {'crop_margin': 0.1},
        },
        evaluation={'test': 2_000},
        rows=2_000,
    )
    return variants.apply(c, arg, VARIANTS)


def smoke(c):
    _shared.smoke(c)
    c.data.options = {'length': 24, 'crop_margin': 0.1}


VARIANTS = {**_shared.VARIANTS, 'cpu': _shared.small, 'smoke': smoke}
