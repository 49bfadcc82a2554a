"""Self-training landmarks on PennAction: sports video, 256 px, 13 points; not run.

    kpd train --config=self_training/penn_action --data=ROOT --workdir=DIR

ROOT holds PennAction as its owners distribute it (`kpd doctor --data=penn_action
--root=ROOT` says what of it; not tried on the official files): the frames of six actions,
cut to the person (51,661 for training, 1,776 of the first five videos of each action for
testing); or a folder of pictures with an `annotations.npz` of points and boxes.
`:temporal` pairs frames of one `video` (or directory) that are five apart.

[mallis-thesis] (table 6.10): raw accuracy at 6 px of 128 by part 74.27 / 57.91 / 33.00 /
8.36 / 64.81 / 69.54 / 75.84 %.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'penn_action',
            'resize': 'box:0.1',
            'temporal_gap': 0,
            'landmarks': 'penn13',
        },
        evaluation={'fit': 10_000, 'test': 1_776},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {
    **_shared.VARIANTS, 'ch5': _shared.ch5_bodies, 'temporal': _shared.temporal,
}  # fmt: skip
