"""Self-training landmarks on a folder of faces with 68 points: 128 px.

kpd train --config=self_training/faces --data=FOLDER --workdir=DIR
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
