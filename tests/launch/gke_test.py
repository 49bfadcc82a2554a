"""launch/gke.sh and launch/xpk.sh: manifests against the schema, commands as expected."""

import json
from pathlib import Path

import pytest

from tests.launch.scripts import TRAIN, call, program, said

jsonschema = pytest.importorskip('jsonschema', reason="pip install -e '.[test]'")
yaml = pytest.importorskip('yaml', reason="pip install -e '.[test]'")

HERE = Path(__file__).parent
APPLY = ['apply', '--name=run-1', '--image=europe-docker.pkg.dev/p/kpd/kpd:1']


def manifest(*options, command=TRAIN):
    """The manifest as it is read, once the schema has found nothing wrong."""
    text = said('gke.sh', *APPLY, *options, '--dry-run', '--', *command)
    found = yaml.safe_load(text)
    jsonschema.validate(found, schema())
    return found


def schema():
    found = json.loads((HERE / 'schemas/jobset.json').read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def parts(found):
    """JobSet, Job, pod and container of a manifest."""
    replicated = found['spec']['replicatedJobs'][0]
    job = replicated['template']['spec']
    pod = job['template']['spec']
    return replicated, job, pod, pod['containers'][0]


def test_the_manifest_is_as_expected():
    options = ['--accelerator=v5e', '--topology=8x8', '--slices=2', '--spot',
               '--service-account=kpd', '--env=TFDS_DATA_DIR=gs://b/tfds']  # fmt: skip
    want = yaml.safe_load((HERE / 'expected/jobset.yaml').read_text())
    assert manifest(*options) == want


@pytest.mark.parametrize(('accelerator', 'topology', 'label', 'hosts', 'chips'), [
    ('v5e', '1x1', 'tpu-v5-lite-podslice', 1, 1),
    ('v5e', '2x2', 'tpu-v5-lite-podslice', 1, 4),
    ('v5e', '16x16', 'tpu-v5-lite-podslice', 64, 4),
    ('v5p', '2x2x1', 'tpu-v5p-slice', 1, 4),
    ('v5p', '4x4x8', 'tpu-v5p-slice', 32, 4),
    ('v6e', '4x8', 'tpu-v6e-slice', 8, 4),
    ('tpu-v4-podslice', '2x2x4', 'tpu-v4-podslice', 4, 4),
])  # fmt: skip
def test_hosts_and_chips_follow_from_the_topology(
    accelerator, topology, label, hosts, chips
):
    found = manifest(f'--accelerator={accelerator}', f'--topology={topology}')
    _, job, pod, container = parts(found)
    assert pod['nodeSelector'] == {
        'cloud.google.com/gke-tpu-accelerator': label,
        'cloud.google.com/gke-tpu-topology': topology,
    }
    assert (job['parallelism'], job['completions']) == (hosts, hosts)
    assert container['resources']['limits'] == {'google.com/tpu': chips}


def test_one_host_may_have_eight_chips():
    found = manifest('--accelerator=v6e', '--topology=2x4', '--chips=8')
    _, job, _, container = parts(found)
    assert job['completions'] == 1
    assert container['resources']['limits'] == {'google.com/tpu': 8}


def test_words_arrive_in_the_container_as_they_were():
    """Kubernetes takes $$ for $."""
    words = ['kpd', 'a "b" \\ c', '$(HOME) $$ & ${NAME}', 'line\n\ttwo: #', '- é', '']
    options = ['--accelerator=v5e', '--topology=2x2', '--env=A=b=c, "d"']
    container = parts(manifest(*options, command=words))[-1]
    assert [word.replace('$$', '$') for word in container['command']] == words
    assert container['env'][-1] == {'name': 'A', 'value': 'b=c, "d"'}


@pytest.mark.parametrize('break_it', [
    lambda found: found.update(apiVersion='jobset.x-k8s.io/v1alpha1'),
    lambda found: found['spec']['failurePolicy'].update(maxRestart=3),
    lambda found: parts(found)[1].update(completions='16'),
    lambda found: parts(found)[2].update(restartPolicy='OnFailure'),
    lambda found: parts(found)[3]['resources']['limits'].update({'google.com/tpu': 64}),
    lambda found: parts(found)[3].update(command='kpd train'),
])  # fmt: skip
def test_the_schema_finds_what_is_wrong(break_it):
    found = manifest('--accelerator=v5e', '--topology=8x8')
    break_it(found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, schema())


def test_what_is_applied_is_what_a_dry_run_prints(tmp_path):
    program(tmp_path / 'bin', 'kubectl', 'echo "$@"; cat')
    words = [*APPLY, '--accelerator=v5e', '--topology=2x2']
    done = call('gke.sh', *words, '--', *TRAIN, path=tmp_path / 'bin')
    text = said('gke.sh', *words, '--dry-run', '--', *TRAIN)
    assert done.stdout == f'apply --filename=-\n{text}'


@pytest.mark.parametrize(('words', 'commands'), [
    (['logs', '--worker=3'], ['logs --follow --tail=50 --selector=jobset.sigs.k8s.io/'
     'jobset-name=run-1,jobset.sigs.k8s.io/job-index=0,'
     'batch.kubernetes.io/job-completion-index=3']),
    (['status'], ['get jobset run-1',
                  'get pods --selector=jobset.sigs.k8s.io/jobset-name=run-1']),
    (['delete'], ['delete jobset run-1']),
])  # fmt: skip
def test_what_kubectl_would_be_told(words, commands):
    got = said('gke.sh', *words, '--name=run-1', '--namespace=team', '--dry-run')
    want = ''.join(f'kubectl --namespace=team {command}\n' for command in commands)
    assert got == want


@pytest.mark.parametrize(('words', 'command'), [
    (['create', '--type=v5litepod-64', '--image=i', '--slices=2', '--env=A=b c'],
     'create --workload=run-1 --tpu-type=v5litepod-64 --num-slices=2 --docker-image=i '
     '--max-restarts=50 --restart-on-exit-codes=1 '
     "--termination-grace-period-seconds=300 --env=JAX_PLATFORMS=tpu,cpu '--env=A=b c' "
     "'--command=exec kpd train '\\''a b'\\'''"),
    (['status'], 'list --filter-by-job=run-1'),
    (['delete'], 'delete --workload=run-1'),
])  # fmt: skip
def test_what_xpk_would_be_told(words, command):
    where = ['--name=run-1', '--cluster=c', '--project=p', '--dry-run']
    got = said('xpk.sh', *words, *where, '--', 'kpd', 'train', 'a b')
    assert got == f'xpk workload {command} --cluster=c --project=p\n'
