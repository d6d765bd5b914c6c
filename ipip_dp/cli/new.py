# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip new`: the folder of a run, and what to type in it next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ipip_dp.cli.options import numbers_of, one_of
from ipip_dp.new import templates
from ipip_dp.new.codes import CODES
from ipip_dp.new.effort import EFFORTS

TEACHERS = f"{', '.join(templates.NAMES)}, or a JSON file of a labeler"
MACHINES = {"local": "local_cpu", **{name: name for name in templates.machines()}}


def new(
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    structures: Annotated[
        list[str], typer.Argument(help="Start structures in any format of ASE's; FILE@: takes all of a file.")
    ],
    reference: Annotated[
        str,
        typer.Option(
            help=f"What labels frames accurately: {', '.join(CODES)}, {TEACHERS}; "
            "none: the labels in --data are all there are."
        ),
    ],
    teacher: Annotated[
        str,
        typer.Option(help=f"What labels many frames cheaply: {TEACHERS}.", show_default="the first that is installed"),
    ] = "",
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Labelled frames of the reference: deepmd/npy folders, extxyz, OUTCAR, ...; repeatable."),
    ] = None,
    data_format: Annotated[str, typer.Option(help="dpdata format of --data.")] = "auto",
    machine: Annotated[
        str,
        typer.Option(help=f"Where jobs run: {', '.join(MACHINES)}.", autocompletion=lambda: list(MACHINES)),
    ] = "local",
    effort: Annotated[
        str,
        typer.Option(help=f"How long everything is: {', '.join(EFFORTS)}.", autocompletion=lambda: list(EFFORTS)),
    ] = "usual",
    temperatures: Annotated[str, typer.Option(help="Temperatures of all MD in K.")] = "300,600,1200",
    rcut: Annotated[float, typer.Option(min=1, max=15, help="Cutoff of the models, in Angstrom.")] = 6.0,
    min_length: Annotated[
        float, typer.Option(min=0, help="Repeat cells until opposite faces are this far apart, in Angstrom.")
    ] = 8.0,
) -> None:
    """Make the folder of a run from start structures: param.json, machine.json, structures/ and data/."""
    from ipip_dp.checks import run_input
    from ipip_dp.config import inputs
    from ipip_dp.new.folder import Choices, write

    choices = Choices(
        structures=structures,
        data=data or [],
        data_format=data_format,
        teacher=teacher,
        reference=reference,
        machine=MACHINES[one_of("--machine", machine, MACHINES)],
        effort=one_of("--effort", effort, EFFORTS),
        temperatures=numbers_of("--temperatures", temperatures),
        rcut=rcut,
        shortest=min_length,
    )
    written = write(folder, choices)
    typer.echo(f"{folder}: type_map {' '.join(written.type_map)}, sel {' '.join(map(str, written.sel))} to {rcut:g} A")
    for structure in written.structures:
        changes = f" ({structure.changes})" if structure.changes else ""
        typer.echo(f"  structures/{structure.name}: {len(structure.atoms)} atoms{changes}")
    if written.frames:
        typer.echo(f"  data/train: {written.frames[0]} frames; data/held_out: {written.frames[1]} frames")
    typer.echo(f"  param.json: {effort} effort, teacher {written.teacher}, reference {reference}")
    typer.echo("  machine.json")
    for name in written.files:
        typer.echo(f"  {name}: to be looked at and converged")
    os.chdir(folder)
    jdata, mdata = inputs.load_input(Path("param.json"), Path("machine.json"))
    problems = run_input.problems(jdata, mdata, "param.json", "machine.json", with_data=None)
    if problems:
        typer.echo("To fill in; `ipip check` tells what is left:")
        for problem in problems:
            typer.echo(f"  {problem}")
    if not (written.frames or written.labels):
        typer.echo("  Of labelled frames, --data makes both folders of data.")
    typer.echo("Then:" if problems else "Next:")
    init = ["ipip init"] if written.labels and not written.frames else []
    for command in (f"cd {folder}", "ipip check", *init, "dpgen run param.json machine.json", "ipip status"):
        typer.echo(f"  {command}")
