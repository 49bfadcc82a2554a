"""Parts of faces, crops with 68 points: `:pretrained,cpu` 244 s on one CPU core.

    kpd train --config=feature_alignment/faces:pretrained,cpu --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with 68 points and a split by identity.
`:pretrained,cpu`: mAP 65.3 at .1 of the picture, clustering 58.3, mean place 58.9; error
9.8 % of the eye distance (RESULTS.md). `:cpu` alone has SuperPoint's features, which know
edges and no parts; the default is VGG-16, not run.
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
