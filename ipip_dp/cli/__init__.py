# SPDX-License-Identifier: LGPL-3.0-or-later
"""The ``ipip`` command. Every job that a run dispatches is one of these, typed by machine."""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import Annotated

import typer

import ipip_dp
from ipip_dp.cli import label, models, new, report, run, status
from ipip_dp.errors import IpipError, disk_full
from ipip_dp.text import shown

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    new.new,
    run.check,
    run.init,
    label.md,
    label.label,
    label.predict,
    models.evaluate,
    models.forget,
    status.status,
    report.report,
    report.trust,
    run.doc,
):
    app.command()(command)


def show_log() -> None:
    """Show the log of this package, and of others what they warn of."""
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("ipip_dp"))
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True, handlers=[handler]
    )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's libraries, as in machines/


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ipip-dp {ipip_dp.__version__}")
        raise typer.Exit


@app.callback()
def ipip(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Iterative pretraining for interatomic potentials, in DP-GEN. `ipip COMMAND -h` tells more."""


def main() -> None:
    """Run the command line; a problem the user can fix becomes one message and status 1."""
    show_log()
    try:
        with disk_full():
            app()
    except IpipError as error:
        for line in str(error).splitlines():
            print(f"ipip: {line}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"ipip: expected the name of a file, found {shown(str(error.filename))}", file=sys.stderr)
        raise SystemExit(1) from None
