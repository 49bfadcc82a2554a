"""LMPNet on CUB-200-2011 (TFDS caltech_birds2011): 448 px, ResNet-50, 15 parts; not run.

    kpd train --config=lmpnet/cub --config.method.network.weights=FILE --workdir=DIR

The paper [guo2025]: accuracy 81.4, greedy PCK@0.1 of five keypoints 86.0. TFDS has boxes
but no parts, for which `--data=FOLDER` takes the pictures, one sub-directory a class, with
an `annotations.npz` of 15 parts. FILE holds ImageNet weights (`kpd doctor` says from
where).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.lmpnet import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={'source': 'tfds', 'options': {'name': 'caltech_birds2011'}},
        evaluation={'test': 5_794},
        epoch=187,
        num_classes=200,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {'smoke': _shared.smoke}
