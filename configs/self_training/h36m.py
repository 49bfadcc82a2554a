"""Self-training landmarks on Human3.6M: bodies in a room, 256 px, 32 joints; not run.

    kpd convert h36m --root=ROOT --out=FOLDER
    kpd train --config=self_training/h36m --data=FOLDER --workdir=DIR

FOLDER holds every 50th frame of six subjects and activities (48,240), every 100th of the
seventh (2,760), and an `annotations.npz` with 32 joints and boxes, to which pictures are
cut. The first command makes it of the videos as their owners distribute them (`kpd doctor
--data=h36m --root=ROOT`; not tried on the official files), and swaps left and right joints
where the person is turned.

[mallis-thesis]: `:ch5` raw accuracy at 12 px 70.35 % (table 5.2; its parts average 70.52),
chapter 6 at 6 px of 128 77.1 %, PCK 70.1, AP .22, AR .30 (table 6.11). As in the released
code of [mallis2020], generic keypoints off the person stay and are clustered apart, to tell
the ground inside the boxes by; `boxes` are needed for that.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'h36m',
            'landmarks': 'h36m32',
            'resize': 'box:0.04',
        },
        evaluation={'fit': 10_000, 'test': 2_760},
        num_keypoints=30,
        ground_clusters=250,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'ch5': _shared.ch5_bodies}
