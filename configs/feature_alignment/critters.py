"""Parts of critters, drawn animals: `:pretrained,cpu` 450 s on one CPU core.

    kpd train --config=feature_alignment/critters:pretrained,cpu --workdir=DIR

Crops with 12 true keypoints and boxes of five parts: mAP 64.4 at .1 of the picture,
clustering 48.4, mean place 14.6 (RESULTS.md). Without `pretrained` features are SuperPoint's
at 128 px; those of an LMPNet run:

      --config.method.features.weights=LMPNET_WORKDIR
      --config.method.features.backbone=resnet18 --config.method.features.map=stage3

The default is 224 px and VGG-16, not run.
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
