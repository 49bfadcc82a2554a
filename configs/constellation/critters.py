"""Landmarks without training on generated animals, whose 12 true keypoints measure them.

Every second of 2,000 pictures of 256 px, drawn anew in each of four sweeps: 549 s
of one busy core; not measured.

kpd weights efficientnet_lite0 xfeat
kpd train --config=constellation/critters --workdir=DIR
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.constellation import folder


def get_config(arg: str = ''):
    c = folder.base(
        data={
            'source': 'critters',
            'landmarks': 'critters12',
            'options': {'length': 2_000, 'crop_margin': 0.1},
        },
        stride=2,
        num_keypoints=20,
    )
    c.evaluation.update(fit=2_000, test=2_000)
    return variants.apply(c, arg, VARIANTS)


def smoke(c):
    folder.smoke(c)
    c.data.options = {'length': 24, 'crop_margin': 0.1}


VARIANTS = {'smoke': smoke}
