"""The documents: keys of papers exist, and the pages build without a warning."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kpdiscovery.data.official import RELEASES
from kpdiscovery.metrics import PROTOCOLS

ROOT = Path(__file__).parents[1]
KEY = re.compile(r'\[([a-z]+(?:\d{4}[a-z]*|-thesis))\]')


def test_every_cited_key_is_a_reference():
    known = re.findall(
        r'^- \*\*\[(.+)\]\*\*', (ROOT / 'docs/references.md').read_text(), re.MULTILINE
    )
    assert len(known) == len(set(known))
    cited = {
        (file.relative_to(ROOT), key)
        for pattern in ('kpdiscovery/**/*.py', 'configs/**/*.py', 'docs/**/*.md')
        for file in ROOT.glob(pattern)
        for key in KEY.findall(file.read_text())
    }
    assert {file.parts[0] for file, _ in cited} >= {'docs', 'kpdiscovery'}
    assert [c for c in sorted(cited) if c[1] not in known] == []


def test_files_that_contributors_are_sent_to_are_there():
    text = (ROOT / 'CONTRIBUTING.md').read_text()
    named = re.findall(r'`((?:\w+/)+[\w.]*)`', text)
    places = [name for name in named if not re.search('[A-Z]{2}', name)]
    assert len(places) > 10
    roots = (ROOT, ROOT / 'kpdiscovery')
    assert [n for n in places if not any((r / n).exists() for r in roots)] == []


def test_the_page_of_figures_has_every_protocol():
    rows = (ROOT / 'docs/figures.md').read_text().splitlines()
    named = {
        re.sub('[`| ]', '', row.rsplit('|', 2)[1]) for row in rows if row[:1] == '|'
    }
    assert named - {'', 'protocol', '---'} == set(PROTOCOLS)


@pytest.mark.parametrize('page', [
    'README.md', 'RESULTS.md', 'CONTRIBUTING.md',
    *sorted(str(path.relative_to(ROOT)) for folder in ('docs', 'launch')
            for path in ROOT.glob(f'{folder}/**/*.md')),
])  # fmt: skip
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text()
    links = re.findall(
        r'\]\((?!https:)([^)#:]+)|^\[[^]]+\]: ([^#:\s]+)$', text, re.MULTILINE
    )
    for link in filter(None, {one or two for one, two in links}):
        assert ((ROOT / page).parent / link).is_file(), f'{page}: {link}'


@pytest.mark.slow  # Half a minute: every module is imported and described.
def test_pages_build_without_a_warning(tmp_path):
    for package in ('sphinx', 'myst_parser'):
        pytest.importorskip(package, reason=f"no {package}: pip install -e '.[docs]'")
    options = ['-q', '-W', '--keep-going', '-c', 'docs', '-d', tmp_path / 'doctrees']
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', *options, '.', tmp_path / 'pages'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (
        'soft_argmax'
        in (tmp_path / 'pages/build/api/kpdiscovery.ops.heatmaps.html').read_text()
    )


def test_every_data_set_of_the_papers_is_on_its_page():
    text = (ROOT / 'docs/data_sets.md').read_text()
    named = [name for name in RELEASES if not name.startswith('pascal3d_')]
    assert [name for name in named if f'`{name}`' not in text] == []
