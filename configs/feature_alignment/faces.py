"""Parts of faces in a folder of crops with 68 points.

    kpd train --config=feature_alignment/faces:cpu --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with 68 points and a split by
identity. `:cpu`, 467 s on one CPU core: a miss, parts near chance (mAP 6.7, clustering 6.0):
SuperPoint's edges tell no eye from a mouth. The default, VGG-16: not run.
"""

from kpdiscovery.configs import parts, variants


def get_config(arg: str = ''):
    c = parts.base(
        data={'source': 'folder', 'landmarks': 'faces68'},
        evaluation={},
    )
    return variants.apply(c, arg, **parts.SHARED, cpu=parts.small)
