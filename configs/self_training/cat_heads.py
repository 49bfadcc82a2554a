"""Self-training landmarks on Cat Heads: 256 px, K = 20, 7 points; not run.

    kpd train --config=self_training/cat_heads --data=FOLDER --workdir=DIR

FOLDER holds the heads (7,747 for training, 1,257 for testing) and an `annotations.npz`
with seven of the nine points, the ears left out.

[mallis-thesis]: forward error 9.31 % of the eye distance (table 6.8).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'landmarks': 'cats7',
        },
        evaluation={'fit': 7_747, 'test': 1_257},
        num_keypoints=20,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
