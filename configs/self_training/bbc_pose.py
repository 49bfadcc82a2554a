"""Self-training landmarks on BBC Pose: sign-language video, 256 px, 7 points.

    kpd train --config=self_training/bbc_pose --data=FOLDER --workdir=DIR

FOLDER holds every tenth frame of the training videos (60,885), 1,000 test frames and an
`annotations.npz`.

Hardware and hours of ours: not run. Thesis, % of points within 6 px of 128 (raw, `:ch5`
within 12 of 256): `:ch5` 61.18 on average (table 5.2), chapter 6 after regression and
with temporal pairs 75.93 (table 6.9).
"""

from kpdiscovery.configs import landmarks


def get_config(arg: str = ''):
    c = landmarks.base(
        data={
            'source': 'folder',
            'landmarks': 'bbc7',
        },
        evaluation={'fit': 10_000, 'test': 1_000},
        num_landmarks=30,
    )
    return landmarks.apply(c, arg)
