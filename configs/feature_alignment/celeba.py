"""Parts of faces: CelebA, measured on MAFL's test part, 272 px, 5 points; not run.

    kpd train --config=feature_alignment/celeba --data=ROOT --workdir=DIR
      --config.method.features.weights=vgg16

ROOT holds CelebA and MAFL as their owners distribute them (`kpd doctor --data=celeba
--root=ROOT` says what of it; not tried on the official files): train is CelebA's partition
0 without MAFL's test part (161,962 pictures), test MAFL's 1,000. A folder of pictures with
an `annotations.npz` of five points and split does as well. `:unaligned` is the same on
pictures in the wild, cut to the given boxes. Where
VGG-16 comes from: `kpd weights`; `:pretrained` has EfficientNet-Lite0.

Paper (tables 2 and 3): mAP at .1 97.9 aligned, 90.9 unaligned (clustering 92.6, 71.8);
error in % of the pupil distance 5.0, 6.3 (6.0, 13.8).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'celeba',
            'landmarks': 'faces5',
            'size': 272,
        },
        evaluation={'test': 1_000},
        pictures=161_962,
    )
    return variants.apply(c, arg, VARIANTS)


def unaligned(c):
    """Pictures in the wild, cut to their boxes."""
    c.data.update(release='celeba_unaligned', resize='box')


VARIANTS = {**_shared.VARIANTS, 'unaligned': unaligned}
