"""Landmarks without training on faces with 68 annotated points to measure by.

    kpd weights efficientnet_lite0 xfeat
    kpd train --config=constellation/faces --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with 68 points and a split by identity.
Of pictures 1.6 times as large as the face, the middle is looked at. 377 s on one core of two,
the other busy: forward error 6.3 % of the eye distance (mean shape 25.4).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.constellation.folder import VARIANTS, base


def get_config(arg: str = ''):
    data = {'source': 'folder', 'landmarks': 'faces68', 'resize': 'crop:0.7'}
    c = base(data=data, stride=3)
    return variants.apply(c, arg, VARIANTS)
