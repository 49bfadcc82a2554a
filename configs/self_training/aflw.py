"""Self-training landmarks on AFLW: faces in the wild, 256 px, not run; `:clusters,cpu` was.

    kpd train --config=self_training/aflw --data=ROOT --workdir=DIR
      --config.data.resize=box:0.1

ROOT holds AFLW as its owners distribute it (`kpd doctor --data=aflw --root=ROOT` says what
of it; not tried on the official files), or a folder of pictures with an `annotations.npz`
of the five points that are always visible, boxes and split ([mallis-thesis]: 10,112 for
training, 2,991 for testing). Pictures of ROOT are whole: `--config.data.resize=box:0.1` cuts
them to their boxes.

`:clusters,cpu` of MTFL's 10,000 faces, 64 px: 8.6 on 1,993 of AFLW (mean shape 23.8; RESULTS.md),
1,772 s on one busy core after 25 minutes for its start.
[mallis-thesis], forward error in % of the eye distance:
`:ch4,k10` 7.76, `:ch5` 7.37, `:k10` 7.18, K = 30 7.4 (tables 4.1, 5.1, 6.4, 6.7); chapter 4
starts from a CelebA model and goes on for three rounds, here it starts afresh.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'aflw',
            'landmarks': 'faces5',
        },
        evaluation={'fit': 10_112, 'test': 2_991},
        num_keypoints=30,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
