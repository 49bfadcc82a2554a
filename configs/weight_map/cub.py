"""The weight map on CUB-200-2011 (TFDS caltech_birds2011): 224 px, ResNet-18; not run.

    kpd train --config=weight_map/cub --workdir=DIR
      --config.method.network.weights=resnet18 --config.method.encoder.weights=resnet18

The paper: GT-known 82.85, top-1 localization 67.00, PxAP 76.30; method II (`:method2`)
83.03, 67.12 and 76.70. Where ResNet-18 comes from: `kpd weights`; `:pretrained` has
EfficientNet-Lite0, with `:pretrained,cpu` for two cores. `--data=ROOT` takes the official
files in place of TFDS's (`kpd doctor --data=cub --root=ROOT`; not tried on these).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.weight_map import _shared, folder


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'tfds',
            'release': 'cub',
            'options': {'name': 'caltech_birds2011'},
        },
        evaluation={'test': 5_794},
        epoch=375,
        num_classes=200,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'cpu': folder.cpu, 'smoke': _shared.smoke}
