"""TUSK on Tetrominoes, K = 3, M = 114: `:demo` 102 s on one CPU core, paper's size not run.

    kpd train --config=tusk/tetrominoes --workdir=DIR
    kpd train --config=tusk/tetrominoes:official --data=FILE --workdir=DIR

19 shapes in 6 colours. Paper (table 2): ARI 99.7, shape 91.3, colour 100, two V100, 24 h.
Variants:

- `:official` reads `tetrominoes_train.tfrecords` of [kabra2019] instead of drawing: its
  first 60,000 scenes, the last 10,000 of them for testing. Not tried on the published file.
- `:code` follows the released code where it disagrees with the paper.
- `:demo` is `make demo`: 16 px inside instead of 112 (masks come back at 35 px), 3 levels
  of width 16, descriptors of 16, standardised features, splats of variance 0.5 px^2 times
  256 instead of 0.05 (a sub-pixel splat on 16 px is one pixel, and training starts slower),
  no second view and so no equivariance, Adam 1.5e-3 with warm-up and decay, cluster loss
  after 30 % of the steps, 4 prototype steps of 16 projections on the last 256 descriptors.
  `exploration` (a lottery among unusual pixels, over 70 % of the steps) and `weigh_alphas`
  (a layer's share grows with its confidence) are against colours that are never found,
  `claim_weight` against keypoints that claim ground (why: RESULTS.md).
- `:cpu` is `:demo` with 32 px inside and the equivariance losses, about an hour.
- `:smoke` takes two steps.
"""

from kpdiscovery.configs import variants
from kpdiscovery.configs.tusk import _shared


def get_config(arg: str = ''):
    c = variants.base(
        data={'source': 'tetrominoes', 'size': 112, 'batch_size': 76},
        method={
            'name': 'tusk',
            'num_keypoints': 3,
            'num_prototypes': 114,
            'window': 27,
            'alpha': True,
            'views': _shared.views('reflect', 0.95, 0.02, 0.02, 0.05, 0.1),
        },
        phases=_shared.phases(steps=150_000),
    )
    return variants.apply(c, arg, VARIANTS)


def official(c):
    c.data.source = 'multi_object'
    with c.unlocked():
        c.data.options = {'name': 'tetrominoes', 'objects': 3}


def code(c):
    c.method.parity = 'code'
    c.data.batch_size = 38


def demo(c):
    _shared.small(c, resolution=16, window=5)
    c.data.update(size=35, batch_size=16)
    c.method.views = None
    _shared.found_colors(c)
    c.phases.train.steps = 2000


def cpu(c):
    _shared.small(c, resolution=32, window=9)
    c.data.update(size=35, batch_size=16)
    _shared.found_colors(c)
    c.phases.train.steps = 8000


VARIANTS = {
    'official': official, 'code': code, 'demo': demo, 'cpu': cpu, 'smoke': _shared.smoke,
}  # fmt: skip
