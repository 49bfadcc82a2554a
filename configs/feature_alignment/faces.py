"""Parts of faces in a folder of crops with 68 points.

    kpd train --config=feature_alignment/faces:cpu --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with 68 points and a split by
identity.
"""

from kpdiscovery.configs import parts, variants


def get_config(arg: str = ''):
    c = parts.base(
        data={'source': 'folder', 'landmarks': 'faces68'},
        evaluation={},
    )
    return variants.apply(c, arg, **parts.SHARED, cpu=parts.small)
