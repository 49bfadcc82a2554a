"""Self-training landmarks on DeepFashion: whole bodies, 256 px, 14 points; not run.

    kpd train --config=self_training/deepfashion --data=ROOT --workdir=DIR

ROOT holds DeepFashion's in-shop clothes as their owners distribute them (`kpd doctor
--data=deepfashion --root=ROOT` says what of them; not tried on the official files), of
which the full-body pictures are taken (12,416 for training, 500 for testing); or a folder
of pictures with an `annotations.npz`. The 14 points are no annotation of the set:
[mallis-thesis] has them from a pose detector, whose file you bring:
`--config.data.options.truth=FILE.npz`, with `files` and `keypoints`.

[mallis-thesis] shows pictures, no figures.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'deepfashion',
            'landmarks': 'fashion14',
        },
        evaluation={'fit': 10_000, 'test': 500},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
