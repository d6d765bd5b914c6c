# SPDX-License-Identifier: LGPL-3.0-or-later
"""Commands that show a run: a page with pictures, and its trust levels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ipip_dp.cli.console import console
from ipip_dp.cli.options import enter
from ipip_dp.errors import IpipError

RunFolder = Annotated[Path, typer.Argument(help="Folder of `dpgen run`.", show_default="this one")]


def report(
    folder: RunFolder = Path(),
    output: Annotated[
        Path | None, typer.Option(help="The page; its pictures go beside it.", show_default="report.html in FOLDER")
    ] = None,
) -> None:
    """Write a page with pictures of a run, finished or not: how good it is, what it went through, what to do next."""
    from ipip_dp.report import page

    target = Path("report.html") if output is None else output.absolute()
    if target.suffix not in (".html", ".htm"):
        raise IpipError(f"--output {output}: expected a file name that ends with .html")
    enter(folder)
    missing = [section.title for section in page.write(target, Path.cwd().name) if section.missing]
    left_out = f"; left out, as the page says: {', '.join(missing)}" if missing else ""
    typer.echo(f"{folder / target}: written, pictures in {folder / target.with_suffix('')}{left_out}")


def trust(
    folder: RunFolder = Path(),
    output: Annotated[Path | None, typer.Option(help="Picture without suffix.", show_default="report/trust")] = None,
) -> None:
    """Print trust levels measured on explored frames with reference labels, as lines for param.json; draw them."""
    from rich.table import Table

    from ipip_dp.report import levels

    stem = Path("report/trust") if output is None else output.absolute()
    enter(folder)
    found = levels.write(stem)
    table = Table(*found.table.columns, title=found.table.caption)
    for row in found.table.rows:
        table.add_row(*row)
    console().print(table)
    for line in (*found.notes, f"Picture: {folder / stem}.png, .svg", *found.lines):
        typer.echo(line)
