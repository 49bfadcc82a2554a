"""Self-training landmarks on CUB-200-2011: birds, 256 px, 15 parts; not run.

    kpd train --config=self_training/cub --data=FOLDER --workdir=DIR

FOLDER holds the pictures, without the sea birds (11,778) and mirrored so that the visible
eye is on one side, and an `annotations.npz` with their boxes, to which they are cut, and 15
parts.

[mallis-thesis] shows pictures, no figures.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'landmarks': 'cub15',
            'resize': 'box:0.1',
        },
        evaluation={'fit': 6_000, 'test': 5_778},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
