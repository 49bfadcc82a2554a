"""Self-training landmarks on faces: `:clusters,cpu` 25 minutes of one CPU core.

    kpd train --config=self_training/faces --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with 68 points and a split by identity.
Errors are in per cent of the distance of the eyes, over 68 and over 5 points. 64 px: forward
error 5.8 over 68 points (mean shape 25.4), backward 4.1, from landmarks that are found
without training first, on other people than it learnt from; `:distilled,cpu128` 5.7 in 22
minutes; the other chapters and variants are in RESULTS.md. Pictures are 1.6 times as large as
the face: the middle .7 is kept. The default is 128 px and the paper's network, and not run.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.self_training import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'landmarks': 'faces68',
            'size': 128,
            'resize': 'crop:0.7',
        },
        evaluation={},
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
