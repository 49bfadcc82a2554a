"""Verdicts about memory, from what a compiler says."""

import jax
import pytest

from kpdiscovery.compiled import costs, printing, tpu
from kpdiscovery.compiled.phases import Program
from kpdiscovery.training import sharding

TOO_LARGE = (
    'RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total '
    'memory required for HLO temporaries (20.5G) exceeds available HBM (15.75G).'
)


class Refusing:
    """A function that a compiler does not take."""

    def __init__(self, message):
        self.message = message

    def lower(self, *arguments):
        return self

    def compile(self):
        raise jax.errors.JaxRuntimeError(self.message)


def refused(message):
    mesh = sharding.make_mesh(1)
    program = Program(mesh, 'train', 'step', Refusing(message), (), 0, 2**30)
    return costs.compile_program(program, 'v5e:2x2')


def test_a_program_that_the_compiler_refuses_does_not_fit():
    row = refused(TOO_LARGE)
    assert row['needed'] == 21.5 * 2**30 and not row['fits']
    (line,) = printing.lines(row)
    assert line == 'train step: does not fit: 23.09 GB of 16.91 GB'
    assert printing.verdict([row]).startswith('DOES NOT FIT: at most 23.09 GB')


def test_other_errors_are_not_about_memory():
    with pytest.raises(jax.errors.JaxRuntimeError, match='INTERNAL'):
        refused('INTERNAL: a bug')


def test_the_largest_batch_lies_on_a_line_through_two():
    row = lambda needed: {'needed': needed, 'memory': tpu.HBM_BYTES['v5e']}
    fixed, each = 2**30, 2**27
    two = row(fixed + 32 * each), row(fixed + 16 * each)
    left = 14.75 * 2**30 / 2**27  # Pictures: 118.
    assert costs.largest_batch(*two, (32, 16), 4) == left // 4 * 4 == 116
    larger = row(fixed + 320 * each), row(fixed + 160 * each)
    assert costs.largest_batch(*larger, (320, 160), 16) == 112
    assert costs.largest_batch(row(16 * 2**30), row(17 * 2**30), (16, 32), 16) == 0
