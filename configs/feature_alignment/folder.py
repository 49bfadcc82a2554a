"""Parts of your own pictures of one kind, no annotation needed; not run (costs as faces).

    kpd train --config=feature_alignment/folder:cpu --data=FOLDER --workdir=DIR

`:cpu` needs no weights of others. Features extracted elsewhere (DINO, say):
`--config.data.features=FOLDER --config.method.features.backbone=given`.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(data={'source': 'folder'}, evaluation={})
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {
    **_shared.VARIANTS, 'scratch': _shared.scratch, 'cpu': _shared.small,
    'smoke': _shared.smoke,
}  # fmt: skip
