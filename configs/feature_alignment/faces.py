"""Parts of faces, crops with 68 points: `:cpu` 467 s on one CPU core, the default not run.

    kpd train --config=feature_alignment/faces:cpu --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with 68 points and a split by identity.
`:cpu` has SuperPoint's features and finds parts hardly better than chance (RESULTS.md); the
default is VGG-16.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={'source': 'folder', 'landmarks': 'faces68'},
        evaluation={},
        rows=2_000,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'cpu': _shared.small}
