"""Conditional image generation on critters: crops of drawn animals, 12 true keypoints.

    kpd train --config=imm/critters:cpu --workdir=DIR

`:cpu`, 16 landmarks at 32 px: 1405 s on about half a core, forward error 13.6 % of the box's
longer side (mean shape 21.5, untrained 19.6), but 5.9 % off a known warp that moves them by
7.0 (docs/methods/imm.md). The default, 128 px: not run.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.imm.folder import VARIANTS, base


def get_config(arg: str = ''):
    data = {'source': 'critters', 'landmarks': 'critters12'}
    c = base({**data, 'options': {'crop_margin': 0.1}}, num_keypoints=16)
    c.evaluation.update(fit=2_000, test=2_000)
    return variants.apply(c, arg, VARIANTS)
