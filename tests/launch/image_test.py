"""launch/Dockerfile: what it copies is there, and is what the build context lets in."""

import re
import tomllib

from tests.launch.scripts import LAUNCH, ROOT

TEXT = (LAUNCH / 'Dockerfile').read_text()


def copied():
    lines = re.findall(r'^COPY (.+) \S+$', TEXT, re.MULTILINE)
    return {name for line in lines for name in line.split()}


def test_the_context_lets_in_what_is_copied_and_no_more():
    lines = (ROOT / '.dockerignore').read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith('#')]
    assert rules[0] == '*'
    assert {rule[1:] for rule in rules if rule.startswith('!')} == copied()


def test_all_that_the_package_is_built_of_is_copied_and_its_extras_are_known():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    assert {'pyproject.toml', 'setup.py', 'README.md', 'LICENSE'} < copied()
    assert all((ROOT / name).exists() for name in copied())
    extras = project['optional-dependencies']
    assert {'tpu', 'gpu', 'vision'} <= set(extras)
    assert 'ARG EXTRA=tpu' in TEXT and '".[$EXTRA,vision]"' in TEXT
    python = re.search(r'^FROM python:3\.(\d+)-slim$', TEXT, re.MULTILINE)[1]
    assert project['requires-python'] == '>=3.11' and int(python) >= 12  # jax's newest.


def test_hosts_of_a_slice_get_what_the_image_gets():
    text = (LAUNCH / 'tpu_vm.sh').read_text()
    packed = re.search(r'tar -C .*? \\\n(.*?) &&$', text, re.MULTILINE | re.DOTALL)[1]
    assert set(packed.split()) == copied()
