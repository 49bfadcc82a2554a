"""TUSK on Human3.6M without background: 112 px, K = 16, M = 32; not run.

    kpd convert h36m_white --root=ROOT --out=FOLDER
    kpd train --config=tusk/h36m --data=FOLDER --workdir=DIR

FOLDER holds frames whose background is white (the data set's masks) and an
`annotations.npz` with 32 joints and boxes, to which pictures are cut (own reading). The
first command makes it of the videos as their owners distribute them (`kpd doctor
--data=h36m_white --root=ROOT`; not tried on the official files). Where the person is turned
`kpd evaluate` swaps left and right. Paper (table 3): 6.88 % of the picture's side. `:code`
has K = 12, M = 24.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.tusk import _shared


def get_config(arg: str = ''):
    c = variants.base(
        data={
            'source': 'folder',
            'size': 112,
            'batch_size': 32,
            'release': 'h36m_white',
            'resize': 'box:0.1',
            'landmarks': 'h36m32',
        },
        method={
            'name': 'tusk',
            'num_keypoints': 16,
            'num_prototypes': 32,
            'window': 11,
            'views': _shared.views('constant', 0.95, 0.1, 0.05, 0.1, 0.25, fill=1.0),
        },
        phases=_shared.phases(steps=150_000),
        evaluation={'fit': 10_000, 'test': 2_760},
    )
    return variants.apply(c, arg, VARIANTS)


def code(c):
    c.method.update(parity='code', num_keypoints=12, num_prototypes=24)


VARIANTS = {'code': code, 'smoke': _shared.smoke}
