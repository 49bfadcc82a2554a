"""Self-training landmarks on critters: 12 true keypoints, drawn pictures.

kpd train --config=self_training/critters:cpu --workdir=DIR
"""

from kpdiscovery.configs import landmarks


def get_config(arg: str = ''):
    c = landmarks.base(
        data={'source': 'critters', 'size': 128, 'landmarks': 'critters12'},
        evaluation={'fit': 2_000, 'test': 2_000},
    )
    return landmarks.apply(c, arg, cpu=cpu, smoke=smoke)


def cpu(c):
    c.data.update(size=96, batch_size=16, options={'length': 2_000})
    c.method.update(
        num_points=32, num_landmarks=20, num_clusters=40, kmeans_restarts=2,
        kmeans_iterations=20, outliers=0.0, min_gap=3.0, target_sigma=0.75,
        network={'features': 64, 'depth': 3, 'groups': 8},
    )  # fmt: skip
    rmsprop = {'name': 'rmsprop', 'lr': 5e-4, 'l2': 1e-5}
    c.phases = {
        'warm_up': {'steps': 300, 'optimizer': rmsprop},
        'correspond': {'steps': 400, 'round': 100, 'optimizer': rmsprop},
        'landmarks': {
            'steps': 300, 'optimizer': {'trunk': rmsprop, 'head': rmsprop},
        },
    }  # fmt: skip


def smoke(c):
    landmarks.smoke(c)
    c.data.options = {'length': 24}
