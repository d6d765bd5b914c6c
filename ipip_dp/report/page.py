# SPDX-License-Identifier: LGPL-3.0-or-later
"""The page: one file that needs no other, and every picture of it as PNG and SVG beside it."""

from __future__ import annotations

import datetime
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import __version__, workdir
from ipip_dp.errors import IpipError
from ipip_dp.report import exploration, held_out, pictures, run, sections
from ipip_dp.report.sections import Section
from ipip_dp.text import reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from ipip_dp.report.pictures import Draw

TEMPLATE = Path(__file__).with_name("page.html.j2")


def write(output: Path, name: str) -> list[Section]:
    """Write the page on the run in the working directory.

    Parameters
    ----------
    output : Path
        The page; its pictures go to the folder of the same name without its suffix.
    name : str
        What the run is called in the page.

    Returns
    -------
    list of Section
        What is in the page, and what is missing.
    """
    found = run.load()
    folder = output.with_suffix("")
    pictures.make_folder(folder)

    def draw(picture: str, figure: Figure) -> str:
        return pictures.save(figure, folder / picture)

    with pictures.style():
        content = [*_sections(found, draw)]
    workdir.write_text(output, _render(name, content))
    return content


def _sections(found: run.Run, draw: Draw) -> list[Section]:
    """All sections, in the order of the page; what cannot be told is left out with a sentence that says why."""
    predictions: held_out.HeldOut | None = None
    problem = ""
    try:
        predictions = held_out.collect(found, found.best)
    except (IpipError, OSError, ValueError, KeyError) as error:
        problem = _sentence(error)

    def of_predictions(make: Callable[..., dict[str, Any]]) -> Callable[[], dict[str, Any]]:
        return lambda: {"missing": problem} if predictions is None else make(found, draw, predictions)

    spread = None if predictions is None else predictions.spread
    explored = functools.cache(lambda: exploration.collect(found))
    makers: list[tuple[str, str, Callable[[], dict[str, Any]]]] = [
        ("verdict", "Verdict", lambda: sections.answer(found, draw)),
        ("curve", "Learning curve", lambda: sections.learning_curve(found, draw)),
        ("parity", "Predictions against the reference", of_predictions(sections.parity)),
        ("deviation", "Model deviation and trust levels", lambda: sections.deviation(found, draw, explored(), spread)),
        ("frames", "Where the frames come from", lambda: sections.provenance(found, draw)),
        ("md", "MD that held, and MD that blew up", lambda: sections.blow_ups(draw, explored())),
        ("errors", "Error by element, force and system", of_predictions(sections.by_group)),
        ("time", "Time and core hours", lambda: sections.time(found, draw)),
        ("settings", "Settings, versions, seeds", lambda: sections.made_with(found, draw)),
        ("methods", "For a methods section", lambda: sections.cite(found, draw)),
    ]
    return [_section(key, title, make) for key, title, make in makers]


def _section(key: str, title: str, make: Callable[[], dict[str, Any]]) -> Section:
    try:
        return Section(key, title, **make())
    except (IpipError, OSError, ValueError, KeyError) as error:
        return Section(key, title, missing=_sentence(error))


def _sentence(error: Exception) -> str:
    text = str(error) if isinstance(error, IpipError) else f"It cannot be told: {reason(error)}"
    return f"{text.removesuffix('.')}."


def _render(name: str, content: list[Section]) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(name=name, sections=content, now=now, version=__version__)
