"""Parts of vehicles: a run for each of VehiclePart's six categories, IoU 0.5; not run.

    kpd train --config=feature_alignment/vehicle_part:car --data=ROOT --workdir=DIR
      --config.method.features.weights=vgg16
      --config.data.options.truth=FILE.npz

ROOT holds PASCAL3D+ as its owners distribute it (`kpd doctor --data=pascal3d_car
--root=ROOT` says what of it; not tried on the official files), FILE the boxes of semantic
parts, another set, whose layout we do not know: `files`, `part_boxes`, `part_image`,
`part_label`. A folder of the pictures of one category (300 to 2,000 to train on) with an
`annotations.npz` of those and the split does as well. The category is the variant. Other
vehicles have fewer pictures: `--config.data.rows` counts those that are looked at. Where
VGG-16 comes from: `kpd weights`.

Paper (table 1), mAP of aeroplane, bicycle, bus, car, motorbike, train: 18.7, 66.7, 46.6,
35.5, 39.6, 19.4 (clustering 16.7, 54.6, 28.7, 32.2, 32.2, 17.6).
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.feature_alignment import _shared


def get_config(arg: str = ''):
    c = _shared.base(
        data={'source': 'folder', 'size': 304, 'release': 'pascal3d_car'},
        evaluation={'test': 2_000},
    )
    return variants.apply(c, arg, VARIANTS)


def _of(category):
    """Pictures of one category."""

    def choose(c):
        c.data.release = f'pascal3d_{category}'

    return choose


CATEGORIES = ('aeroplane', 'bicycle', 'bus', 'car', 'motorbike', 'train')
VARIANTS = {**_shared.VARIANTS, **{name: _of(name) for name in CATEGORIES}}
