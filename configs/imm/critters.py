"""Conditional image generation on critters: crops of drawn animals, 12 true keypoints.

kpd train --config=imm/critters:cpu --workdir=DIR
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.imm import folder


def get_config(arg: str = ''):
    data = {'source': 'critters', 'landmarks': 'critters12'}
    c = folder.base({**data, 'options': {'crop_margin': 0.1}}, fit=2_000, test=2_000)
    c.method.num_keypoints = 20
    return variants.apply(c, arg, VARIANTS)


def cpu(c):
    folder.cpu(c)
    c.data.options.length = 2_000


def smoke(c):
    folder.smoke(c)
    c.data.options.length = 24


VARIANTS = {'cpu': cpu, 'smoke': smoke}
