# SPDX-License-Identifier: LGPL-3.0-or-later
"""How Sphinx makes the documentation: `make docs`. Neither building nor reading it needs a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parent.parent))  # of what the API is documented

from ipip_dp import __version__

project = "ipip-dp"
author = "The ipip-dp authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "dargs.sphinx"]
exclude_patterns = ["_build", "ipip.rst"]  # ipip.rst is for reading on its own; keys.md is the same with links
nitpick_ignore_regex = [("py:.*", r"(?!ipip_dp).*")]  # other packages' pages are elsewhere

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # types stand in the docstrings
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False

html_theme = "sphinx_book_theme"
html_title = "ipip-dp"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],
}
html_math_renderer = "mathml"


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _displayed(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Let formulas be MathML, which browsers show without scripts."""
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))
