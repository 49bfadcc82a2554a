"""launch/slurm.sbatch: what is run on the nodes, and when the job is queued again."""

import re
import shlex

import pytest

from tests.launch.scripts import LAUNCH, TRAIN, call, program, said


def test_the_dry_run_prints_what_srun_would_get():
    got = said('slurm.sbatch', '--dry-run', *TRAIN)
    assert shlex.split(got) == ['srun', '--wait=300', '--kill-on-bad-exit=0', *TRAIN]


@pytest.mark.parametrize(('code', 'requeued'), [(0, False), (143, True), (1, False)])
def test_a_job_that_was_stopped_is_queued_again(tmp_path, code, requeued):
    tools = tmp_path / 'bin'
    program(tools, 'srun', f'printf "%s\\n" "$@" $JAX_PLATFORMS; exit {code}')
    program(tools, 'scontrol', 'echo scontrol "$@"')
    done = call('slurm.sbatch', *TRAIN, path=tools, SLURM_JOB_ID=7)
    said = done.stdout.splitlines()
    assert (done.returncode, 'scontrol requeue 7' in said) == (code, requeued)
    assert said[2 : 3 + len(TRAIN)] == [*TRAIN, 'cuda,cpu']


def test_sbatch_is_asked_for_a_warning_and_to_queue_again():
    text = (LAUNCH / 'slurm.sbatch').read_text()
    options = re.findall(r'^#SBATCH (--\S+)$', text, re.MULTILINE)
    assert {'--requeue', '--signal=TERM@120', '--open-mode=append'} < set(options)
    before = text[: text.index('#SBATCH --job-name')]
    assert not re.search(
        r'^[^#\n]', before, re.MULTILINE
    )  # Read up to the first command.
