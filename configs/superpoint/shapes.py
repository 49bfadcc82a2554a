"""SuperPoint's first stage, corners of drawn shapes: `:cpu` 2,330 s on part of a CPU core.

    kpd train --config=superpoint/shapes --workdir=DIR
    kpd train --config=superpoint/folder --data=FOLDER --config.method.weights=DIR ...

The paper-size network at 120 px (pictures here are square), 50,000 steps of 64: not run.
`:cpu` has a quarter of the parameters and works at 64 px; 3,000 of its steps took that long
(RESULTS.md, Generic keypoints).
"""

from kpdiscovery.configs import variants


def get_config(arg: str = ''):
    c = variants.base(
        data={'source': 'shapes', 'size': 120, 'batch_size': 64},
        method={
            'name': 'superpoint',
            'threshold': 0.001,
            'views': {'patch': 0.8, 'overflow': 0.05, 'margin': 2},
        },
        phases={
            'shapes': {'steps': 50_000, 'optimizer': {'name': 'adam', 'lr': 1e-3}},
        },
        evaluation={'test': 500},
    )
    return variants.apply(c, arg, VARIANTS)


def cpu(c):
    small(c)
    c.data.update(size=64, batch_size=32)
    c.method.photometric = mild()
    rate = {'name': 'adam', 'lr': 2e-3, 'warmup': 100, 'decay': 'cosine'}
    c.phases.shapes.update(steps=5000, optimizer=rate)


def mild() -> dict:
    """Light and noise that leave small pictures readable."""
    return {
        'brightness': 0.2,
        'contrast': (0.5, 1.5),
        'noise': 0.04,
        'speckle': 0.0035,
        'shade': (-0.5, 0.5),
        'blur': 3,
    }


def small(c) -> None:
    """A quarter of the parameters, and a shorter memory for shorter training."""
    c.method.update(widths=(32, 32, 64, 64), head=128, descriptor=128, momentum=0.98)


def smoke(c):
    """Two steps of a tiny network: proves that the pieces fit."""
    tiny(c)
    c.data.options = {'length': 16}


def tiny(c) -> None:
    c.data.update(size=32, batch_size=8)
    c.method.update(widths=(4, 4, 4, 4), head=8, descriptor=8, num_keypoints=20)
    variants.two_steps(c)
    c.evaluation.update(test=8, batch_size=8)


VARIANTS = {'cpu': cpu, 'smoke': smoke}
