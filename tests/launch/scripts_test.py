"""Every script: shellcheck, --help, mistakes, and the commands of the README."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kpdiscovery import config
from tests.launch.scripts import LAUNCH, ROOT, SLICE, call, said

SCRIPTS = sorted(path.name for path in LAUNCH.glob('*.s[hb]*'))
COMMANDS = ['gke.sh', 'local.py', 'tpu_vm.sh', 'xpk.sh']


def test_shellcheck_has_nothing_to_say():
    found = shutil.which('shellcheck') or Path(sys.executable).with_name('shellcheck')
    if not Path(found).exists():
        pytest.skip("no shellcheck: pip install -e '.[test]'")
    assert {'common.sh', 'slurm.sbatch'} < set(SCRIPTS)
    files = [LAUNCH / name for name in SCRIPTS]
    command = [found, '--external-sources', f'--source-path={ROOT}', *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize('script', COMMANDS)
def test_help_says_how_it_is_called(script):
    assert f'launch/{script}' in said(script, '--help')


@pytest.mark.parametrize(('script', 'words', 'why'), [
    ('tpu_vm.sh', ['creat', *SLICE], 'no command creat (see --help)'),
    ('tpu_vm.sh', ['create', *SLICE], '--type is missing (see --help)'),
    ('tpu_vm.sh', ['create', *SLICE, '--type=v9-8'],
     '--type=v9-8: wanted v5litepod-N (v5e), v5p-N or v6e-N; another needs --version=RUNTIME'),
    ('tpu_vm.sh', ['status', '--name=a', '--zone'], '--zone needs a value'),
    ('tpu_vm.sh', ['status', *SLICE, '--spit'], 'no option --spit (see --help)'),
    ('tpu_vm.sh', ['status', *SLICE, '--spot=yes'], 'no option --spot (see --help)'),
    ('tpu_vm.sh', ['run', *SLICE, '--env=FOO', '--', 'kpd'], '--env=FOO: wanted KEY=VALUE'),
    ('tpu_vm.sh', ['run', *SLICE],
     'what to run is missing: -- kpd train --config=... --workdir=...'),
    ('tpu_vm.sh', ['fetch', *SLICE, 'gs://a'],
     'fetch FROM TO: a gs:// folder or a file of a host, and where to'),
    ('gke.sh', ['apply', '--name=a', '--topology=2x2', '--image=i',
                '--accelerator=h100', '--', 'kpd'],
     '--accelerator=h100: wanted v5e, v5p, v6e or the label of GKE\'s nodes'),
    ('gke.sh', ['apply', '--name=a', '--topology=64', '--image=i',
                '--accelerator=v5e', '--', 'kpd'],
     '--topology=64: wanted chips a side, such as 8x8 or 4x4x4'),
    ('gke.sh', ['apply', '--name=a', '--topology=2x2', '--image=i',
                '--accelerator=v5e', '--chips=8', '--', 'kpd'],
     '--chips=8: 4 chips are no whole number of such hosts'),
    ('xpk.sh', ['create', '--name=a'], '--cluster is missing (see --help)'),
    ('slurm.sbatch', [],
     'what to run is missing: kpd train --config=... --workdir=...'),
    ('local.py', ['--processes=2'], 'what to run is missing: -- kpd train ...'),
])  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(script, words, why):
    done = call(script, *words)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == f'{script}: {why}\n'


def readme_commands():
    """Commands of launch/README.md that call a script here, as lists of words."""
    text = (LAUNCH / 'README.md').read_text()
    blocks = '\n'.join(re.findall(r'^```\n(.*?)^```$', text, re.DOTALL | re.MULTILINE))
    lines = re.sub(r'\\\n\s*', '', blocks).splitlines()
    found = [shlex.split(part, comments=True) for line in lines
             for part in line.split('&&') if 'launch/' in part]  # fmt: skip
    return [words for words in found if words[0].startswith('launch/')]


def test_the_readme_calls_every_command_of_every_script():
    called = {
        (words[0].removeprefix('launch/'), words[1]) for words in readme_commands()
    }
    assert {script for script, _ in called} == set(COMMANDS)
    assert {('tpu_vm.sh', 'watch'), ('gke.sh', 'apply'), ('xpk.sh', 'create')} < called


@pytest.mark.parametrize('words', readme_commands(), ids=' '.join)
def test_commands_of_the_readme_are_understood(words):
    end = words.index('--') if '--' in words else len(words)
    script = words[0].removeprefix('launch/')
    assert said(script, *words[1:end], '--dry-run', *words[end:])
    for word in words[end:]:
        if word.startswith('--config='):
            assert config.load(word.removeprefix('--config='), [])
