"""The weight map on Tiny-ImageNet: 64 px, ResNet-50 as judge; not run.

    kpd train --config=weight_map/tiny_imagenet --data=ROOT --workdir=DIR
      --config.method.network.weights=resnet50 --config.method.encoder.weights=resnet18

ROOT holds tiny-imagenet-200 as its owners distribute it (`kpd doctor --data=tiny_imagenet
--root=ROOT` says what of it; not tried on the official files): 100,000 pictures of 200
classes, and 10,000 for testing; or a folder of pictures with an `annotations.npz` of
`label`, `split` and boxes. Crops of 64 px are
cut from 72 px. Where the ResNets come from: `kpd weights`. The paper:
GT-known 60.21 (method II 60.41), top-1 localization 43.80, after 1,000 epochs of the map's
net.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.weight_map import _shared

_EPOCH = 6_250


def get_config(arg: str = ''):
    c = _shared.base(
        data={'source': 'folder', 'release': 'tiny_imagenet', 'size': 72},
        evaluation={'test': 10_000},
        epoch=_EPOCH,
        network={'backbone': 'resnet50', 'weights': ''},
        crops={'share': 64 / 72},
    )
    c.phases.localize.steps = 1_000 * _EPOCH
    c.phases.localize.optimizer.l2 = 5e-5
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'smoke': _shared.smoke}
