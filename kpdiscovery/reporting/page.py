"""A report is a list of sections; this makes them one HTML file that opens offline."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import jinja2
import numpy as np

from kpdiscovery.reporting import album as albums
from kpdiscovery.reporting import drawing
from kpdiscovery.reporting.album import Album

_WEB = pathlib.Path(__file__).with_name('web')


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture with a line under it; `width` in CSS pixels."""

    uri: str
    caption: str = ''
    width: int = 160


@dataclasses.dataclass(frozen=True)
class Row:
    """Figures side by side; `color` is a swatch before the title."""

    figures: Sequence[Figure]
    title: str = ''
    note: str = ''
    color: str = ''


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells are text; `head` may be empty."""

    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is under it, in the order of the fields.

    `compact` rows stand side by side where there is room.
    """

    title: str
    anchor: str
    note: str = ''
    tables: Sequence[Table] = ()
    rows: Sequence[Row] = ()
    text: str = ''
    compact: bool = False


def render(title: str, subtitle: str, album: Album, sections: Sequence[Section]) -> str:
    """The whole page: the pictures first, then the sections."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_WEB),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals['file'] = lambda name: (_WEB / name).read_text('utf-8')
    return environment.get_template('report.html').render(
        title=title,
        subtitle=subtitle,
        album=album,
        data=albums.text(album),
        sections=sections,
    )


def picture(image: np.ndarray, caption: str = '', *, width: int = 160) -> Figure:
    """A picture `[H, W]` or `[H, W, 3]`, uint8 or in [0, 1]; small ones stay crisp."""
    image = drawing.as_uint8(image)
    image = drawing.enlarge(image, drawing.zoom(image.shape, width))
    return Figure(drawing.data_uri(drawing.png(image)), caption, width)
