"""Parts of faces: CelebA, measured on MAFL's test part, 272 px, 5 points; not run.

    kpd train --config=feature_alignment/celeba --data=FOLDER --workdir=DIR
      --config.method.features.weights=vgg16

FOLDER holds the aligned 178x218 pictures, whose short side gets 222 of 272 px, and an
`annotations.npz` with the five points and the split: train is CelebA without MAFL's test
part (161,962 pictures), test MAFL's 1,000. For the pictures in the wild give a FOLDER of
crops to the face boxes. Where VGG-16 comes from: `kpd weights`; `:pretrained` has
EfficientNet-Lite0.

Paper (tables 2 and 3): mAP at .1 97.9 aligned, 90.9 unaligned (clustering 92.6, 71.8);
error in % of the pupil distance 5.0, 6.3 (6.0, 13.8).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={'source': 'folder', 'landmarks': 'faces5', 'size': 272},
        evaluation={'test': 1_000},
        pictures=161_962,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
