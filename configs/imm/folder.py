"""Conditional image generation on your own pictures of one kind of object, 128 px.

    kpd train --config=imm/folder:cpu --data=FOLDER --workdir=DIR

Needs EfficientNet-Lite0, or `--config.method.perceptual=vgg16` as in the paper
(docs/methods/imm.md); `:cpu`, 32 px, compares pixels: 25 minutes on about half a core. The
default: not run.
"""

from kpdiscovery.configs import variants


def get_config(arg: str = ''):
    return variants.apply(base({'source': 'folder'}), arg, VARIANTS)


def base(data: dict, **method):
    return variants.base(
        data={'size': 128, 'batch_size': 100, **data},
        method={'name': 'imm', **method},
        phases=train(100_000, name='adam', lr=1e-3, l2=5e-4),
        evaluation={'fit': 10_000, 'test': 10_000},
    )


def train(steps, **optimizer):
    return {'train': {'steps': steps, 'optimizer': optimizer}}


def cpu(c):
    """In so few steps landmarks must be made to follow the warp, and to keep apart."""
    c.data.update(size=32, batch_size=16)
    c.method.update(
        reconstruction='mse', width=16, levels=3, groups=4, temperature=0.1,
        sigma=0.2, equivariance=5.0, separation=0.02,
        views={'pad': 'reflect', 'scale_jitter': 0.1, 'rotation': 0.4},
    )  # fmt: skip
    c.phases = train(1_500, name='adam', lr=2e-3, warmup=50, decay='cosine')


def smoke(c):
    """Two steps of a tiny network: proves that the pieces fit."""
    c.data.update(size=16, batch_size=8)
    c.method.update(reconstruction='mse', width=4, levels=1, groups=2)
    c.phases = train(2, name='adam', lr=1e-3)
    c.run.update(log_every=1, checkpoint_every=1)
    c.evaluation.update(fit=8, test=8, batch_size=8)


VARIANTS = {'cpu': cpu, 'smoke': smoke}
