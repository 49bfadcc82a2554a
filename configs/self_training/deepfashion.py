"""Self-training landmarks on DeepFashion: whole bodies, 256 px, 14 points; not run.

    kpd train --config=self_training/deepfashion --data=FOLDER --workdir=DIR

FOLDER holds the full-body pictures (12,416 for training, 500 for testing) and an
`annotations.npz`. The 14 points are no annotation of the set: [mallis-thesis] has them from
a pose detector, whose file you bring.

[mallis-thesis] shows pictures, no figures.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'landmarks': 'fashion14',
        },
        evaluation={'fit': 10_000, 'test': 500},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
