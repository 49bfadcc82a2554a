"""Parts of faces: MAFL's 19,000 aligned training pictures, 1,000 for testing; not run.

    kpd train --config=feature_alignment/mafl --data=ROOT --workdir=DIR
      --config.method.features.weights=vgg16

ROOT holds CelebA and MAFL as their owners distribute them (`kpd doctor --data=mafl
--root=ROOT` says what of it; not tried on the official files), or a folder of pictures with
an `annotations.npz` of five points and split. Where VGG-16 comes from: `kpd weights`.

Paper (tables 4 and 8): error 4.9 % of the pupil distance, 7.1 on pictures that are not
aligned.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'mafl',
            'landmarks': 'faces5',
            'size': 272,
        },
        evaluation={'test': 1_000},
        pictures=19_000,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
