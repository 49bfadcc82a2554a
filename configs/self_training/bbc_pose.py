"""Self-training landmarks on BBC Pose: sign-language video, 256 px, 7 points; not run.

    kpd train --config=self_training/bbc_pose --data=FOLDER --workdir=DIR

FOLDER holds every tenth frame of the training videos (60,885), 1,000 test frames and an
`annotations.npz`. `:temporal` pairs each picture with the fifth next one of its `video`
(or directory), so for it FOLDER should hold frames that follow each other.

[mallis-thesis], % of points within 6 px of 128 (raw, `:ch5` within 12 of 256): `:ch5` 61.18 on
average (table 5.2), chapter 6 after regression and with temporal pairs 75.93 (table 6.9).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'temporal_gap': 0,
            'landmarks': 'bbc7',
        },
        evaluation={'fit': 10_000, 'test': 1_000},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'temporal': _shared.temporal}
