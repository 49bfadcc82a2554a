"""TUSK on CelebA in the wild: 80 px, K = 4, M = 32, perceptual loss; not run.

    kpd train --config=tusk/celeba_wild --data=ROOT --workdir=DIR

Needs VGG-16 (`kpd weights vgg16 --file=FILE`). ROOT holds CelebA in the wild and
MAFL as their owners distribute them (`kpd doctor --data=celeba_wild --root=ROOT` says what
of it; not tried on the official files), of which partition 0 without MAFL's test part is
read, faces of more than 30 % of the picture; or a folder of such pictures with an
`annotations.npz` of five points, the eyes first.
Paper (table 3): 18.49 % of the eye distance over the MAFL test faces. `:code` weighs
equivariance as the released code does.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.tusk import _shared


def get_config(arg: str = ''):
    c = variants.base(
        data={
            'source': 'folder',
            'release': 'celeba_wild',
            'size': 80,
            'batch_size': 32,
        },
        method={
            'name': 'tusk',
            'num_keypoints': 4,
            'num_prototypes': 32,
            'window': 21,
            'reconstruction': 'perceptual',
            'perceptual': 'vgg16',
            'perceptual_weights': '',
            'heat_weight': 0.05,
            'feature_weight': 500.0,
            'views': _shared.views('reflect', 0.9, 0.05, 0.05, 0.05, 0.25),
        },
        phases=_shared.phases(steps=150_000),
        evaluation={'fit': 19_000, 'test': 1000},
    )
    return variants.apply(c, arg, VARIANTS)


def code(c):
    c.method.update(parity='code', heat_weight=0.01, feature_weight=100.0)


def smoke(c):
    _shared.smoke(c)
    c.method.reconstruction = 'mse'  # VGG-16 is no smoke.


VARIANTS = {'code': code, 'smoke': smoke}
