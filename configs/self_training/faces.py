"""Self-training landmarks on a folder of faces with 68 points: 128 px.

    kpd train --config=self_training/faces --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with 68 points and a split by
identity. Errors are in per cent of the distance of the eyes, over 68 and over 5 points.
`:cpu`, 64 px: 880 to 918 s on one CPU core a run; K 30: forward 12.4 over 68 points and 14.6
over 5 (mean shape 25.4 and 30.8), on other people than it learnt from; chapters 5 and 4, K 10
and equivariance alone are in RESULTS.md. The default, 128 px and the paper's network: not run.
"""

from kpdiscovery.configs import landmarks


def get_config(arg: str = ''):
    c = landmarks.base(
        data={'source': 'folder', 'landmarks': 'faces68', 'size': 128},
        evaluation={},
    )
    return landmarks.apply(c, arg, cpu=cpu)


def cpu(c):
    landmarks.small(c, warm_up=800, correspond=2_000, landmarks=1_200)
