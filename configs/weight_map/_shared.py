"""What the configs of the weight map share: its training, methods I and II, sizes.

The paper leaves much of the training open; what is not its is our recommendation.
"""

from kpdiscovery.configs import variants

_SGD = {'name': 'sgd', 'momentum': 0.9, 'l2': 1e-4}


def base(data: dict, evaluation: dict, *, epoch: int, **method):
    """The weight map on some data: 224 px crops of 256 px, 200 and 100 epochs.

    `epoch` counts the steps of one, of batches of 16; the map's net learns from eight
    of them at a time.
    """
    rate = {**_SGD, 'lr': 1e-3, 'trunk': 1.0, 'decay': 'drops'}
    return variants.base(
        data={'size': 256, 'batch_size': 16, 'per_class': 0, **data},
        method={
            'name': 'weight_map',
            'guide': 'classifier',
            'network': {'backbone': 'resnet18', 'weights': ''},
            'encoder': {'backbone': 'resnet18', 'weights': ''},
            'crops': {'share': 224 / 256},
            **method,
        },
        phases={
            'classify': {
                'steps': 200 * epoch,
                'optimizer': {**rate, 'drops': (80 * epoch, 160 * epoch)},
            },
            'localize': {
                'steps': 100 * epoch,
                'epoch': epoch,
                'optimizer': {**_SGD, 'lr': 1e-4, 'accumulate': 8},
            },
        },
        evaluation=evaluation,
    )


def method2(c):
    """Method II: triplets in place of classes; few are in 16 pictures, hence 128 (at `:cpu`
    fewer, and 16 of a pretrained start). Its classifier has an eighth of method I's updates.

    Four of a class come together where classes are known beforehand: of 200 half the
    pictures would be without another of theirs. The classifier is trained too, for the
    classes it names and for CAM.
    """
    larger = 128 // c.data.batch_size
    c.data.batch_size *= larger
    c.data.per_class = 0 if c.data.source == 'critters' else 4
    c.method.guide = 'embedding'
    classify, localize = (_fewer(c.phases[n], larger) for n in ('classify', 'localize'))
    localize['optimizer']['accumulate'] = 1
    c.phases = {'classify': classify, 'embed': classify, 'localize': localize}


def no_regularizer(c):
    """Table 6: nothing keeps the map small."""
    c.method.regularizer = 0.0


def no_inner(c):
    """Table 6, of method II."""
    c.method.inner = False


def no_outer(c):
    """Table 6, of method II."""
    c.method.outer = False


def label(c):
    """Method I: the true class in place of the classifier's opinion."""
    c.method.target = 'label'


def parity_paper(c):
    """Read literally: a batch norm stands before the map's sigmoid too."""
    c.method.parity = 'paper'


def pretrained(c):
    """EfficientNet-Lite0 from ImageNet in all nets (`kpd weights efficientnet_lite0`)."""
    for name in ('network', 'encoder'):
        c.method[name].update(
            backbone='efficientnet_lite0', weights='efficientnet_lite0'
        )
    for section in c.phases.values():
        section.optimizer.trunk = 0.1


# Variants of every weight map config; sizes come after them.
VARIANTS = {
    'method2': method2, 'no_regularizer': no_regularizer, 'no_inner': no_inner,
    'no_outer': no_outer, 'label': label, 'paper': parity_paper, 'pretrained': pretrained,
}  # fmt: skip


def small(c):
    """64 px crops of 72 px, 8 x 8 cells, a quarter of the width: for two CPU cores.

    Pretrained nets keep their width, and see 128 px crops of 144 px.
    """
    if c.method.network.weights:
        c.data.update(size=144, batch_size=16)
        c.method.crops.share = 128 / 144
        for name in ('network', 'encoder'):
            # As LMPNet's: half the time, and classes that small batches do not blur.
            c.method[name].update(
                last_stride=1, frozen='stage5', frozen_statistics=True
            )
        return
    net = {'backbone': 'resnet18', 'width': 16, 'small_stem': True, 'last_stride': 1}
    c.data.update(size=72, batch_size=64)
    for name in ('network', 'encoder'):
        c.method[name].update(net)
    c.method.crops.share = 64 / 72


def short(c, *, classify: int, localize: int, epoch: int):
    """The weight map's phases in so many steps.

    Of random weights each trunk starts as the one before, as all start from ImageNet in
    the paper.
    """
    rate = {'name': 'adamw', 'lr': 3e-3, 'decay': 'cosine', 'warmup': classify // 20}
    learnt = {**rate, 'trunk': 0.1}
    # Constant: the best epoch is looked for, not waited for.
    found = {**learnt, 'lr': 1e-2, 'decay': 'constant'}
    if c.method.network.weights:
        rate = {**learnt, 'lr': 1e-3}
        # Birds: with .001 still behind after 160 steps what .004 has after 120; constant
        # (and a regularizer of 2), whole boxes were 47, 67, 86 % at 800, 900, 1,000.
        found = {**learnt, 'lr': 4e-3}
    phases = {
        'classify': {'steps': classify, 'optimizer': rate},
        'localize': {
            'steps': localize,
            'epoch': epoch,
            'optimizer': found,
        },
    }
    if c.method.guide == 'embedding':  # Fewer: three nets judge a picture.
        judge = classify if c.method.network.weights else classify // 4
        phases['embed'] = {'steps': judge, 'optimizer': learnt}
        phases['localize']['steps'] = localize = localize - epoch
    c.method.trunks = 'fresh' if c.method.network.weights else 'copy'
    c.phases = phases
    # Every epoch is kept: the last and the best in hindsight are measured too.
    c.run.update(checkpoint_every=epoch, keep=localize // epoch + 1)


def smoke(c):
    """Two steps a phase of a tiny network: proves that the pieces fit."""
    small(c)
    c.data.update(size=72 if c.method.network.weights else 36, batch_size=8)
    if not c.method.network.weights:
        for name in ('network', 'encoder'):
            c.method[name].width = 4
    c.method.crops.share = 64 / 72
    variants.two_steps(c)
    c.evaluation.update(fit=0, test=16, batch_size=8)


def _fewer(section, factor):
    """A phase of as many epochs in steps of `factor` times as many pictures."""
    section = section.to_dict()
    for name in ('steps', 'epoch'):
        if name in section:
            section[name] //= factor
    if 'drops' in section['optimizer']:
        drops = tuple(step // factor for step in section['optimizer']['drops'])
        section['optimizer']['drops'] = drops
    return section
