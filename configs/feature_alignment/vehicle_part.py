"""Parts of vehicles: a run for each of VehiclePart's six categories, IoU 0.5; not run.

    kpd train --config=feature_alignment/vehicle_part --data=FOLDER --workdir=DIR
      --config.method.features.weights=vgg16

FOLDER holds the pictures of one category of PASCAL3D+ (300 to 2,000 to train on) and an
`annotations.npz` with `part_boxes`, `part_image`, `part_label` and the split. Other
vehicles have fewer pictures: `--config.phases.align.steps` are ten passes over 2,000. 304 px
are those of the long side: the paper's 224 of the short one in pictures of 4 to 3. Where
VGG-16 comes from: `kpd weights`.

Paper (table 1), mAP of aeroplane, bicycle, bus, car, motorbike, train: 18.7, 66.7, 46.6,
35.5, 39.6, 19.4 (clustering 16.7, 54.6, 28.7, 32.2, 32.2, 17.6).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(data={'source': 'folder', 'size': 304}, evaluation={'test': 2_000})
    return variants.apply(c, arg, VARIANTS)


VARIANTS = _shared.VARIANTS
