"""Self-training landmarks on CelebA, measured on MAFL: aligned faces, 256 px; not run.

    kpd train --config=self_training/mafl --data=ROOT --workdir=DIR

ROOT holds CelebA and MAFL as their owners distribute them (`kpd doctor --data=celeba
--root=ROOT` says what of it; not tried on the official files): train is CelebA's partition
0 without MAFL's test part (161,962 pictures), test MAFL's 1,000. A folder of pictures with
an `annotations.npz` of points and split does as well. With 68 points of a face-alignment
network, as [mallis-thesis] has them, add `--config.data.options.truth=FILE.npz
--config.data.landmarks=faces68`.

[mallis-thesis], forward error in % of the eye distance on MAFL: `:ch4,k10` 4.44, `:ch5`
4.12, `:k10` 3.83, `:k30` (the default) 3.25 with SuperPoint as the start, 4.07 with SIFT
(tables 4.1, 5.1, 6.2, 6.7).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'celeba',
            'landmarks': 'faces5',
        },
        evaluation={'fit': 19_000, 'test': 1_000},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
