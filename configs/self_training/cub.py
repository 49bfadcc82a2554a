"""Self-training landmarks on CUB-200-2011: birds, 256 px, 15 parts; not run.

    kpd train --config=self_training/cub --data=ROOT --workdir=DIR

ROOT holds CUB-200-2011 as its owners distribute it (`kpd doctor --data=cub_landmarks
--root=ROOT` says what of it; not tried on the official files), read without sea birds and
mirrored so that the visible eye is on one side; or a folder of such pictures (11,778 in
[mallis-thesis]) with an `annotations.npz` of 15 parts and boxes, to which they are cut.

[mallis-thesis] shows pictures, no figures.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'cub_landmarks',
            'landmarks': 'cub15',
            'resize': 'box:0.1',
        },
        evaluation={'fit': 6_000, 'test': 5_778},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
