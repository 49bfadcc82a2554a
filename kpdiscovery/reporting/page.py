"""A report is a list of sections; this makes them one HTML file that opens offline."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import jinja2
import numpy as np

from kpdiscovery.reporting import drawing


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


def render(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole page."""
    source = pathlib.Path(__file__).with_name('report.html').read_text('utf-8')
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(source).render(
        title=title, subtitle=subtitle, sections=sections
    )


def picture(image: np.ndarray, caption: str = '', *, width: int = 160) -> Figure:
    """A picture `[H, W]` or `[H, W, 3]`, uint8 or in [0, 1]; small ones stay crisp."""
    image = drawing.as_uint8(image)
    image = drawing.enlarge(image, drawing.zoom(image.shape, width))
    return Figure(drawing.data_uri(drawing.png(image)), caption, width)
