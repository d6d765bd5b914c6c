# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip status`: how far a run is."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live

from ipip_dp.cli.console import console
from ipip_dp.cli.options import enter
from ipip_dp.errors import IpipError

INTERVAL = 5.0  # seconds between two looks of --watch


def status(
    folder: Annotated[Path, typer.Argument(help="Where `dpgen run` works.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known, as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every few seconds, until Ctrl-C.")] = False,
) -> None:
    """Say how far a run is, whether it is alive, and which model to use; changes nothing."""
    from ipip_dp.status import show, state

    if as_json and watch:
        raise IpipError("--json and --watch: expected one of them")
    enter(folder)
    if as_json:
        typer.echo(json.dumps(show.document(state.read()), indent=2))
    elif watch:
        if not console().is_terminal:
            raise IpipError("--watch: expected a terminal; `ipip status --json` is for programs")
        with suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
            while True:
                live.update(Group(*show.renderables(state.read(), folder)), refresh=True)
                time.sleep(INTERVAL)
    else:
        target = console()
        for item in show.renderables(state.read(), folder):
            target.print(item, soft_wrap=getattr(item, "overflow", None) == show.VERBATIM, highlight=False)
