"""The weight map on Flowers-102 (TFDS oxford_flowers102): 224 px, ResNet-18; not run.

    kpd train --config=weight_map/flowers --workdir=DIR
      --config.method.network.weights=resnet18 --config.method.encoder.weights=resnet18

The paper: PxAP 75.6 (method II 75.2); `:method2` for the second. Where
ResNet-18 comes from: `kpd weights`. TFDS has no masks, which PxAP needs:
`--data=ROOT` takes the official files (`kpd doctor --data=flowers --root=ROOT`; not tried on
these).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.weight_map import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'tfds',
            'release': 'flowers',
            'options': {'name': 'oxford_flowers102'},
        },
        evaluation={'test': 6_149},
        epoch=64,
        num_classes=102,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'smoke': _shared.smoke}
