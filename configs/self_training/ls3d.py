"""Self-training landmarks on LS3D-W: faces up to profile, 256 px, 68 points; not run.

    kpd train --config=self_training/ls3d --data=ROOT --workdir=DIR

ROOT holds LS3D-W as its owners distribute it (`kpd doctor --data=ls3d --root=ROOT` says
what of it; not tried on the official files), or a folder of pictures with an
`annotations.npz` of 68 points, boxes and split (test: LS3D-W balanced, 7,200 pictures).
Pictures are cut to the boxes. Errors are in % of the root of the
area the points span.

[mallis-thesis], forward | backward: stage 1 7.95 | 6.55, stage 2 5.26 (tables 6.1 and 6.4);
`:equivariance` 10.02, `:other_image` 11.15 in stage 1 (table 6.3), `:no_flip` 5.81 (table
6.5).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'ls3d',
            'landmarks': 'ls3d68',
            'resize': 'box:0.1',
        },
        evaluation={'fit': 10_000, 'test': 7_200},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
