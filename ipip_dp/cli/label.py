# SPDX-License-Identifier: LGPL-3.0-or-later
"""Commands that label frames: the jobs a run dispatches, typed by machine or by hand."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from ipip_dp.cli.options import (
    LabelerOption,
    ParamOption,
    TypeMapOption,
    gate_of,
    labeler_and_elements,
    numbers_of,
    require_file,
)


def md(
    start: Annotated[Path, typer.Argument(help="Start structure.")],
    output: Annotated[Path, typer.Argument(help="Folder for the labelled frames.")],
    settings: Annotated[
        Path | None,
        typer.Option(help="JSON file with labeler, type_map, temperatures (K), timestep (fs), ..., for all options."),
    ] = None,
    labeler: LabelerOption = "teacher",
    param: ParamOption = None,
    type_map: TypeMapOption = None,
    temperatures: Annotated[str, typer.Option(help="Temperatures in K, a trajectory for each.")] = "300",
    nsteps: Annotated[int, typer.Option(min=1, help="Steps of a trajectory.")] = 1000,
    interval: Annotated[int, typer.Option(min=1, help="Steps between two frames.")] = 10,
    timestep: Annotated[float, typer.Option(min=0, help="Time step in fs.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of velocities and thermostat.")] = 1,
) -> None:
    """Run MD with a labeler, one trajectory per temperature, and keep its labelled frames.

    For example `ipip md start.vasp frames --param param.json`, which runs its teacher.
    """
    from ipip_dp.config import inputs
    from ipip_dp.config.sections import TeacherMD
    from ipip_dp.data.gate import Gate
    from ipip_dp.labelers import make_labeler
    from ipip_dp.labelers import md as teacher_md

    if settings is not None:
        value = inputs.load(settings)
    else:
        config, elements = labeler_and_elements(labeler, param, type_map)
        value = {
            "labeler": config,
            "type_map": elements,
            "format": "auto",
            "temperatures": numbers_of("--temperatures", temperatures),
            "nsteps": nsteps,
            "interval": interval,
            "timestep": timestep,
            "friction": TeacherMD().friction,
            "seed": seed,
            **gate_of(param, {}).limits(),
        }
    inputs.require_schema(teacher_md.settings_argument(), value, str(settings or "ipip md"))
    make = functools.cache(lambda: make_labeler(value["labeler"], value["type_map"]))  # one for all temperatures
    for number, temperature in enumerate(value["temperatures"]):
        teacher_md.md(
            start,
            output / f"{temperature:g}K",
            value["labeler"],
            type_map=value["type_map"],
            temperature=temperature,
            timestep=value["timestep"],
            nsteps=value["nsteps"],
            interval=value["interval"],
            friction=value["friction"],
            seed=teacher_md.seed_of(value["seed"], number),
            gate=Gate(value["min_distance"], value["max_force"], value.get("max_neighbor_distance")),
            fmt=value["format"],
            nopbc=value.get("nopbc", False),
            labeler=make,
        )


def label(
    source: Annotated[Path, typer.Argument(help="Any file or folder dpdata can read.")],
    output: Annotated[Path, typer.Argument(help="Folder for the labels (deepmd/npy).")],
    labeler: LabelerOption,
    param: ParamOption = None,
    type_map: TypeMapOption = None,
    fmt: Annotated[str, typer.Option("--format", help="dpdata format of SOURCE.")] = "auto",
    min_distance: Annotated[
        float | None,
        typer.Option(min=0, show_default="that of ipip.gate", help="Reject frames with closer atoms, in Angstrom."),
    ] = None,
    max_force: Annotated[
        float | None,
        typer.Option(min=0, show_default="that of ipip.gate", help="Reject frames with larger forces, in eV/Angstrom."),
    ] = None,
    max_neighbor_distance: Annotated[
        float | None,
        typer.Option(min=0, show_default="that of ipip.gate", help="Reject frames with an atom farther from others."),
    ] = None,
    min_success: Annotated[
        float, typer.Option(min=0, max=1, help="Fail if a smaller fraction of the frames gets labels.")
    ] = 0.5,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Label frames one by one; failures are listed with their reasons in OUTPUT/failed.json."""
    from ipip_dp.labelers import batch

    config, elements = labeler_and_elements(labeler, param, type_map)
    limits = {"min_distance": min_distance, "max_force": max_force, "max_neighbor_distance": max_neighbor_distance}
    gate = gate_of(param, limits)
    summary = batch.label(
        [source], output, config, type_map=elements, gate=gate, fmt=fmt, workers=workers, min_success=min_success
    )
    print(f"{output}: {summary}")


def predict(
    source: Annotated[Path, typer.Argument(help="Folder of labelled deepmd/npy systems.")],
    output: Annotated[Path, typer.Argument(help=".npz file for the predictions.")],
    labeler: LabelerOption,
    param: ParamOption = None,
    type_map: TypeMapOption = None,
) -> None:
    """Write what every model of a labeler predicts on labelled frames.

    OUTPUT holds, for block i of frames (0, 1, ... through all systems below SOURCE), the arrays i/energies (models,
    frames) in eV, i/forces (models, frames, atoms, 3) in eV/Angstrom and, where there are any, i/virials (models,
    frames, 3, 3) in eV; NaN where the labeler fails. numpy.load reads it. `ipip evaluate` prints errors instead.
    """
    from ipip_dp.labelers import predict as prediction

    config, elements = labeler_and_elements(labeler, param, type_map)
    require_file(output)
    prediction.predict([source], output, config, elements)
