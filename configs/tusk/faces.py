"""TUSK on a folder of faces, K = 4, M = 32: `:cpu` 393 s on one CPU core, else not run.

    kpd train --config=tusk/faces --data=FOLDER --workdir=DIR

With an `annotations.npz` of 68 points a picture (5: `--config.data.landmarks=faces5`), `kpd
evaluate` reports the error of a regression to five points in per cent of the eye distance.
Squared error takes the place of the perceptual loss, which needs a network: `:pretrained`
has EfficientNet-Lite0 for it (`kpd weights efficientnet_lite0`). The default is 80 px, as
on CelebA. `:cpu` looks at the middle .7 of the sides, which has little ground; at 40 px
inside, with three levels of width 16; with descriptors whitened and told apart by what two
views agree on, faces at another place and scale in every step, the equivariance of score
maps in earnest, and no pits in them (`upright`). No better than the mean shape, if nearer to
it than without these (RESULTS.md).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.tusk import _shared


def get_config(arg: str = ''):
    c = variants.base(
        data={
            'source': 'folder',
            'size': 80,
            'batch_size': 32,
            'landmarks': 'faces68',
        },
        method={
            'name': 'tusk',
            'num_keypoints': 4,
            'num_prototypes': 32,
            'window': 21,
            'reconstruction': 'mse',
            'views': _shared.views('reflect', 0.9, 0.05, 0.05, 0.05, 0.25),
        },
        phases=_shared.phases(steps=50_000),
        evaluation={'fit': 100_000, 'test': 100_000},
    )
    return variants.apply(c, arg, VARIANTS)


def cpu(c):
    _shared.small(c, resolution=40, window=11)
    _shared.whitened(c)
    c.method.update(
        clustering='information', cluster_weight=0.01, heat_weight=10.0, upright=True
    )
    if c.method.reconstruction == 'perceptual':
        c.method.reconstruction_weight = 0.005  # 200 times the squares, when trained.
    c.method.views.update(shift=0.15, zoom=0.2)
    c.data.update(batch_size=12, resize='crop:0.7')
    c.phases.train.steps = 900


VARIANTS = {'pretrained': _shared.pretrained, 'cpu': cpu, 'smoke': _shared.smoke}
