"""A config that has the choice starts from the networks that are on the machine."""

import json

import pytest

from kpdiscovery import config, starts


@pytest.fixture
def here(monkeypatch):
    """Function that says which networks are on the machine."""
    known = set()
    monkeypatch.setattr(starts.zoo, 'present', known.__contains__)
    return known.add


def test_a_start_is_taken_where_its_networks_are(here):
    name, line, absent = starts.chosen('self_training/folder:k20,cpu')
    assert name == 'self_training/folder:k20,cpu' and absent == ['xfeat']
    assert 'kpd weights xfeat' in line
    here('xfeat')
    name, line, absent = starts.chosen('self_training/folder:k20,cpu')
    assert name == 'self_training/folder:k20,pretrained,cpu' and not absent
    assert 'xfeat' in line and '--config=self_training/folder:k20,scratch,cpu' in line
    pod = starts.chosen('self_training/folder:k20,v5e_8')
    assert pod.name == 'self_training/folder:k20,pretrained,v5e_8'
    assert config.load(name).data.keypoints == 'xfeat'


@pytest.mark.parametrize('variant', ['pretrained,cpu', 'scratch,cpu'])
def test_a_named_start_is_as_it_is_named(here, variant):
    here('xfeat')
    name = f'self_training/folder:{variant}'
    assert starts.chosen(name) == (name, '', ())


@pytest.mark.parametrize('present', [True, False])
def test_a_setting_of_the_users_decides(here, present):
    if present:
        here('xfeat')
    name = 'self_training/folder:cpu'
    told = 'no pretrained start: data.keypoints is set by hand'
    assert starts.chosen(name, ['seed=1', 'data.keypoints=sift']) == (name, told, ())
    assert starts.chosen(name, ['seed=3']).line != told


def test_configs_without_the_choice_are_left_alone(here):
    here('xfeat')
    assert starts.chosen('tusk/tetrominoes:demo') == ('tusk/tetrominoes:demo', '', ())


@pytest.mark.parametrize(
    ('began', 'kind'), [('', 'from scratch'), ('pretrained,', 'pretrained')]
)
def test_a_workdir_keeps_the_start_that_it_has(here, tmp_path, began, kind):
    """Networks that came or went since then change nothing."""
    trained = f'self_training/folder:{began}cpu'
    (tmp_path / 'config.json').write_text(json.dumps({'run': {'config': trained}}))
    if not began:
        here('xfeat')
    found = starts.chosen('self_training/folder:cpu', (), tmp_path)
    assert found.name == trained
    assert found.line == f'{tmp_path} was begun {kind} and stays so'


def test_a_start_from_clusters_wants_both_networks(here):
    here('xfeat')
    name, _, absent = starts.chosen('self_training/folder:clusters,cpu')
    assert name == 'self_training/folder:clusters,cpu'
    assert absent == ['efficientnet_lite0']
    here('efficientnet_lite0')
    settings = config.load(starts.chosen(name).name)
    assert settings.data.keypoints == 'constellation'
    assert settings.method.start == 'clusters'
