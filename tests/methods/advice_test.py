import jax
import pytest

from kpdiscovery import config, methods
from kpdiscovery.methods import advice
from tests.methods import tpu

PARTS = {
    'foreground': 0.2, 'background': 0.5, 'partners': 9.0, 'determinant': 1.0, 'outside': 0.1,
}  # fmt: skip
DRAWN = {'confidence': 0.3, 'peaks': 1.0, 'live': 9}
BAD = {
    'separation': (advice.landmarks(5), {'separation': 3.0}, {'separation': 1.0}),
    'exploration': (advice.prototypes(10), {**DRAWN, 'confidence': 1e-3}, DRAWN),
    'method.window': (advice.prototypes(10), {**DRAWN, 'peaks': 0.3}, DRAWN),
    'method.cluster_start': (advice.prototypes(10), {**DRAWN, 'live': 2}, DRAWN),
    'guessing': (advice.classes(10), {'loss': 3.0}, {'loss': 2.4}),
    'lower method.regularizer': (advice.maps, {'area': 0.0}, {'area': 0.3}),
    'raise method.regularizer': (advice.maps, {'area': 1.0}, {'area': 0.3}),
    'raise method.kappa': (advice.parts, {**PARTS, 'foreground': 0.0}, PARTS),
    'lower method.num_keypoints': (advice.parts, {**PARTS, 'foreground': 1.0}, PARTS),
    'fewer than the cells': (advice.parts, {**PARTS, 'background': 0.9}, PARTS),
    'transform=translation': (advice.parts, {**PARTS, 'determinant': 0.02}, PARTS),
    'method.transform': (advice.parts, {**PARTS, 'outside': 0.6}, PARTS),
    'features of another': (advice.parts, {**PARTS, 'partners': 1.0}, PARTS),
}


@pytest.mark.parametrize('remedy', BAD)
def test_a_collapse_is_told_with_its_remedy_once_it_counts(remedy):
    advise, bad, good = BAD[remedy]
    assert remedy in advise(bad, 0.5)
    assert advise(good, 0.5) == advise(bad, 0.1) == ''


@pytest.mark.parametrize('name', [
    'feature_alignment/critters:smoke', 'imm/critters:smoke', 'lmpnet/critters:smoke',
    'tusk/tetrominoes:smoke', 'weight_map/critters:smoke',
])  # fmt: skip
def test_phases_have_the_scalars_that_their_advice_reads(name):
    settings = config.load(name)
    if 'num_classes' in settings.method:
        settings.method.num_classes = 4
    phases = methods.build(settings.method).phases(settings.to_dict())
    advised = [phase for phase in phases if phase.advise]
    assert advised
    batch = tpu.batch_of(settings.data.size, label=((), 'int32'))
    key, state, table = tpu.shapes(lambda: jax.random.key(0)), None, {}
    for phase in phases:
        init = lambda key, batch, phase=phase, state=state: phase.init(
            key, batch, state
        )
        state = tpu.shapes(init, key, batch)
        if phase.sweep:
            table = tpu.shapes(
                lambda t, b, phase=phase: phase.sweep.init(8, t, b), table, batch
            )
        scalars = tpu.shapes(phase.step, state, batch, table, key)[1]
        if phase.advise:
            assert isinstance(phase.advise(dict.fromkeys(scalars, 0.5), 0.5), str)
