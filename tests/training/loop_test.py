"""The one loop: phases, sweeps, resumption, stopping, on one and on eight devices."""

import collections
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.data import feeds
from kpdiscovery.training import loop, sharding
from kpdiscovery.training.checkpoints import Checkpoints
from kpdiscovery.training.runs import load_epochs, load_variables
from kpdiscovery.types import UserError
from tests.training.toy import Colors, Toy, config

TIMES = (
    'compilations',
    'compile_seconds',
    'seconds',
    'step_ms_50',
    'step_ms_90',
    'waiting',
)


def scalars(workdir):
    rows = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
    table: dict = {}
    for row in rows:  # A sweep and a step may share a number.
        table.setdefault((row['phase'], row['step']), {}).update(row)
    return table


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """An uninterrupted run, all of it compiled here, and where it lies."""
    jax.clear_caches()
    workdir = tmp_path_factory.mktemp('whole')
    return loop.train(Toy(), config(), Colors(), workdir), workdir


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of that workdir, to be spoilt."""
    return shutil.copytree(whole[1], tmp_path / 'copy')


def test_trains_through_all_phases(whole):
    outcome, workdir = whole
    assert outcome.finished and outcome.step == 12
    kept = scalars(workdir)
    assert {phase for phase, _ in kept} == {'mean', 'label'}
    assert kept['mean', 6]['loss'] < kept['mean', 1]['loss']
    variables, meta = load_variables(workdir)
    np.testing.assert_array_equal(variables['color'], outcome.variables['color'])
    assert (meta['number'], meta['phase'], meta['step']) == (1, 'label', 6)
    assert meta['seconds'] > 0 and meta['device'].startswith('1 x')


def stopped_after(asks, workdir, monkeypatch, toy):
    """Outcome of a run that is stopped when it has asked so often whether to go on."""
    countdown = iter(range(asks))
    reason = property(
        lambda self: '' if next(countdown, None) is not None else 'time is up'
    )
    with monkeypatch.context() as patch:
        patch.setattr(loop.Stop, 'reason', reason)
        return loop.train(toy, config(), Colors(), workdir)


# Asked once a step and once a piece of a sweep: of the phase with sweeps 4, 1, 4, 1, 4, 1.
@pytest.mark.parametrize('asks, step', [(2, 2), (3, 3), (8, 6), (12, 8), (14, 8)])
def test_resumed_run_is_the_uninterrupted_one(whole, tmp_path, monkeypatch, asks, step):
    stopped = stopped_after(asks, tmp_path, monkeypatch, Toy())
    assert not stopped.finished and stopped.step == step
    resumed = loop.train(Toy(), config(), Colors(), tmp_path)
    color = whole[0].variables['color']
    np.testing.assert_array_equal(resumed.variables['color'], color)
    losses = [{k: v['loss'] for k, v in scalars(workdir).items() if 'loss' in v}
              for workdir in (whole[1], tmp_path)]  # fmt: skip
    assert losses[0] == losses[1]


def test_a_run_stopped_in_its_last_sweep_goes_on_with_it(tmp_path, monkeypatch):
    toy = Toy(steps=2, at_end=True)
    want = loop.train(toy, config(), Colors(), tmp_path / 'whole')
    stopped = stopped_after(2 + 4 + 1 + 2, tmp_path / 'two', monkeypatch, toy)
    assert not stopped.finished and stopped.step == want.step == 4
    for _ in range(2):  # The second time there is nothing to do.
        got = loop.train(toy, config(), Colors(), tmp_path / 'two')
        assert got.finished and got.step == want.step
        jax.tree.map(np.testing.assert_array_equal, got.variables, want.variables)
    saved, _ = load_variables(tmp_path / 'two')
    np.testing.assert_array_equal(saved['centre'], want.variables['centre'])
    swept = [step for (_, step), row in scalars(tmp_path / 'two').items()
             if 'sweep/centre' in row]  # fmt: skip
    assert swept == [0, 2]


def test_finished_run_does_nothing_more(whole):
    first, workdir = whole
    again = loop.train(Toy(), config(), Colors(), workdir)
    assert again.finished and again.step == first.step
    np.testing.assert_array_equal(again.variables['color'], first.variables['color'])


def test_max_seconds_stops_with_a_checkpoint(tmp_path):
    for step in (1, 2):  # Each call makes one step, however short its time.
        outcome = loop.train(Toy(), config(), Colors(), tmp_path, max_seconds=0.0)
        assert not outcome.finished and outcome.reason == 'time is up'
        assert load_variables(tmp_path)[1]['step'] == outcome.step == step
    assert loop.train(Toy(), config(), Colors(), tmp_path).finished


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT'])
def test_signals_save_and_leave(tmp_path, name):
    number = getattr(signal, name)
    before, first = signal.getsignal(number), iter([True])

    @dataclasses.dataclass(frozen=True)
    class Interrupted(Toy):
        def _step(self, *args):
            if next(first, False):  # While the first phase is traced.
                os.kill(os.getpid(), number)
            return super()._step(*args)

    outcome = loop.train(Interrupted(steps=500), config(), Colors(), tmp_path)
    assert not outcome.finished and name in outcome.reason
    assert signal.getsignal(number) == before
    assert load_variables(tmp_path)[1]['step'] == outcome.step


def test_a_second_interrupt_ends_at_once(capfd):
    with loop.Stop(None) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == 'stopped by SIGINT'
        assert 'Ctrl-C again saves nothing' in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_eight_devices_give_the_losses_of_one(whole, tmp_path):
    loop.train(Toy(), config(mesh={'data': 8}), Colors(), tmp_path)
    one, eight = scalars(whole[1]), scalars(tmp_path)
    assert one.keys() == eight.keys()
    for row in one:
        numbers = one[row].keys() - {'phase', 'step', 'images_per_s', *TIMES}
        for name in numbers:
            assert one[row][name] == pytest.approx(eight[row][name], abs=1e-6), (
                row,
                name,
            )


def test_keep_best_returns_the_state_of_the_best_sweep(tmp_path):
    method = Toy(steps=4, keep_best='score')
    outcome = loop.train(method, config(), Colors(), tmp_path)
    kept = scalars(tmp_path)
    scores = [kept['label', step]['sweep/score'] for step in (0, 2)]
    assert scores[0] > scores[1]
    mean_only = loop.train(Toy(steps=4), config(), Colors(), tmp_path / 'other')
    assert not np.array_equal(outcome.variables['color'], mean_only.variables['color'])
    # What the best has replaced is kept beside it, for figures in hindsight.
    best, _ = load_variables(tmp_path)
    np.testing.assert_array_equal(best['color'], outcome.variables['color'])
    *_, (step, last) = load_epochs(tmp_path)
    assert step == 8
    np.testing.assert_array_equal(last['color'], mean_only.variables['color'])


def test_epochs_are_the_kept_checkpoints_of_the_last_phase(tmp_path):
    every = {**config(), 'run': {**config()['run'], 'checkpoint_every': 1, 'keep': 9}}
    outcome = loop.train(Toy(steps=3), every, Colors(), tmp_path)
    epochs = dict(load_epochs(tmp_path))
    assert list(epochs) == [4, 5, 6]
    np.testing.assert_array_equal(epochs[6]['color'], outcome.variables['color'])
    assert not np.array_equal(epochs[5]['color'], epochs[6]['color'])


@dataclasses.dataclass(frozen=True)
class NeverGood(Toy):
    def _reduce(self, rows, state, key):
        found = super()._reduce(rows, state, key)
        return found._replace(scalars={**found.scalars, 'score': -jnp.inf})


def test_without_any_good_sweep_the_last_state_is_kept(tmp_path):
    outcome = loop.train(
        NeverGood(steps=4, keep_best='score'), config(), Colors(), tmp_path
    )
    last = loop.train(Toy(steps=4), config(), Colors(), tmp_path / 'other')
    assert np.array_equal(outcome.variables['color'], last.variables['color'])
    assert 'sweep/score' not in scalars(tmp_path)['label', 2]


@dataclasses.dataclass(frozen=True)
class Worried(Toy):
    """Says so when a sweep changed few labels."""

    def phases(self, config):
        mean, label = super().phases(config)
        advise = lambda scalars: 'few move' if scalars['changed'] < 10 else ''
        sweep = dataclasses.replace(label.sweep, advise=advise)
        return mean, dataclasses.replace(label, sweep=sweep)


def test_a_sweep_that_worries_is_told_when_it_happens(tmp_path, capsys):
    loop.train(Worried(steps=5), config(), Colors(), tmp_path)
    said = capsys.readouterr()
    changed = [row['sweep/changed'] for row in scalars(tmp_path).values()
               if 'sweep/changed' in row]  # fmt: skip
    few = sum(count < 10 for count in changed)
    assert 0 < few < len(changed)
    assert (said.out + said.err).count('warning: few move') == few


def test_last_sweep_sees_the_last_state_once(tmp_path):
    loop.train(Toy(steps=5, at_end=True), config(), Colors(), tmp_path)
    kept = scalars(tmp_path)
    swept = [step for (_, step), row in kept.items() if 'sweep/centre' in row]
    assert swept == [0, 2, 4, 5]
    variables, _ = load_variables(tmp_path)  # Saved after that sweep, not before it.
    assert variables['centre'] == pytest.approx(kept['label', 5]['sweep/centre'])
    loop.train(Toy(steps=5, at_end=True), config(), Colors(), tmp_path)
    assert len(scalars(tmp_path)) == len(kept)


def test_loss_that_is_not_finite_ends_with_a_saved_state(tmp_path):
    with pytest.raises(UserError, match='loss is not finite at step 2 of mean'):
        loop.train(Toy(rate=float('inf')), config(), Colors(), tmp_path)
    assert (tmp_path / 'not_finite').is_dir()
    with np.load(
        tmp_path / 'not_finite.npz'
    ) as kept:  # Of the step, and not of the log.
        rows = feeds.shuffled(21, 8, config()['seed'])(1)
        np.testing.assert_array_equal(kept['index'], rows)
        want = np.stack([Colors()[row % 21]['image'] for row in rows])
        np.testing.assert_array_equal(kept['image'], want)


def test_what_is_not_finite_between_two_lines_of_the_log_is_found(tmp_path):
    run = {'log_every': 5, 'checkpoint_every': 6}
    with pytest.raises(
        UserError, match=r'loss is not finite at step 2 of mean, on the'
    ):
        loop.train(Toy(rate=float('inf')), config(run=run), Colors(), tmp_path)


def test_a_step_that_worries_is_told_once_a_phase(tmp_path, capsys):
    seen = []

    def advise(scalars, share):
        seen.append((sorted(scalars), share))
        return 'all one colour: more colours' if share > 0.4 else ''

    class Warned(Toy):
        def phases(self, config):
            first, *rest = super().phases(config)
            return (dataclasses.replace(first, advise=advise), *rest)

    loop.train(Warned(steps=4), config(), Colors(), tmp_path)
    assert [share for _, share in seen] == [0.25, 0.5, 0.75, 1.0]
    assert seen[0][0] == ['loss']
    assert capsys.readouterr().err.count('warning: all one colour') == 1


def test_steps_are_traced_on_request(tmp_path):
    # In a process of its own: the tracer has crashed beside the threads of earlier tests.
    code = 'from tests.training import loop_test; loop_test.trace(sys.argv[1])'
    words = [sys.executable, '-c', f'import sys; {code}', str(tmp_path)]
    subprocess.run(words, check=True, timeout=120)
    assert list((tmp_path / 'profile').rglob('*.xplane.pb'))


def trace(workdir):
    loop.train(Toy(steps=12), config(), Colors(), pathlib.Path(workdir), profile=True)


def test_the_log_has_what_was_compiled_and_waited_for(whole):
    for row in scalars(whole[1]).values():
        if 'loss' in row:
            assert row['compilations'] > 0 and row['compile_seconds'] > 0
            assert 0 <= row['waiting'] <= 1
            assert 0 <= row['step_ms_50'] <= row['step_ms_90']


def test_nan_picture_is_named(tmp_path):
    with pytest.raises(
        UserError, match='image 3 of the source has values that are not finite'
    ):
        loop.train(Toy(), config(), Colors(bad_row=3), tmp_path)


def test_batch_must_divide_among_devices(tmp_path):
    with pytest.raises(UserError, match='multiple of the 8 devices, got 12'):
        loop.train(
            Toy(), config(mesh={'data': 8}, data={'batch_size': 12}), Colors(), tmp_path
        )


def test_more_devices_than_there_are():
    with pytest.raises(UserError, match='this machine has 8 devices'):
        sharding.make_mesh(9)


def test_workdir_of_another_process(tmp_path):
    with (
        Checkpoints(tmp_path, config()),
        pytest.raises(UserError, match='being written by another process'),
    ):
        loop.train(Toy(), config(), Colors(), tmp_path)


def test_workdir_of_another_config(copied):
    other = config(method={'name': 'tusk'}, seed=1)
    with pytest.raises(UserError, match="method.name is 'tusk', was 'toy'"):
        loop.train(Toy(), other, Colors(), copied)
    moved = config(mesh={'data': 8}, data={'path': 'elsewhere'})
    assert loop.train(Toy(), moved, Colors(), copied).finished


def test_damaged_checkpoint_falls_back_to_the_one_before(whole, copied, caplog):
    for path in (copied / 'checkpoints' / '12').rglob('*'):
        if path.is_file() and path.stat().st_size:
            os.truncate(path, path.stat().st_size // 2)
    assert load_variables(copied)[1]['step'] == 3
    resumed = loop.train(Toy(), config(), Colors(), copied)
    assert 'checkpoint 12' in caplog.text and 'trying the one before' in caplog.text
    color = whole[0].variables['color']
    np.testing.assert_array_equal(resumed.variables['color'], color)


def rewrite_meta(workdir, step, **changes):
    path = workdir / 'checkpoints' / str(step) / 'meta' / 'metadata'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize('number, age', [(1, 'an older'), (99, 'a newer')])
def test_a_workdir_of_another_version_says_so(copied, number, age):
    """It can be predicted from all the same."""
    rewrite_meta(copied, 12, format=number)
    with pytest.raises(
        UserError, match=f'written by {age} kpdiscovery .*format {number}'
    ):
        loop.train(Toy(), config(), Colors(), copied)
    assert load_variables(copied)[1]['number'] == 1


def test_tables_are_written_when_they_change(tmp_path):
    """Sweeps before steps 0, 2 and 4 of the second phase; a checkpoint after each step."""
    run = {'checkpoint_every': 1, 'keep': 3}
    loop.train(Toy(), config(run=run), Colors(), tmp_path)
    kept = sorted(int(path.name) for path in (tmp_path / 'tables').iterdir())
    assert kept == [9, 11]  # Of checkpoints 10, 11 and 12; that of step 7 is gone.


@pytest.mark.parametrize('damaged', ['checkpoints/12', 'tables'])
def test_damage_in_a_table_is_damage(whole, copied, damaged, caplog):
    for path in (copied / damaged).rglob('*'):
        if path.is_file() and path.stat().st_size and 'meta' not in path.parts:
            os.truncate(path, path.stat().st_size // 2)
    got = loop.train(Toy(), config(), Colors(), copied)
    assert got.finished and 'cannot be read' in caplog.text
    np.testing.assert_array_equal(got.variables['color'], whole[0].variables['color'])


def test_a_disk_that_is_full_is_told_in_one_line(tmp_path):
    full = tmp_path / 'metrics.jsonl'
    full.symlink_to('/dev/full')
    with pytest.raises(UserError, match='cannot be written .No space left on device.'):
        loop.train(Toy(), config(), Colors(), tmp_path)
    full.unlink()
    assert loop.train(Toy(), config(), Colors(), tmp_path).finished


def test_a_step_that_does_not_fit_says_what_to_do(tmp_path):
    class Large(Toy):
        def _step(self, *args):
            raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')

    with pytest.raises(UserError, match='does not fit .*out of memory.*smaller'):
        loop.train(Large(), config(), Colors(), tmp_path)


def test_no_checkpoint_left(copied):
    for path in (copied / 'checkpoints').rglob('*'):
        if path.is_file():
            os.truncate(path, 0)
    with pytest.raises(UserError, match='no checkpoint of .* can be read'):
        loop.train(Toy(), config(), Colors(), copied)


def test_step_reuses_the_memory_of_the_state(tmp_path):
    class Watching(Toy):
        def _step(self, state, batch, labels, key):
            seen.append(state)
            return super()._step(state, batch, labels, key)

    seen: list = []
    loop.train(Watching(steps=1), config(), Colors(), tmp_path)
    assert all(
        isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(seen[0].step)
    )


def test_every_function_of_a_phase_is_traced_once(tmp_path, monkeypatch):
    counts = collections.Counter()
    for name in ('_init', '_step', '_extract', '_reduce'):
        monkeypatch.setattr(Toy, name, _counted(counts, name, getattr(Toy, name)))
    assert loop.train(Toy(steps=2), config(), Colors(), tmp_path).finished
    assert counts == {'_init': 2, '_step': 2, '_extract': 1, '_reduce': 1}  # 2 phases.


def _counted(counts, name, function):
    def traced(*args):
        counts[name] += 1
        return function(*args)

    return traced


@pytest.mark.parametrize('later, said', [
    (Colors(20), '20 pictures, were 21'),
    (Colors(seed=1), 'other content'),
])  # fmt: skip
def test_labels_are_of_the_same_pictures(tmp_path, later, said):
    loop.train(Toy(steps=2), config(), Colors(), tmp_path)
    phases = Toy().phases(None)
    with pytest.raises(UserError, match=rf'labels of other pictures \({said}\)'):
        loop.check_pictures(phases, later, tmp_path)
    with pytest.raises(UserError, match=rf'labels of other pictures \({said}\)'):
        loop.train(Toy(steps=2), config(), later, tmp_path)
    loop.check_pictures(phases, Colors(), tmp_path)
    loop.check_pictures(phases, later, tmp_path / 'new')


@dataclasses.dataclass(frozen=True)
class NoLabels(Toy):
    def phases(self, config):
        return super().phases(config)[:1]


def test_without_labels_other_pictures_are_only_told(tmp_path, capsys):
    loop.train(NoLabels(steps=2), config(), Colors(), tmp_path)
    assert loop.train(NoLabels(steps=2), config(), Colors(seed=1), tmp_path).finished
    assert 'not those of before (other content)' in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class Planned(Toy):
    """Toy whose steps the config says, and where it is asked a loss falls towards the last."""

    falling: bool = False

    def phases(self, config):
        return tuple(
            dataclasses.replace(
                phase,
                steps=config['phases'][phase.name]['steps'],
                step=functools.partial(
                    self._planned, config['phases'][phase.name]['steps']
                ),
            )
            for phase in super().phases(config)
        )

    def _planned(self, steps, state, batch, labels, key):
        after, scalars = self._step(state, batch, labels, key)
        left = 1 - state.step / steps if self.falling else 1
        return after, {**scalars, 'left': left}


def steps(mean, label):
    return config(phases={'mean': {'steps': mean}, 'label': {'steps': label}})


def test_more_steps_continue_the_run(tmp_path):
    loop.train(Planned(), steps(2, 2), Colors(), tmp_path / 'parts')
    longer = loop.train(Planned(), steps(2, 4), Colors(), tmp_path / 'parts')
    whole = loop.train(Planned(), steps(2, 4), Colors(), tmp_path / 'whole')
    assert longer.finished and longer.step == 6
    np.testing.assert_array_equal(longer.variables['color'], whole.variables['color'])


@pytest.mark.parametrize('falling, keep, later, why', [
    (False, None, (3, 2), 'phase mean is over after 2 steps and label began'),
    (True, None, (2, 4), 'a schedule of the method is planned to the last step'),
    (False, 'score', (2, 4), 'its best state has replaced the last'),
    (False, None, (2, 1), '2 are done'),
])  # fmt: skip
def test_why_other_steps_do_not_continue_it(tmp_path, falling, keep, later, why):
    method = Planned(falling=falling, keep_best=keep)
    loop.train(method, steps(2, 2), Colors(), tmp_path)
    with pytest.raises(UserError, match=f'{why}.*a new --workdir'):
        loop.train(method, steps(*later), Colors(), tmp_path)


def test_a_failed_start_leaves_nothing(tmp_path):
    class Unfit(Toy):
        def _step(self, *args):
            raise ValueError('8 is odd')

    (tmp_path / 'own').mkdir()
    for name in ('new', 'own'):
        with pytest.raises(UserError, match='8 is odd'):
            loop.train(Unfit(), config(), Colors(), tmp_path / name)
    assert [path.name for path in tmp_path.rglob('*')] == ['own']
