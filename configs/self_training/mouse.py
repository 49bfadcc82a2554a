"""Self-training landmarks on frames of one mouse, 4 points: `:clusters,cpu` 21 min of a core.

    kpd train --config=self_training/mouse --data=FOLDER --workdir=DIR

FOLDER holds frames and an `annotations.npz` with snout, both ears and the tail base. A
hundred frames of one scene are few: the point is a short run on your own video. Frames are
cut to what moves: of whole ones these methods learn the ground, which keeps its place best.
`:clusters,cpu`, 10 landmarks: forward error 6.1 % (its start 6.4, mean shape 31.9; RESULTS.md).
The default is 128 px and the paper's network, and not run.
`:temporal` pairs frames of one `video` (or directory) that are five apart.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'landmarks': 'mouse4',
            'size': 128,
            'resize': 'moving:0.1',
            'temporal_gap': 0,
        },
        evaluation={},
        num_keypoints=10,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'temporal': _shared.temporal}
