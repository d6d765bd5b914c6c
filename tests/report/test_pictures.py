# SPDX-License-Identifier: LGPL-3.0-or-later
"""Figures as files, and as part of a page."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from ipip_dp.errors import IpipError
from ipip_dp.report import figures, pictures


@pytest.fixture
def saved(tmp_path):
    """A figure with points that are drawn as an image, and its SVG for a page."""
    from matplotlib.figure import Figure

    with pictures.style():
        figure = Figure((3, 2))
        figure.subplots().plot([1, 2], [3, 4], "o", rasterized=True)
        return tmp_path / "mine", pictures.save(figure, tmp_path / "mine")


def test_text_has_the_colour_of_the_page_and_names_are_its_own(saved):
    stem, svg = saved
    assert "currentColor" in svg and figures.INK not in svg and figures.PAPER not in svg
    assert figures.INK in stem.with_suffix(".svg").read_text()
    assert all(name.startswith("mine-") for name in re.findall(r'\bid="([^"]*)"', svg))
    assert all(name.startswith("mine-") for name in re.findall(r"url\(#([^)]*)\)", svg))
    assert "<metadata" not in svg and svg.startswith("<svg")
    assert re.search(r"<svg [^>]*viewBox", svg) and not re.search(r'<svg [^>]*\b(width|height)="', svg)


def test_a_png_is_sharp(saved):
    assert struct.unpack(">II", saved[0].with_suffix(".png").read_bytes()[16:24]) == (600, 400)


def test_nothing_else_is_left(saved):
    assert sorted(path.name for path in saved[0].parent.iterdir()) == ["mine.png", "mine.svg"]


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(IpipError, match="cannot be written to .* name another place by --output"):
        pictures.make_folder(Path(tmp_path / "file" / "report"))
