"""Self-training landmarks on BBC Pose: sign-language video, 256 px, 7 points; not run.

    kpd train --config=self_training/bbc_pose --data=ROOT --workdir=DIR

ROOT holds BBC Pose as its owners distribute it (`kpd doctor --data=bbc_pose --root=ROOT`
says what of it; not tried on the official files), of which every tenth frame of the
training videos is taken (60,885) and 1,000 annotated ones for testing; or a folder of
pictures with an `annotations.npz`. Pictures are cut to the boxes of their points, where
they have any. `:temporal` pairs each picture with the fifth next one of its `video` (or
directory), so for it a folder should hold frames that follow each other.

[mallis-thesis], % of points within 6 px of 128 (raw, `:ch5` within 12 of 256): `:ch5` 61.18 on
average (table 5.2), chapter 6 after regression and with temporal pairs 75.93 (table 6.9).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'bbc_pose',
            'resize': 'box:0.2',
            'temporal_gap': 0,
            'landmarks': 'bbc7',
        },
        evaluation={'fit': 10_000, 'test': 1_000},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {
    **_shared.VARIANTS, 'ch5': _shared.ch5_bodies, 'temporal': _shared.temporal,
}  # fmt: skip
