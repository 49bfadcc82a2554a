"""SuperPoint on our own drawn worlds, no download: `:cpu` 1,694 s on part of a CPU core.

    kpd train --config=superpoint/shapes:cpu --workdir=A
    kpd train --config=superpoint/drawn:cpu --config.method.weights=A --workdir=B

700 + 600 steps on 1,500 drawings took that long; the paper's size was not run.
superpoint/folder on animals in clutter, solids and flat shapes (`data.mixed`). RESULTS.md,
Generic keypoints, has what it finds on photographs.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.superpoint import folder


def get_config(arg: str = ''):
    c = folder.get_config()
    c.data.source = 'mixed'
    return variants.apply(c, arg, VARIANTS)


def cpu(c):
    folder.cpu(c)
    c.data.update(size=80, options={'length': 2000})
    c.method.adaptations = 16


def smoke(c):
    """Two steps of each phase of a tiny network: proves that the pieces fit."""
    folder.smoke(c)
    c.data.options = {'length': 8}


VARIANTS = {'cpu': cpu, 'smoke': smoke}
