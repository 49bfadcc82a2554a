"""Self-training landmarks on a folder of faces with 68 points: 128 px.

    kpd train --config=self_training/faces --data=FOLDER --workdir=DIR

FOLDER holds crops of faces and an `annotations.npz` with 68 points and a split by
identity. Errors are in per cent of the distance of the eyes, over 68 and over 5 points.
Hardware and hours: the default was not run; `:cpu` (64 px) not in its present form.
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
