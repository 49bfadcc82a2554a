"""LMPNet on CUB-200-2011 (TFDS caltech_birds2011): 448 px, ResNet-50, 15 parts; not run.

    kpd train --config=lmpnet/cub --config.method.network.weights=resnet50 --workdir=DIR
        --config.phases.classify.optimizer.trunk=0.1 --config.phases.mask_out.optimizer.trunk=0.1
    kpd train --config=lmpnet/cub:pretrained,cpu --data=ROOT --workdir=DIR

The paper [guo2025]: accuracy 81.4, greedy PCK@0.1 of five keypoints 86.0. TFDS has boxes
but no parts: `--data=ROOT` takes the official files (`kpd doctor --data=cub --root=ROOT`
says what of them; not tried on these), or a folder of pictures, one sub-directory a class,
with an `annotations.npz` of 15 parts. `resnet50` is a network of `kpd weights`, as is
`:pretrained`'s EfficientNet-Lite0.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.lmpnet import _shared, folder


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'tfds',
            'release': 'cub',
            'options': {'name': 'caltech_birds2011'},
        },
        evaluation={'test': 5_794},
        epoch=187,
        num_classes=200,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {
    **_shared.POOLINGS, 'pretrained': _shared.pretrained, 'cpu': folder.cpu,
    'smoke': _shared.smoke,
}  # fmt: skip
