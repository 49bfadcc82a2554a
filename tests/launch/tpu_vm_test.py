"""launch/tpu_vm.sh: the commands it would run, and runs on hosts that are folders here."""

import time

import pytest

from tests.launch.scripts import SLICE, TRAIN, call, program, said

EXPECTED = __file__.replace('tpu_vm_test.py', 'expected/tpu_vm_watch.txt')

# A cloud in $CLOUD: queue and slice hold states, hosts are homes with a kpd of their own.
GCLOUD = r"""
cd "$CLOUD" && exec 2>> noise
printf '%s %s\n' "$3" "$4" | tee -a calls > /dev/null
if [[ -e down && $4 == list ]]; then rm down; exit 1; fi
case "$3 $4" in
  'queued-resources create') echo ACTIVE > queue; echo READY > slice; mkdir home.0 home.1 ;;
  'queued-resources delete') rm -r queue slice home.* ;;
  'tpu-vm delete') rm -r slice ;;
  'queued-resources list') echo "other-kpd-64	FAILED"; sed 's/^/kpd-64\t/' queue ;;
  'tpu-vm list') echo "kpd-64-other	READY"; sed 's/^/kpd-64\t/' slice ;;
  'tpu-vm ssh')
    for word; do case $word in --command=*) command=${word#*=} ;; esac; done
    for home in "$CLOUD"/home.*; do
      if [[ $command == *'uv venv'* ]]; then
        mkdir -p "$home/kpd/bin" && cp "$CLOUD/kpd" "$home/kpd/bin/kpd"
      else
        echo 'SSH: some noise' >&2
        HOME=$home bash -c "$command" || exit
      fi
    done ;;
esac
exit 0
"""


@pytest.fixture
def cloud(tmp_path):
    """A folder that is the cloud, whose hosts run the text given as kpd."""
    program(tmp_path / 'bin', 'gcloud', GCLOUD)

    def make(text):
        program(tmp_path, 'kpd', f'cd "$CLOUD"; count=$(cat calls | wc -l)\n{text}')
        return tmp_path

    return make


def on(cloud, *words):
    return call(
        'tpu_vm.sh', words[0], *SLICE, *words[1:], path=cloud / 'bin', CLOUD=cloud
    )


def ended(cloud, host=0):
    """The exit code that a host has kept of its run."""
    file = cloud / f'home.{host}' / 'kpd.exit'
    for _ in range(200):
        if file.exists() and (code := file.read_text()):
            return int(code.split()[0])
        time.sleep(0.02)
    raise AssertionError('the run has not ended')


def test_what_watch_would_run():
    options = ['--type=v5litepod-64', '--spot', '--project=p', '--dry-run',
               '--weights=xfeat', '--env=TFDS_DATA_DIR=gs://my data']  # fmt: skip
    with open(EXPECTED) as file:
        assert said('tpu_vm.sh', 'watch', *SLICE, *options, '--', *TRAIN) == file.read()


@pytest.mark.parametrize(('words', 'command'), [
    (['create', '--type=v6e-8'], 'tpu-vm create kpd-64 --version=v2-alpha-tpuv6e '
     '--accelerator-type=v6e-8'),
    (['create', '--type=v4-8', '--version', 'x', '--spot'], 'tpu-vm create kpd-64 '
     '--version=x --accelerator-type=v4-8 --spot'),
    (['queue', '--type=v5p-8', '--service-account=a@b'], 'queued-resources create kpd-64 '
     '--node-id=kpd-64 --runtime-version=v2-alpha-tpuv5 --accelerator-type=v5p-8 '
     '--service-account=a@b'),
    (['tail', '--worker=3'], 'tpu-vm ssh kpd-64 --worker=3 '
     "'--command=tail -n 50 -F ~/kpd.log'"),
    (['fetch', 'kpd.log', 'my log'], 'tpu-vm scp --recurse kpd-64:kpd.log '
     "'my log' --worker=0"),
    (['delete'], 'queued-resources delete kpd-64 --force --quiet'),
])  # fmt: skip
def test_what_a_command_would_run(words, command):
    got = said('tpu_vm.sh', *words, *SLICE, '--dry-run')
    assert got == f'gcloud compute tpus {command} --zone=us-west4-a\n'


def test_a_folder_of_the_bucket_is_fetched_without_the_slice():
    got = said('tpu_vm.sh', 'fetch', 'gs://b/run', 'runs/a', *SLICE, '--dry-run')
    copy = 'gcloud storage rsync --recursive gs://b/run runs/a'
    assert got == f'mkdir -p runs/a\n{copy}\n'


def test_words_arrive_on_every_host_as_they_were(cloud):
    text = 'printf "%s\\0" "$0" "$@" "$A" "$JAX_PLATFORMS" > "$HOME/words"'
    place = cloud(text)
    assert on(place, 'queue', '--type=v5e', '--version=x').returncode == 0
    assert on(place, 'setup').returncode == 0
    assert on(place, 'run', '--env=A=b c', '--', *TRAIN).returncode == 0
    for host in range(2):
        assert ended(place, host) == 0
        home = place / f'home.{host}'
        words = (home / 'words').read_text().split('\0')[:-1]
        assert words == [f'{home}/kpd/bin/kpd', *TRAIN[1:], 'b c', 'tpu,cpu']


def test_a_run_that_is_stopped_keeps_its_exit_code(cloud):
    text = """trap 'echo stopped; exit 143' TERM
        touch "$HOME/up"; while :; do sleep 0.05; done"""
    place = cloud(text)
    on(place, 'queue', '--type=v5e', '--version=x')
    on(place, 'setup')
    assert on(place, 'run', '--', 'kpd', 'train').returncode == 0
    again = on(place, 'run', '--', 'kpd', 'train')
    assert (again.returncode, 'kpd: runs already' in again.stdout) == (1, True)
    while not all((place / f'home.{host}/up').exists() for host in range(2)):
        time.sleep(0.02)
    assert 'kpd: running' in on(place, 'status').stdout
    assert on(place, 'stop').returncode == 0
    assert [ended(place, host) for host in range(2)] == [143, 143]
    assert (place / 'home.0/kpd.log').read_text().endswith('stopped\n')


LIFE = """
turn=$(cat "turn.${HOME##*.}" 2> /dev/null || echo 0)
echo $((turn + 1)) > "turn.${HOME##*.}"
case $turn in
  0) if [[ $HOME == *.1 ]]; then echo SUSPENDED > queue; echo PREEMPTED > slice; fi; exit 143 ;;
  1) touch down; exit 143 ;;
  2) exit 1 ;;
  *) exit 0 ;;
esac
"""


def watch(place, *words):
    options = ['--type=v5litepod-8', '--every=0.1', *words]
    done = on(place, 'watch', *options, '--', *TRAIN)
    calls = (place / 'calls').read_text().splitlines()
    kept = [line for line in calls if line.split()[1] in ('create', 'delete', 'scp')]
    return done, [line.replace('queued-resources', 'queue') for line in kept]


def test_watch_goes_on_through_preemption_stop_and_crash_until_the_run_has_finished(
    cloud,
):
    """Turn 0 is preempted, 1 stopped, 2 crashes, 3 finishes: one new slice, no more.

    Nor does gcloud's not answering, in turn 1, mean that there is no slice.
    """
    place = cloud(LIFE)
    done, changes = watch(place)
    assert done.returncode == 0, done.stderr
    start = ['queue create', 'tpu-vm scp']
    assert changes == [*start, 'queue delete', *start]
    assert [(place / f'turn.{host}').read_text() for host in range(2)] == ['4\n'] * 2
    assert 'kpd: exit 1. Again.' in done.stderr
    assert ' kpd-64 unknown\n' in done.stderr


@pytest.mark.parametrize(('code', 'status', 'why'), [
    (2, 2, 'the run refused to start'),
    (1, 1, 'crashed too often'),
])  # fmt: skip
def test_watch_gives_up_where_another_turn_would_not_help(cloud, code, status, why):
    done, changes = watch(cloud(f'exit {code}'), '--retries=1')
    assert (done.returncode, why in done.stderr) == (status, True)
    assert changes == ['queue create', 'tpu-vm scp']


def test_what_a_slice_has_run_before_is_not_the_run_that_is_watched(cloud):
    place = cloud('echo "$*" >> "$HOME/told"')
    assert watch(place)[0].returncode == 0
    assert (
        watch(place, '--retries=0')[0].returncode == 0
    )  # Has finished: nothing to do.
    options = ['--type=v5litepod-8', '--every=0.1', '--', 'kpd', 'train', '--other']
    assert on(place, 'watch', *options).returncode == 0
    told = (place / 'home.1/told').read_text().splitlines()
    assert told == [' '.join(TRAIN[1:]), 'train --other']


def test_delete_takes_a_slice_that_never_was_in_the_queue(cloud):
    place = cloud('')
    (place / 'slice').write_text('READY')
    assert on(place, 'delete').returncode == 0
    assert not (place / 'slice').exists()
