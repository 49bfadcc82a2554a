"""Conditional image generation on critters: crops of drawn animals, 12 true keypoints.

    kpd train --config=imm/critters:cpu --workdir=DIR

not run.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.imm.folder import VARIANTS, base


def get_config(arg: str = ''):
    data = {'source': 'critters', 'landmarks': 'critters12'}
    c = base({**data, 'options': {'crop_margin': 0.1}}, num_keypoints=16)
    c.evaluation.update(fit=2_000, test=2_000)
    return variants.apply(c, arg, VARIANTS)
