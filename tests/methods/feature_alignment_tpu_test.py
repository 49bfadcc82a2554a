"""Feature alignment compiles for real TPUs over eight chips: every sweep and step."""

import pytest

from kpdiscovery import config
from tests.methods import tpu

pytestmark = pytest.mark.tpu_aot


def compile_parts(chips, wanted=lambda name: True):
    settings = config.load('feature_alignment/critters:smoke', [
        'method.features.backbone=given', 'method.block=1',
    ])  # fmt: skip
    batch = tpu.batch_of(
        settings.data.size, features=((8, 8, 16), 'float32'),
        features_valid=((8, 8), 'bool'),
    )  # fmt: skip
    return tpu.compile_parts(chips, settings, batch, wanted)


@pytest.mark.slow
def test_dictionary_pools_and_steps(tpu_topology):
    found = compile_parts(tpu_topology('v5e:2x4'))
    assert set(found) == {f'{phase} {part}' for phase in ('dictionary', 'align')
                          for part in ('extract', 'reduce', 'step')}  # fmt: skip
    text = {name: compiled.as_text() for name, compiled in found.items()}
    assert 'all-reduce' in text['dictionary reduce']  # Sums of the mixture.
    assert 'collective-permute' in text['align reduce']  # Pools travel half-way round.
    assert 'all-reduce' in text['align step']  # Of the gradients.


@pytest.mark.slow
@pytest.mark.parametrize('part', ['dictionary reduce', 'align reduce', 'align step'])
def test_newer_chips(tpu_topology, part):
    """v6e's module cannot be printed by jax 0.10, so only its memory is read."""
    found = compile_parts(tpu_topology('v6e:2x4'), lambda name: name == part)
    assert found[part].memory_analysis().temp_size_in_bytes < 2**28
