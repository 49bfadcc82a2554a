"""Pods: every config's batch, rates and steps, and the table of them in docs/pods.md."""

import re
from pathlib import Path

import pytest
from kpdiscovery.configs.pods import CHIPS

from kpdiscovery import config, methods

PAGE = Path(__file__).parents[1] / 'docs/pods.md'
OTHER_NUMBERS = ('self_training/mafl:ch5', 'self_training/mafl:ch4',
                 'weight_map/cub:method2', 'tusk/mnist_hard:code')  # fmt: skip
NAMES = (*config.names(), *OTHER_NUMBERS)
SWEEPS = ('round', 'epoch', 'pools_every')


def load(name, variant=''):
    both = ','.join(filter(None, (name.partition(':')[2], variant)))
    return config.load(f'{name.partition(":")[0]}:{both}')


def optimizers(section):
    """Of a phase, whether it has one, several, or none."""
    found = section.get('optimizer', {})
    return [found] if 'name' in found else list(found.values())


@pytest.mark.parametrize('name', NAMES)
def test_batches_split_and_as_many_pictures_are_seen(name):
    plain = load(name)
    for variant, chips in CHIPS.items():
        settings = load(name, variant)
        batch = settings.data.batch_size
        assert batch % chips == 0
        factor = batch / plain.data.batch_size
        assert factor >= min(chips / 8, 8)
        assert batch - chips < plain.data.batch_size * min(chips / 8, 8)
        assert methods.build(settings.method).phases(settings.to_dict())
        for phase, section in settings.phases.items():
            before = plain.phases[phase]
            if 'steps' not in before:  # Passes over all pictures.
                assert section == before
                continue
            if before.steps > 1:
                assert section.steps * factor == pytest.approx(before.steps, rel=0.05)
            for sweep in SWEEPS:
                if before.get(sweep) and before.steps % before[sweep] == 0:
                    assert (
                        section.steps // section[sweep] == before.steps // before[sweep]
                    )
                    assert section.steps % section[sweep] == 0
            pairs = zip(optimizers(before), optimizers(section), strict=True)
            for old, new in pairs:
                grown = factor * new.get('accumulate', 1) / old.get('accumulate', 1)
                assert 1 <= grown < factor * 1.01
                power = 1 if old.name == 'sgd' else 0.5
                assert new.lr == pytest.approx(old.lr * grown**power)


def test_chapter_five_by_hand():
    """Four accumulated batches of 16 become one of 128: updates twice as large."""
    c = load('self_training/mafl:ch5', 'v5e_64')
    assert (c.data.batch_size, c.method.merge_start) == (128, 12_500)
    assert (c.run.log_every, c.run.checkpoint_every) == (6, 125)
    first, last = c.phases.correspond, c.phases.landmarks
    assert (first.steps, first.round, first.optimizer.cycle) == (36_250, 1_250, 1_250)
    assert first.optimizer.lr == pytest.approx(5e-4 * 8**0.5)
    assert first.optimizer.lr_min == pytest.approx(5e-6 * 8**0.5)
    assert (last.steps, last.round) == (40_000, 6_250)
    for group in last.optimizer.values():
        assert (group.accumulate, group.drops) == (1, (25_000, 32_500))
        assert group.lr == pytest.approx(5e-4 * 2**0.5)


def test_others_by_hand():
    c = load('tusk/tetrominoes', 'v5e_8')  # 76 do not split over eight.
    assert (c.data.batch_size, c.phases.train.steps) == (80, 142_500)
    assert c.phases.train.optimizer.prototypes.lr == pytest.approx(0.1025978)
    c = load('weight_map/cub', 'v5e_256').phases  # 256 in place of 16; of 8 times 16.
    assert (c.classify.steps, c.classify.optimizer.lr) == (4_688, 1e-3 * 16)
    assert c.classify.optimizer.drops == (1_875, 3_750)
    assert (c.localize.epoch, c.localize.steps) == (23, 2_300)
    assert (c.localize.optimizer.accumulate, c.localize.optimizer.lr) == (1, 2e-4)
    c = load('feature_alignment/cub', 'v5e_64').phases
    assert (c.align.steps, c.align.pools_every, c.dictionary.steps) == (935, 187, 1)
    assert c.align.optimizer.share == pytest.approx(0.8)


def number(value):
    return f'{value:,}' if isinstance(value, int) else f'{value:.3g}'


def joined(values):
    """All of them, or the only one there is."""
    values = [number(value) for value in values]
    return values[0] if len(set(values)) == 1 else ' / '.join(values)


def cells(name):
    """A config's row of the table: batch, phases and steps, and of each pod batch, factor,
    rates and steps."""
    plain = load(name)
    phases = methods.build(plain.method).phases(plain.to_dict())
    names = list(dict.fromkeys(re.sub(r'_\d+$', '', phase.name) for phase in phases))
    steps = lambda c: [number(c.phases[phase].steps) for phase in names]
    row = [number(plain.data.batch_size)]
    row.append(', '.join(map(' '.join, zip(names, steps(plain), strict=True))))
    rates = lambda c: [optimizers(c.phases[phase])[0].lr for phase in names
                       if optimizers(c.phases[phase])]  # fmt: skip
    for variant in CHIPS:
        c = load(name, variant)
        factor = c.data.batch_size / plain.data.batch_size
        grown = [new / old for new, old in zip(rates(c), rates(plain), strict=True)]
        sizes = number(c.data.batch_size), number(factor), joined(grown)
        row.append('; '.join((*sizes, ' / '.join(steps(c)))))
    return row


def test_the_page_has_the_numbers():
    """A row for the configs of a method with the same ones."""
    rows = {}
    for name in (name for name in NAMES if not name.startswith('constellation')):
        key = name.split('/')[0], *cells(name)
        rows.setdefault(key, []).append(name.split('/')[1])
    wanted = [f'| `{method}`: {", ".join(names)} | {" | ".join(row)} |'
              for (method, *row), names in rows.items()]  # fmt: skip
    found = [line for line in PAGE.read_text().splitlines() if line.startswith('| `')]
    assert found == wanted, '\n' + '\n'.join(wanted)
