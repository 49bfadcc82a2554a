"""The programs of a run are those that training compiles, of shapes alone."""

import jax
import pytest
from jax._src import compiler

from kpdiscovery.compiled import phases
from kpdiscovery.training import loop, sharding
from kpdiscovery.types import UserError
from tests.training.toy import Colors, Toy, config

IMAGE = {'image': jax.ShapeDtypeStruct((8, 8, 3), 'uint8')}


def programs(method, devices, batch_size=8, rows=21):
    mesh = sharding.make_mesh(devices)
    return phases.programs_of(
        method.phases({}), mesh, IMAGE, batch_size=batch_size, rows=rows
    )


@pytest.fixture
def compiled(monkeypatch):
    """Texts of all programs that were compiled."""
    found, real = set(), compiler.backend_compile_and_load

    def spy(backend, module, *rest):
        found.add(module.operation.get_asm())
        return real(backend, module, *rest)

    monkeypatch.setattr(compiler, 'backend_compile_and_load', spy)
    return found


@pytest.mark.parametrize('devices', [1, 8])
def test_training_compiles_the_same(compiled, tmp_path, devices):
    method = Toy(steps=2, keep_best='score')
    loop.train(method, config(mesh={'data': devices}), Colors(), tmp_path)
    trained = set(compiled)
    jax.clear_caches()
    names = []
    for program in programs(method, devices):
        compiled.clear()
        with jax.set_mesh(program.mesh):
            program.function.lower(*program.arguments).compile()
        assert compiled and compiled <= trained, program.part
        names.append(f'{program.phase} {program.part}')
    sweep = [f'label {part}' for part in ('init', 'labels', 'visit', 'reduce', 'step')]
    assert names == ['mean init', 'mean step', *sweep]


def test_what_is_kept_beside_a_program():
    """float32 numbers: a colour and a centre, with Adam's two means and its count of the
    colour; a label of each of 24 rows, three a device."""
    state = 4 * (1 + 3 + 1 + 2 * 3 + 1)
    best, labels = 4 * (3 + 1), 4 * 3
    found = {(p.phase, p.part): p for p in programs(Toy(keep_best='score'), 8)}
    sizes = {name: (p.donated, p.beside) for name, p in found.items()}
    assert sizes['mean', 'init'] == (0, 0) and sizes['mean', 'step'] == (state, 0)
    assert sizes['label', 'labels'] == (0, state + best)
    assert sizes['label', 'reduce'] == (state, best + labels)
    assert sizes['label', 'step'] == (state, best)
    # A value, an old label, an index and whether the row counts.
    assert sizes['label', 'visit'] == (3 * (4 + 4 + 4 + 1), best)


def test_batches_must_divide():
    with pytest.raises(UserError, match='multiple of the 8 chips, got 12: .*size=16'):
        programs(Toy(), 8, batch_size=12)
