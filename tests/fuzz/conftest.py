"""Hypothesis keeps nothing in the working copy, and no file is left anywhere else."""

import os

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from tests.fuzz import checks


@pytest.fixture(autouse=True, scope='module')
def nothing_left_behind(tmp_path_factory):
    """The working folder is empty before the tests of a file, and after."""
    set_hypothesis_home_dir(tmp_path_factory.mktemp('hypothesis'))
    empty, before = tmp_path_factory.mktemp('working'), os.getcwd()
    os.chdir(empty)
    yield
    os.chdir(before)
    assert not checks.tree(empty)
