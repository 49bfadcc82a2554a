import re

import numpy as np
import pytest

pytest.importorskip('jinja2')

from kpdiscovery.reporting import page
from kpdiscovery.reporting.album import Album

BAD = '<script>alert("x")</script>'


def example():
    figure = page.picture(np.zeros((3, 5, 3), np.uint8), BAD, width=10)
    row = page.Row([figure], BAD, BAD, '#00ff00')
    table = page.Table([(BAD, BAD)], (BAD, BAD))
    sections = [
        page.Section(BAD, 'one', BAD, [table], [row], BAD),
        page.Section('Two', 'two'),
    ]
    shot = {'split': BAD, 'name': BAD, 'uri': figure.uri, 'points': []}
    return page.render(BAD, BAD, Album(BAD, BAD, [shot]), sections)


def test_text_is_escaped_everywhere():
    html = example()
    assert '<script>alert' not in html
    assert html.count('&lt;script&gt;') > 15
    assert html.count('\\u003cscript>') == 4  # In what the page's own scripts read.


def test_nothing_is_loaded_from_elsewhere():
    html = example()
    links = re.findall(r'(?:\s(?:src|href)=|url\(|@import)\s*"?([^"\s)>]+)', html)
    assert links and all(link.startswith(('data:', '#')) for link in links)
    assert '://' not in html
    assert "default-src 'none'; img-src data:" in html  # The browser sees to it too.


def test_sections_have_anchors_and_links():
    html = example()
    for anchor in ('pictures', 'sheets', 'one', 'two'):
        assert f'href="#{anchor}"' in html and f'id="{anchor}"' in html


def test_small_pictures_are_enlarged_crisply():
    figure = page.picture(np.zeros((3, 5, 3), np.uint8), width=10)
    assert figure.width == 10 and figure.uri.startswith('data:image/png;base64,')
