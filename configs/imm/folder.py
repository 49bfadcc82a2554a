"""Conditional image generation on your own pictures of one kind of object, 128 px.

    kpd train --config=imm/folder:cpu --data=FOLDER --workdir=DIR

Needs a VGG-16: `--config.method.vgg_weights=FILE`; `:cpu`, 64 px, compares pixels and
needs none. Hardware and hours of the default: not run.
"""

from kpdiscovery.configs import variants


def get_config(arg: str = ''):
    c = base(data={'source': 'folder'})
    return variants.apply(c, arg, VARIANTS)


def base(data: dict, **evaluation):
    """The paper's settings: batch 100, Adam, 10 landmarks."""
    adam = {'name': 'adam', 'lr': 1e-3, 'l2': 5e-4}
    return variants.base(
        data={'size': 128, 'batch_size': 100, **data},
        method={'name': 'imm', 'views': {'pad': 'reflect'}},
        phases={'train': {'steps': 100_000, 'optimizer': adam}},
        evaluation=evaluation,
    )


def cpu(c):
    """A network that learns on one CPU core."""
    c.data.update(size=64, batch_size=16)
    c.method.update(reconstruction='mse', width=16, levels=2, groups=4, temperature=0.1)
    adam = {'name': 'adam', 'lr': 2e-3, 'warmup': 50, 'decay': 'cosine'}
    c.phases.train = {'steps': 4_000, 'optimizer': adam}


def smoke(c):
    """Two steps of a tiny network: proves that the pieces fit."""
    c.data.update(size=32, batch_size=8)
    c.method.update(reconstruction='mse', width=4, levels=2, groups=2)
    c.phases.train.steps = 2
    c.run.update(log_every=1, checkpoint_every=1)
    c.evaluation.update(fit=8, test=8, batch_size=8)


VARIANTS = {'cpu': cpu, 'smoke': smoke}
