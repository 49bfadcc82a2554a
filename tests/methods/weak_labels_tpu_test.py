"""LMPNet and the weight map compile for real TPUs over eight chips: every step."""

import pytest

from kpdiscovery import config
from tests.methods import tpu

pytestmark = pytest.mark.tpu_aot


def compile_parts(chips, name, wanted=lambda name: True):
    settings = config.load(name)
    batch = tpu.batch_of(settings.data.size, label=((), 'int32'))
    return tpu.compile_parts(chips, settings, batch, wanted)


def sums_over_chips(compiled):
    return 'all-reduce' in compiled.as_text()


@pytest.mark.slow
def test_lmpnet(tpu_topology):
    found = compile_parts(tpu_topology('v5e:2x4'), 'lmpnet/critters:smoke')
    assert set(found) == {'classify step', 'mask_out step'}
    assert all(map(sums_over_chips, found.values()))


@pytest.mark.slow
def test_the_weight_map_by_triplets(tpu_topology):
    """Method II's run has every phase there is."""
    found = compile_parts(tpu_topology('v5e:2x4'), 'weight_map/critters:method2,smoke')
    steps = {'classify step', 'embed step', 'localize step'}
    assert set(found) == {*steps, 'localize extract', 'localize reduce'}
    assert all(sums_over_chips(found[name]) for name in steps)


@pytest.mark.slow
@pytest.mark.parametrize('name, part', [
    ('lmpnet/critters:smoke', 'mask_out step'),
    ('weight_map/critters:smoke', 'localize step'),
])  # fmt: skip
def test_the_last_step(tpu_topology, name, part):
    found = compile_parts(tpu_topology('v5e:2x4'), name, lambda name: name == part)
    assert sums_over_chips(found[part])


@pytest.mark.slow
@pytest.mark.parametrize('name, part', [
    ('lmpnet/critters:smoke', 'mask_out step'),
    ('weight_map/critters:method2,smoke', 'localize step'),
])  # fmt: skip
def test_newer_chips(tpu_topology, name, part):
    """v6e's module cannot be printed by jax 0.10, so only its memory is read."""
    chips = tpu_topology('v6e:2x4')
    found = compile_parts(chips, name, lambda name: name == part)
    assert found[part].memory_analysis().temp_size_in_bytes < 2**28
