"""TUSK on any folder of pictures: `:cpu` about 30 minutes on two CPU cores, else not run.

    kpd train --config=tusk/folder --data=FOLDER --workdir=DIR
    kpd predict --workdir=DIR FOLDER --out=DIR

Eight keypoints of sixteen types at 96 px, `:cpu` at 48 px inside; annotations are for
measuring only. Set `--config.method.num_keypoints`, `num_prototypes` and `window` (about
the distance of neighbouring points in pixels inside, odd) to suit the pictures.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.tusk import _shared


def get_config(arg: str = ''):
    c = variants.base(
        data={'source': 'folder', 'size': 96, 'batch_size': 32},
        method={
            'name': 'tusk',
            'num_keypoints': 8,
            'num_prototypes': 16,
            'window': 13,
            'views': _shared.views('reflect', 0.95, 0.05, 0.05, 0.05, 0.25),
        },
        phases=_shared.phases(steps=50_000),
        evaluation={'fit': 10_000, 'test': 10_000},  # With annotations.
    )
    return variants.apply(c, arg, VARIANTS)


def cpu(c):
    _shared.small(c, resolution=48, window=7)
    c.data.batch_size = 8
    c.phases.train.steps = 4000


VARIANTS = {'cpu': cpu, 'smoke': _shared.smoke}
