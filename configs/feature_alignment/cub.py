"""Parts of birds: CUB-200-2011 from a folder, 304 px, 15 parts; `:pretrained,cpu` 11 minutes.

    kpd train --config=feature_alignment/cub --data=ROOT --workdir=DIR
      --config.method.features.weights=vgg16

TFDS caltech_birds2011 has no parts, hence ROOT: CUB-200-2011 as its owners distribute it
(`kpd doctor --data=cub --root=ROOT` says what of it; not tried on the official files), or a
folder of pictures with an `annotations.npz` of 15 points, boxes and the official split
(5,994 and 5,794). Pictures are cut to squares about the boxes, whose long side gets the
304 px: the paper's 224 are those of the short one, in boxes of 4 to 3. Where VGG-16 comes
from: `kpd weights`; `:pretrained` has EfficientNet-Lite0.

On 50 kinds, one core, `:pretrained,cpu` has mAP 43.2 at .1 of the picture and 37.9 of the
box (clustering 35.2, 30.5; mean place 2.2, 1.2); the paper's size was not run.

Paper (tables 5 and 6): mAP at .1 28.2 (others 26.9), error in % of the box 11.1 (clustering
13.9).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={
            'source': 'folder',
            'release': 'cub',
            'landmarks': 'cub15',
            'size': 304,
            'resize': 'box',
        },
        evaluation={'test': 5_794},
        pictures=5_994,
    )
    return variants.apply(c, arg, VARIANTS)


VARIANTS = {**_shared.VARIANTS, 'cpu': _shared.small}
