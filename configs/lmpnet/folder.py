"""LMPNet on your own classes, for example kinds of birds: keypoints they have in common.

    kpd train --config=lmpnet/folder:cpu --data=FOLDER --workdir=DIR

FOLDER has a sub-directory a class, or an `annotations.npz` with `label`. Where
EfficientNet-Lite0 is on the machine (`kpd weights efficientnet_lite0`) it starts from that,
else from random weights, which want some thousand pictures; `:scratch` does so anyway. The
default, 448 px, was not run.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.lmpnet import _shared, critters


def get_config(arg: str = ''):
    c = _shared.base(data={'source': 'folder'}, evaluation={'test': 10_000}, epoch=100)
    return variants.apply(c, arg, VARIANTS)


def cpu(c):
    if c.method.network.weights:
        _shared.pretrained_cpu(c, classify=200, mask_out=150)
        return
    critters.cpu(c)


VARIANTS = {
    **_shared.POOLINGS, 'pretrained': _shared.pretrained, 'scratch': variants.scratch,
    'cpu': cpu, 'smoke': _shared.smoke,
}  # fmt: skip
