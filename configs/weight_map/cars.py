"""The weight map on Stanford Cars (TFDS cars196): 224 px, ResNet-18; not run.

    kpd train --config=weight_map/cars --workdir=DIR
      --config.method.network.weights=resnet18 --config.method.encoder.weights=resnet18

The paper: GT-known 96.1 (method II 95.1), top-1 localization 84.9; `:method2` for the
second. Where ResNet-18 comes from: `kpd weights`. `--data=ROOT` takes the official files in
place of TFDS's (`kpd doctor --data=cars --root=ROOT`; not tried on these).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.weight_map import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={'source': 'tfds', 'release': 'cars', 'options': {'name': 'cars196'}},
        evaluation={'test': 8_041},
        epoch=509,
        num_classes=196,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'smoke': _shared.smoke}
