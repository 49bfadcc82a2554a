"""Parts of critters: crops of drawn animals, 12 true keypoints.

    kpd train --config=feature_alignment/critters:cpu --workdir=DIR

`:cpu`: 561 s on one CPU core; mAP at a tenth of the picture 16.3 on test rows, 15.1 by
clustering only. With the network of an LMPNet run on critters in place of SuperPoint's 28.5
against 23.2 (RESULTS.md):

      --config.method.features.weights=LMPNET_WORKDIR
      --config.method.features.backbone=resnet18 --config.method.features.map=stage3

The default, 224 px and VGG-16: not run.
"""

from kpdiscovery.configs import parts, variants


def get_config(arg: str = ''):
    c = parts.base(
        data={
            'source': 'critters',
            'landmarks': 'critters12',
            'options': {'crop_margin': 0.1},
        },
        evaluation={'fit': 2_000, 'test': 2_000},
    )
    return variants.apply(c, arg, **parts.SHARED, cpu=parts.small, smoke=smoke)


def smoke(c):
    parts.smoke(c)
    c.data.options = {'length': 24, 'crop_margin': 0.1}
