"""Self-training landmarks on faces: `:cpu` 906 s on one CPU core, the default not run.

    kpd train --config=self_training/faces --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with 68 points and a split by identity.
Errors are in per cent of the distance of the eyes, over 68 and over 5 points. `:cpu`, 64
px: forward error 12.4 over 68 points (`:scratch,cpu`), from XFeat's points 11.2
(`:pretrained,cpu`), mean shape 25.4, on other people than it learnt from; chapters 5 and
4, K 10 and equivariance alone cost as much and are in RESULTS.md. The default is 128 px and
the paper's network.
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
