# SPDX-License-Identifier: LGPL-3.0-or-later
"""Figures as files, and as SVG that a page takes in: its text colour is the page's, in light and in dark."""

from __future__ import annotations

import io
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.report.figures import INK, PAPER, STYLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

    Draw = Callable[[str, Figure], str]
    """Saves a figure under a name; returns the SVG to be put into a page."""


@dataclass(frozen=True)
class Table:
    """A table of texts; the first column names the rows."""

    caption: str
    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Picture:
    """A figure in a page, what it shows in a sentence, and its numbers."""

    name: str
    svg: str
    alt: str
    table: Table | None = None


def number(value: Any, digits: int = 3) -> str:
    """A number in a table."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


@contextmanager
def style() -> Iterator[None]:
    """How figures look that are made and saved inside."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def make_folder(folder: Path) -> None:
    """Make the folder of pictures.

    Raises
    ------
    IpipError
        If nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise IpipError(f"{folder}: cannot be written to ({error.strerror}); name another place by --output") from None


def save(figure: Figure, stem: Path) -> str:
    """Write a figure as PNG and SVG; returns the SVG to be put into a page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)  # once; figure.savefig would draw everything twice for each file
    figure.set_layout_engine("none")
    temporary = stem.with_name(f".{png.name}.tmp")
    FigureCanvasAgg(figure).print_png(temporary)
    os.replace(temporary, png)
    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})  # leaves the figure with 72 dots per inch
    workdir.write_text(svg, text.getvalue())
    return _inline(text.getvalue(), stem.name)


def _inline(text: str, name: str) -> str:
    """An SVG without what only a file needs, whose names no other of the page has."""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], count=1, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*" height="[^"]*"|(<svg [^>]*?)', r"\1\2", svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", svg)
    return svg.replace(INK, "currentColor").replace(PAPER, "none")
