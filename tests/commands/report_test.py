import base64
import json
import re
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, config, data, inference, methods, report
from kpdiscovery.training import checkpoints
from kpdiscovery.types import Keypoints, Prediction, Split, State

pytest.importorskip('jinja2')

from kpdiscovery.reporting import collecting

ANCHORS = (
    'pictures',
    'sheets',
    'summary',
    'protocol',
    'views',
    'prototypes',
    'descriptors',
    'layers',
    'curves',
    'config',
)
OF_LANDMARKS = (
    'pictures',
    'sheets',
    'summary',
    'protocol',
    'errors',
    'features',
    'rounds',
    'curves',
    'config',
)
SMALL = {'resolution': 16, 'levels': 2, 'num_prototypes': 5}


def random(shapes):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda s: rng.normal(0, 0.2, s.shape).astype(s.dtype), shapes)


def make_workdir(path, **options):
    """What training leaves, without the training: random weights and two log lines."""
    settings = config.load('tusk/tetrominoes:smoke')
    settings.method.update({**SMALL, **options})
    return fill_workdir(path, settings)


def fill_workdir(path, settings, phase=0):
    batch = {'image': np.zeros((1, 32, 32, 3), np.uint8)}
    init = methods.build(settings.method).phases(settings)[phase].init
    shapes = jax.eval_shape(lambda row: init(jax.random.key(0), row, None), batch)
    state = State(np.int32(2), random(shapes.variables), {})
    with checkpoints.Checkpoints(path, settings.to_dict()) as manager:
        snapshot = checkpoints.Snapshot(state, {}, {})
        meta = {'number': 0, 'phase': 'train', 'step': 2, 'seconds': 2.0}
        manager.save(2, snapshot, {**meta, 'device': '1 x cpu'})
    lines = [{'phase': 'train', 'step': s, 'seconds': s, 'loss': 1 / s} for s in (1, 2)]
    (path / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    return path


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    return make_workdir(tmp_path_factory.mktemp('blended'))


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(report, '_PICTURES', 8)
    monkeypatch.setattr(collecting, 'PART', 8)


def links(html):
    return re.findall(r'(?:\s(?:src|href)=|url\()"?([^"\s)>]+)', html)


def check(html, anchors=ANCHORS):
    """Every section is there and nothing comes from elsewhere."""
    for anchor in anchors:
        assert f'<section id="{anchor}"' in html and f'href="#{anchor}"' in html
    assert all(link.startswith(('data:', '#')) for link in links(html))
    for uri in set(links(html)):
        if uri.startswith('data:image/'):
            base64.b64decode(uri.split(',')[1], validate=True)


def shots(html):
    """The pictures as the page's scripts get them."""
    found = re.search(r'id="album">(.*?)</script>', html)
    return json.loads(found[1])['shots']


def test_the_report_holds_everything(workdir, few, capsys):
    metrics = {
        'metrics': {'foreground_ari': 0.9876},
        'untrained': {'foreground_ari': 0.0123},
        'generic': {'foreground_ari': 0.4567},
        'skipped': {'mnist_hard': 'needs label'},
        'split': 'test',
        'pictures': 8,
        'device': 'TPU v5e',
        'phase': 'train',
        'step': 1,
        'learnt_from': 3,
    }
    (workdir / 'metrics.json').write_text(json.dumps(metrics))
    assert cli.main(['report', f'--workdir={workdir}']) == 0
    assert 'report.html' in capsys.readouterr().out
    html = (workdir / 'report.html').read_text()
    check(html)
    for text in (
        '0.988',
        '0.012',
        '0.457',
        'it began with',
        'needs label',
        'TPU v5e',
        'measured at step 1 of phase train (the run is at step 2 of phase train)',
        'of them in the training split',
        '&#34;num_prototypes&#34;: 5',
        'by the true shape of the object',
        'by the true color of the object',
    ):
        assert text in html
    (workdir / 'metrics.json').unlink()


def test_the_size_inside_is_the_methods(tmp_path, few):
    """18 px in three levels are 20."""
    workdir = make_workdir(tmp_path, resolution=18, levels=3)
    assert cli.main(['report', f'--workdir={workdir}']) == 0
    check((workdir / 'report.html').read_text())


def test_one_picture_without_annotations_and_with_a_wild_name(tmp_path, few):
    folder, out = tmp_path / 'pictures', tmp_path / 'page.html'
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(image).save(folder / '<script>alert(1).png')
    words = [f'--workdir={make_workdir(tmp_path / "run", alpha=False)}']
    assert cli.main(['report', *words, f'--data={folder}', f'--out={out}']) == 0
    html = out.read_text()
    check(html)
    assert '<script>alert' not in html and '&lt;script&gt;alert(1).png' in html
    assert [shot['name'] for shot in shots(html)] == ['<script>alert(1).png']
    assert 'kpd evaluate' in html  # Where the figures would be.
    assert 'instances</figcaption>' not in html  # No masks without alpha blending.


@pytest.fixture(scope='module')
def landmarks(tmp_path_factory):
    """A workdir of self-training with its stage 2, and labels of one sweep."""
    path = tmp_path_factory.mktemp('landmarks')
    small = ['method.network.depth=1', 'method.network.groups=1']
    settings = config.load('self_training/critters:smoke', small)
    fill_workdir(path, settings, phase=-1)
    (path / 'labels').mkdir()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (3, 32, 32, 3), np.uint8)
    np.savez(path / 'labels' / 'images.npz', image=image)
    table = {'xy': rng.uniform(0, 7, (3, 8, 2)), 'score': rng.uniform(size=(3, 8)),
             'label': rng.integers(-1, 6, (3, 8))}  # fmt: skip
    np.savez(path / 'labels' / '7.npz', **table)
    return path


def test_the_report_of_landmarks_holds_everything(landmarks, few):
    html = report.html(landmarks, count=8)
    check(html, OF_LANDMARKS)
    for text in ('forward, pictures', 'backward, landmarks', 'each landmark', 'trunk',
                 'before training (PCA)', '7 steps', 'step 2 of phase train</p>',
                 'annotated points</label>'):  # fmt: skip
        assert text in html


def test_landmarks_on_pictures_without_annotations(landmarks, few, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / 'one.png')
    html = report.html(landmarks, str(tmp_path), count=8)
    check(html, OF_LANDMARKS)
    assert 'The pictures have no annotated points' in html
    assert 'annotated points</label>' not in html


def test_tables_of_another_shape_do_not_stop_it(workdir, few):
    (workdir / 'metrics.json').write_text('{}')
    check(report.html(workdir, count=8))
    (workdir / 'metrics.json').unlink()


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--workdir=DIR/none'], 'is not a workdir'),
        (['--workdir=WORK', '--data=DIR/none'], 'no such file'),
        (['--workdir=WORK', '--out=DIR'], 'cannot be written'),
        (['--workdir=WORK', '--pictures=0'], '--pictures must be at least 1'),
        ([], '--workdir'),
    ],
)
def test_mistakes_are_one_line(workdir, few, tmp_path, capsys, words, said):
    places = {'DIR': tmp_path, 'WORK': workdir}
    for name, place in places.items():
        words = [word.replace(name, str(place)) for word in words]
    assert cli.main(['report', *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_broken_metrics_are_one_line(workdir, few, capsys):
    (workdir / 'metrics.json').write_text('{')
    assert cli.main(['report', f'--workdir={workdir}']) == 2
    assert 'metrics.json' in capsys.readouterr().err
    (workdir / 'metrics.json').unlink()


def test_a_missing_extra_is_named(workdir, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'jinja2', None)
    for name in ('landmarks', 'page', 'sections', 'tusk'):
        monkeypatch.delitem(sys.modules, f'kpdiscovery.reporting.{name}', raising=False)
        package = sys.modules['kpdiscovery.reporting']
        monkeypatch.delattr(package, name, raising=False)
    assert cli.main(['report', f'--workdir={workdir}']) == 2
    assert 'pip install kpdiscovery[report]' in capsys.readouterr().err


def test_pictures_are_the_rows_that_were_predicted(workdir):
    from kpdiscovery.reporting import seen as seen_lib

    trained = inference.load(workdir)
    source = data.build(trained.config.data, split='test')
    seen = seen_lib.look(trained, source, 'test', count=8)
    assert seen.names[:2] == ('test 0', 'test 1') and len(seen.names) == 8
    np.testing.assert_array_equal(seen.images[3], source[3]['image'])
    np.testing.assert_array_equal(seen.found.truth['index'], np.arange(8))


def fake_seen(split, count, labels):
    """Black pictures with a keypoint of every label, the later the surer."""
    from kpdiscovery.reporting import seen as seen_lib

    rows = np.tile(np.arange(labels), (count, 1))
    points = Keypoints(np.full((count, labels, 2), 8.0), rows / labels, rows, rows >= 0)
    found = Split(Prediction(points), {}, (16, 16), labels)
    images = np.zeros((count, 16, 16, 3), np.uint8)
    names = tuple(f'{split} {i}' for i in range(count))
    return seen_lib.Seen(None, split, images, names, found)


def test_of_a_crowd_of_labels_the_surest_are_drawn():
    from kpdiscovery.reporting import seen as seen_lib

    assert seen_lib.shown(fake_seen('test', 1, 100), 0).label.tolist() == [
        *range(99, 87, -1)
    ]
    assert seen_lib.shown(fake_seen('test', 1, 30), 0).label.tolist() == [*range(30)]
