"""Parts of your own pictures of one kind, no annotation needed: `:cpu` 5 minutes on one core.

    kpd train --config=feature_alignment/folder:cpu --data=FOLDER --workdir=DIR

Where EfficientNet-Lite0 is on the machine (`kpd weights efficientnet_lite0`) its features are
taken; `:scratch` declines: VGG-16 by a file, with `:cpu` our own SuperPoint. Features
extracted once (`kpd features`) or elsewhere (DINO, say):
`--config.data.features=FOLDER --config.method.features.backbone=given`.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(data={'source': 'folder'}, evaluation={}, rows=2_000)
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {
    **_shared.VARIANTS, 'scratch': variants.scratch, 'cpu': _shared.small,
    'smoke': _shared.smoke,
}  # fmt: skip
