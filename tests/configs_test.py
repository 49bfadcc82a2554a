"""Every packaged config: each variant builds, and its steps trace."""

import functools
import importlib
import itertools
import re

import jax
import jax.numpy as jnp
import pytest
from kpdiscovery.configs.pods import PODS
from kpdiscovery.configs.variants import LAST, SIZES

from kpdiscovery import cli, config, methods
from kpdiscovery.types import UserError


def first_users(count):
    """(config, variants) of every choice of so many; of those that configs share the
    functions of, only the first one's."""
    met = set()
    for name in config.names():
        variants = config.variants(name)
        for chosen in itertools.permutations(variants, count):
            functions = (name.split('/')[0], *(variants[v] for v in chosen))
            if functions not in met:
                met.add(functions)
                yield name, chosen


def switch(value):
    """A setting without what its numbers are, only whether they are above 0 and 1."""
    if isinstance(value, tuple | list):
        return tuple(map(switch, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return type(value), value > 0, value > 1


def cases():
    """Every config and variant but the pods (of one batch and one step traced alike);
    slow if a size, if pretrained (a large network, traced), or if another one has each
    of its switches: how they go together is traced in the slow ones."""
    names = [f'{name}:{variant}' for name, (variant,) in first_users(1)
             if variant not in PODS]  # fmt: skip
    met = set()
    for name in [*config.names(), *names]:
        settings = config.load(name).to_dict()
        asked = ('keypoints', 'temporal_gap')
        data = {field: bool(settings['data'].get(field)) for field in asked}
        data['drawn'] = settings['data']['source'] == 'shapes'
        if classes := methods.named(settings['method']['name']).class_count:
            settings['method'][classes] = 0  # Set below.
        parts = {
            'method': settings['method'],
            'phases': settings['phases'],
            'data': data,
        }
        found = {(settings['method']['name'], path, repr(switch(value)))
                 for path, value in leaves(parts).items()}  # fmt: skip
        slow = found <= met or name.rpartition(':')[2] in (*SIZES, 'pretrained')
        yield pytest.param(name, marks=[pytest.mark.slow] if slow else [])
        met |= found if not slow else set()


PAIRS = [
    (name, pair) for name, pair in first_users(2)
    if pair[0] not in LAST or {*pair} <= {*SIZES}
]  # fmt: skip


def leaves(tree, path=()):
    if not isinstance(tree, dict):
        return {path: tree}
    return {k: v for name in tree for k, v in leaves(tree[name], (*path, name)).items()}


@pytest.mark.parametrize('name', config.names())
def test_every_variant_is_told_and_builds(name):
    with pytest.raises(UserError) as error:
        config.load(f'{name}:none-such')
    told = str(error.value).partition('there are: ')[2].split(', ')
    assert told == sorted(config.variants(name))
    for variant in config.variants(name):
        methods.build(config.load(f'{name}:{variant}').method)


@pytest.mark.parametrize('name', sorted({name for name, _ in PAIRS}))
def test_every_pair_builds_and_no_size_turns_on_what_a_variant_switched_off(name):
    plain = leaves(config.load(name).to_dict())
    for pair in (pair for config_name, pair in PAIRS if config_name == name):
        settings = config.load(f'{name}:{",".join(pair)}')
        if 'ch5' in pair and {*pair} & {'clusters', 'distilled'}:
            with pytest.raises(UserError, match='chapter 5 finds its clusters itself'):
                methods.build(settings.method)
            continue
        methods.build(settings.method)
        if pair[1] not in LAST or pair[0] in LAST:
            continue
        before = leaves(config.load(f'{name}:{pair[0]}').to_dict())
        both = leaves(settings.to_dict())
        off = {k for k, v in before.items() if not v and plain.get(k)}
        assert not [k for k in off if both.get(k)], pair


def test_sizes_leave_ablations_what_they_are():
    """The smallest cases of a fault: sizes had weights of their own."""
    both = config.load('tusk/mnist_hard:recon_only,cpu').method
    assert (both.cluster_weight, both.prototype_steps, both.feature_weight) == (0, 0, 0)
    assert config.load('tusk/mnist_hard:cpu').method.feature_weight == 0.1


def test_a_perceptual_loss_of_faces_weighs_what_squares_did():
    weight = lambda name: config.load(name).method.reconstruction_weight
    assert weight('tusk/faces:cpu') == 200 * weight('tusk/faces:pretrained,cpu')


def test_what_a_method_shares_is_no_config():
    assert not [name for name in config.names() if name.split('/')[1][0] == '_']
    assert config.variants('superpoint/shapes').keys() == {'cpu', 'smoke', *PODS}


@pytest.mark.parametrize('name', list(cases()))
def test_every_phase_traces(name):
    settings = config.load(name)
    if 'reconstruction' in settings.method:
        settings.method.reconstruction = 'mse'  # Needs no weights.
    size = settings.data.size
    if name.startswith('self_training'):
        assert size % (4 * 2**settings.method.network.depth) == 0
        settings.method.network.depth = (
            1  # The same code, traced in a third of the time.
        )
        if 'locate' in settings.phases:
            settings.phases.locate.rounds = 2
    if classes := methods.named(settings.method.name).class_count:
        settings.method[classes] = (
            settings.method[classes] or 7
        )  # Counted by `kpd train`.
    for part, value in {'features': 'random', 'network': '', 'encoder': ''}.items():
        section = settings.method.get(part, {})
        if 'weights' in section and section.get('backbone') != 'superpoint':
            section.weights = value
    if 'descriptors' in settings.method:
        settings.method.descriptors.update(xfeat='random', backbone='random')
    method = methods.build(settings.method)
    image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.uint8)
    batch = {'image': image, 'index': jax.ShapeDtypeStruct((2,), jnp.int32)}
    if settings.data.source == 'shapes':
        batch['keypoints'] = jax.ShapeDtypeStruct((2, 5, 2), jnp.float32)
        batch['visible'] = jax.ShapeDtypeStruct((2, 5), bool)
    if classes:
        batch['label'] = jax.ShapeDtypeStruct((2,), jnp.int32)
    if settings.data.get('keypoints', ''):
        batch |= generic_keypoints(settings.data.num_detected)
    if settings.method.get('start') == 'clusters':
        labels = jax.ShapeDtypeStruct((2, settings.data.num_detected), jnp.int32)
        batch |= {'detected_label': labels, 'detected_mirror': labels}
    if settings.data.get('temporal_gap', 0):
        flow = jax.ShapeDtypeStruct((2, size, size, 2), jnp.float32)
        batch |= {'later': image, 'flow': flow}
    key, state, labels = jax.eval_shape(lambda: jax.random.key(0)), None, {}
    for phase in method.phases(settings.to_dict()):
        init = functools.partial(phase.init, before=state)
        state = jax.eval_shape(init, key, batch)
        if phase.sweep:
            state, labels = sweep(phase.sweep, state, batch, labels, key)
        after, scalars = jax.eval_shape(phase.step, state, batch, labels, key)
        assert shapes(after) == shapes(state)
        assert 'loss' in scalars


def generic_keypoints(points):
    like = lambda *shape: jax.ShapeDtypeStruct((2, points, *shape), jnp.float32)
    return {
        'detected': like(2),
        'detected_score': like(),
        'detected_descriptors': like(128),
    }


def sweep(sweep, state, batch, labels, key):
    """State and table after a sweep over two rows; neither changes its shapes."""
    labels = jax.eval_shape(functools.partial(sweep.init, 2), labels, batch)
    rows = dict(jax.eval_shape(sweep.extract, state, batch, labels))
    rows['row_valid'] = jax.ShapeDtypeStruct((2,), bool)
    found = jax.eval_shape(sweep.reduce, rows, state, key)
    assert shapes(found.labels) == shapes(labels)
    assert shapes(found.state) == shapes(state)
    return found.state, found.labels


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def test_all_data_sets_of_the_paper_are_there():
    wanted = {
        'mnist_hard',
        'clevr6',
        'tetrominoes',
        'celeba_wild',
        'h36m',
        'faces',
        'folder',
    }
    assert {f'tusk/{name}' for name in wanted} <= set(config.names())
    wanted = {
        'mafl', 'aflw', 'ls3d', 'bbc_pose', 'h36m', 'penn_action', 'deepfashion',
        'cat_heads', 'cub', 'critters', 'faces', 'mouse',
    }  # fmt: skip
    assert {f'self_training/{name}' for name in (*wanted, 'folder')} <= set(
        config.names()
    )
    wanted = {'critters', 'cub', 'cars', 'flowers', 'tiny_imagenet', 'folder'}
    assert {f'weight_map/{name}' for name in wanted} <= set(config.names())
    assert {'lmpnet/critters', 'lmpnet/cub'} <= set(config.names())
    wanted = {'vehicle_part', 'celeba', 'mafl', 'cub', 'critters', 'faces', 'folder'}
    assert {f'feature_alignment/{name}' for name in wanted} <= set(config.names())


def test_overrides_keep_types():
    settings = config.load('tusk/tetrominoes', ['data.batch_size=64', 'method.alpha=false',
                                                'method.claim_weight=1'])  # fmt: skip
    assert settings.data.batch_size == 64 and settings.method.alpha is False
    assert settings.method.claim_weight == 1.0


@pytest.mark.parametrize('name, overrides, message', [
    ('tusk/tetromino', [], "no config 'tusk/tetromino', did you mean tusk/tetrominoes?"),
    ('tusk', [], "no config 'tusk'; there are: tusk/celeba_wild, tusk/clevr6, tusk/faces"),
    ('tusk/mine', [], 'there are: tusk/celeba_wild, '),
    ('tsuk/folder', [], 'did you mean tusk/folder?'),
    ('selftraining/mous', [], 'did you mean self_training/mouse?'),
    ('nothing', [], "no config 'nothing'; there are: constellation/critters, "),
    ('tusk/tetrominoes:tiny', [], "no variant 'tiny'"),
    ('tusk/tetrominoes:v5e_8,code', [], 'write :code,v5e_8'),
    ('tusk/tetrominoes:cpu,v5e_8', [], "'cpu' and 'v5e_8' exclude each other: pods are for"),
    ('tusk/tetrominoes:v5e_8,smoke', [], "'v5e_8' and 'smoke' exclude each other"),
    ('tusk/tetrominoes:v5e_8,v5e_64', [], "'v5e_8' and 'v5e_64' exclude each other"),
    ('imm/folder', ['phases.train.optimizer.accumulat=2'],
     'did you mean phases.train.optimizer.accumulate?'),
    ('imm/folder', ['phases.train.optimizer.accumulate=0'], 'whole number, at least 1'),
    ('imm/folder', ['phases.train.accumulate=2'], 'unknown config key'),
    ('nowhere.py', [], 'no config file nowhere.py'),
    ('tusk/tetrominoes', ['data.batch_sise=1'], 'did you mean data.batch_size?'),
    ('tusk/tetrominoes', ['data.batch_size'], 'needs a value'),
    ('tusk/tetrominoes', ['data.batch_size=many'], "is of type int, got 'many'"),
])  # fmt: skip
def test_mistakes_are_named(name, overrides, message):
    with pytest.raises(UserError, match=re.escape(message)):
        config.load(name, overrides)


def test_config_from_a_file(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        'from kpdiscovery.configs.tusk import tetrominoes\n'
        'def get_config(arg=""):\n'
        '    return tetrominoes.get_config("smoke")\n'
    )
    assert config.load(str(path)).phases.train.steps == 2


@pytest.mark.parametrize('name', config.names())
def test_docstring_says_in_a_line_what_it_is_and_somewhere_what_it_costs(name):
    module = importlib.import_module('kpdiscovery.configs.' + name.replace('/', '.'))
    first = (module.__doc__ or '').split('\n')[0]
    assert first.endswith('.') and len(first) < 98
    assert re.search(r'not run|\d (s|minutes?|hours?|h)\b', module.__doc__)


def test_a_tilde_is_the_home_directory_wherever_a_path_is_taken(monkeypatch, tmp_path):
    """Bash leaves it after an '='."""
    monkeypatch.setenv('HOME', '/home/me')
    settings = config.load(
        'weight_map/folder:smoke',
        ['data.path=~/pictures', 'method.network.weights=~/a.st', 'data.options.x=~/b'],
    )
    assert settings.data.path == '/home/me/pictures'
    assert settings.method.network.weights == '/home/me/a.st'
    assert settings.data.options.x == '/home/me/b'
    file = tmp_path / 'mine.py'
    file.write_text(
        'from kpdiscovery.configs.tusk import folder\n'
        'def get_config(arg):\n'
        '    c = folder.get_config("smoke")\n'
        '    c.data.path = "~/pictures"\n'
        '    return c\n'
    )
    assert config.load(str(file)).data.path == '/home/me/pictures'
    parser = cli.Parser('kpd')
    parser.add_argument('images', nargs='+')
    parser.add_argument('--workdir')
    parser.add_argument('--steps', type=int)
    args, _ = parser.parse(['~/a', 'b~', '--workdir=~/runs/x', '--steps=3'])
    assert vars(args) == {
        'images': ['/home/me/a', 'b~'], 'workdir': '/home/me/runs/x', 'steps': 3,
    }  # fmt: skip


@pytest.mark.parametrize('text, message', [
    ('def get_config(:', 'SyntaxError, line 1'),
    ('import nowhere_to_be_found', "No module named 'nowhere_to_be_found'"),
    ('def get_config(): ...', 'takes 0 positional arguments'),
    ("get_config = lambda arg: {'seed': 0}", 'gives a dict, wanted a ConfigDict'),
])  # fmt: skip
def test_a_file_that_is_no_config_is_one_line(text, message, tmp_path):
    (tmp_path / 'c.py').write_text(text)
    with pytest.raises(UserError, match=message) as error:
        config.load(str(tmp_path / 'c.py'))
    assert '\n' not in str(error.value)


def test_a_section_is_nowhere_within_two_others():
    """One optimiser for two phases: setting the one would set the other as well."""
    changed = config.load('lmpnet/critters:cpu', ['phases.classify.optimizer.lr=7.0'])
    assert changed.phases.mask_out.optimizer.lr != 7
    changed = config.load('weight_map/critters:method2', ['phases.embed.steps=5'])
    assert changed.phases.classify.steps != 5
