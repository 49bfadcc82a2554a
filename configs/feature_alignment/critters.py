"""Parts of critters: crops of drawn animals, 12 true keypoints.

kpd train --config=feature_alignment/critters:cpu --workdir=DIR
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
