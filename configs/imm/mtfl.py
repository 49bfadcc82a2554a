"""Conditional image generation on faces of MTFL, measured on AFLW: five points, 128 px.

    kpd train --config=imm/mtfl:cpu --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with five points of each and a split:
train MTFL's 10,000 pictures, test AFLW's. The official files do as well (`kpd doctor
--data=mtfl --root=ROOT`; not tried on these), with `--config.data.resize=box`. Errors in %
of the eye distance. `:cpu`, 32 px: 1496 s on about half a core, forward 15.9 (mean shape
23.7, untrained 23.6; 1,993 test pictures). The default, 128 px: not run.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.imm.folder import VARIANTS, base


def get_config(arg: str = ''):
    c = base({'source': 'folder', 'release': 'mtfl', 'landmarks': 'faces5'})
    return variants.apply(c, arg, VARIANTS)
