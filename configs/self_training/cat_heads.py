"""Self-training landmarks on Cat Heads: 256 px, K = 20, 7 points; not run.

    kpd train --config=self_training/cat_heads --data=ROOT --workdir=DIR

ROOT holds the cat data set as its owners distribute it (`kpd doctor --data=cat_heads
--root=ROOT` says what of it; not tried on the official files), or a folder of pictures with
an `annotations.npz` of seven of the nine points, the tips of the ears left out, and boxes,
to which pictures are cut. [mallis-thesis] has 7,747 for training, 1,257 for testing; here
every seventh of all pictures is for testing.

[mallis-thesis]: forward error 9.31 % of the eye distance (table 6.8).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'cat_heads',
            'landmarks': 'cats7',
            'resize': 'box:0.1',
        },
        evaluation={'fit': 7_747, 'test': 1_257},
        num_keypoints=20,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
