"""A workdir in a bucket, of a server of the tests' own that speaks Cloud Storage's API."""

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip('gcsfs')
pytest.importorskip('gcp_storage_emulator')

# All in one process of its own: what finds the server is read from the environment once.
RUN = textwrap.dedent("""
    import io, logging, os, pathlib, sys, time
    from gcp_storage_emulator.server import create_server

    server = create_server('localhost', 0, in_memory=True, default_bucket='bucket')
    logging.disable(logging.ERROR)  # It tells every request.
    server.start()
    port = server._api._httpd.socket.getsockname()[1]
    for name in ('STORAGE_EMULATOR_HOST', 'TENSORSTORE_GCS_HTTP_URL'):
        os.environ[name] = f'http://localhost:{port}'

    from etils import epath
    from kpdiscovery.training import loop, runs
    from tests.training.toy import Colors, Toy, config

    sys.excepthook = lambda *error: (sys.__excepthook__(*error), os._exit(1))
    where = epath.Path('gs://bucket/runs/one')
    stopped = loop.train(Toy(at_end=True), config(), Colors(), where, max_seconds=0.0)
    assert not stopped.finished
    kept = (where / 'metrics.jsonl').read_text()
    for toy in (Toy(at_end=True), Toy(at_end=True)):  # The second finds all done.
        outcome = loop.train(toy, config(), Colors(), where)
        assert outcome.finished, outcome
    assert (where / 'metrics.jsonl').read_text().startswith(kept)
    here = loop.train(Toy(at_end=True), config(), Colors(), sys.argv[1])
    variables, meta = runs.load_variables(where)
    assert (variables['color'] == here.variables['color']).all()
    names, want = (
        sorted(p.name for p in (epath.Path(run) / 'labels').iterdir())
        for run in (where, sys.argv[1])
    )
    assert names == want and want, (names, want)
    assert any((where / 'tensorboard').iterdir())

    import jax.numpy as jnp
    from kpdiscovery import data, paths, transfer
    from kpdiscovery.models import weights
    from PIL import Image

    paths.cache = lambda: pathlib.Path(sys.argv[1]) / 'cache'
    for scale in (1.0, 2.0):  # Another file under the same name is another copy.
        transfer._save(where / 'net.safetensors', {'w': scale * jnp.arange(3.0)})
        got = weights.load(str(where / 'net.safetensors'), None, {'w': jnp.zeros(3)})
        assert (got['w'] == scale * jnp.arange(3.0)).all(), got
        time.sleep(1.1)

    pictures, settings = where / 'pictures', {
        'source': 'folder', 'path': str(where / 'pictures'), 'size': 8,
        'resize': 'stretch', 'options': {},
    }
    for names in (('a/1.png', 'b/2.png'), ('a/1.png', 'c.png')):
        for name in names:
            content = io.BytesIO()
            Image.new('RGB', (8, 8), (len(name), 0, 0)).save(content, 'PNG')
            paths.write(pictures / name, content.getvalue())
        source = data.build(settings, split='train')
        assert source.files == names and source[1]['image'][0, 0, 0] == len(names[1])
        (pictures / 'b' / '2.png').unlink(missing_ok=True)
    tables = [p.name for p in (where / 'tables').iterdir()]
    print('found', runs.last_meta(where)['step'], len(tables), flush=True)
    os._exit(0)  # The server's threads.
""")


@pytest.mark.slow
def test_a_run_in_a_bucket_is_the_one_in_a_folder(tmp_path):
    environment = {**os.environ, 'JAX_NUM_CPU_DEVICES': '1', 'JAX_PLATFORMS': 'cpu'}
    for attempt in range(3):
        got = subprocess.run(
            [sys.executable, '-c', RUN, str(tmp_path / f'{attempt}')], text=True,
            capture_output=True, env=environment, timeout=200,
        )  # fmt: skip
        if (
            'Malformed StorageGeneration' not in got.stderr
        ):  # Now and then the server's.
            break
    assert got.returncode == 0, got.stderr[-3000:]
    assert got.stdout.split()[-3:-1] == ['found', '6']
