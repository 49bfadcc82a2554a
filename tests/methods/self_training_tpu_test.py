"""Self-training compiles for real TPUs over eight chips: every step, extract and reduce."""

import pytest

from kpdiscovery import config
from tests.methods import tpu

pytestmark = pytest.mark.tpu_aot
POINTS = 6


def compile_parts(chips, variant, wanted):
    """Temporary bytes a chip of the parts of a run whose name `wanted` accepts."""
    settings = config.load(f'self_training/critters:{variant}smoke', [
        f'method.num_points={POINTS}', 'method.network.depth=1',
    ])  # fmt: skip
    batch = tpu.batch_of(
        settings.data.size,
        detected=((POINTS, 2), 'float32'),
        detected_score=((POINTS,), 'float32'),
        detected_descriptors=((POINTS, 8), 'float32'),
    )
    found = tpu.compile_parts(chips, settings, batch, wanted)
    return {n: c.memory_analysis().temp_size_in_bytes for n, c in found.items()}


@pytest.mark.slow
def test_chapter_six_whole(tpu_topology):
    sizes = compile_parts(tpu_topology('v5e:2x4'), '', lambda name: True)
    assert len(sizes) == 7 and max(sizes.values()) < 2**28


@pytest.mark.slow
@pytest.mark.parametrize('variant, part', [
    ('', 'correspond step'), ('', 'correspond reduce'), ('', 'landmarks step'),
])  # fmt: skip
def test_newer_chips(tpu_topology, variant, part):
    assert compile_parts(tpu_topology('v6e:2x4'), variant, lambda name: name == part)


@pytest.mark.slow
@pytest.mark.parametrize('variant, part', [
    ('global_negatives,', 'correspond step'),
    ('ch5,', 'correspond step'), ('ch5,', 'correspond reduce'),
    ('ch5,', 'landmarks reduce'), ('ch4,', 'locate_2 extract'), ('ch4,', 'locate_2 step'),
    ('ch4,', 'landmarks reduce'),
])  # fmt: skip
def test_what_variants_have_of_their_own(tpu_topology, variant, part):
    assert compile_parts(tpu_topology('v5e:2x4'), variant, lambda name: name == part)
