"""Self-training landmarks on your own pictures of one kind of thing, cropped to it: 128 px.

    kpd train --config=self_training/folder:cpu --data=FOLDER --workdir=DIR

No annotation is needed. Ten landmarks; `:k20` and `:k30` ask for more. Pictures keep their
shape between bars. Frames of a video: `:temporal` pairs those of one directory that are five
apart. Not run; `:cpu`, 64 px, has the steps of self_training/faces, there 1,700 s on one CPU
core. `:clusters` finds landmarks without training first (configs/constellation). The
default, 128 px and the paper's network, is for an accelerator.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={'source': 'folder', 'size': 128, 'resize': 'pad', 'temporal_gap': 0},
        evaluation={},
        num_keypoints=10,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'temporal': _shared.temporal}
