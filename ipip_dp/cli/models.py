# SPDX-License-Identifier: LGPL-3.0-or-later
"""Commands on models: frozen ones are evaluated, checkpoints forget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Column, Table

from ipip_dp.cli.console import console
from ipip_dp.cli.options import elements_of, require_file
from ipip_dp.errors import IpipError


def evaluate(
    models: Annotated[list[Path], typer.Argument(help="Frozen models.")],
    data: Annotated[Path, typer.Option(help="Folder of reference-labelled deepmd/npy systems.")],
    type_map: Annotated[str, typer.Option(help="Elements in order, as in Mo,S,O.")],
    output: Annotated[Path | None, typer.Option(help="JSON file for the errors.")] = None,
) -> None:
    """Print the errors of frozen models, and of their mean, on reference-labelled frames."""
    import tempfile

    from ipip_dp import workdir
    from ipip_dp.labelers import predict as prediction
    from ipip_dp.steps import evaluate as held_out

    elements = elements_of(type_map)
    require_file(output)
    if len(set(models)) < len(models):
        raise IpipError(f"{' '.join(map(str, models))}: expected every model once")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.npz"
        prediction.predict([data], file, {"type": "dp", "models": [str(model) for model in models]}, elements)
        errors = held_out.errors([data], elements, file)
    if output is not None:
        workdir.write_json(output, errors)
    headings = ("force RMSE", "force MAE", "energy RMSE", "aligned", "virial RMSE")
    table = Table(
        Column("model", overflow="fold"),
        *(Column(heading, overflow="fold", justify="right", min_width=6) for heading in headings),
        title=f"Errors on {errors['ensemble']['n_frames']:,} frames in eV/Angstrom and eV/atom",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name, row in [*zip(map(str, models), errors["students"], strict=True), ("mean of all", errors["ensemble"])]:
        table.add_row(
            name,
            f"{row['force_rmse']:.4f}",
            f"{row['force_mae']:.4f}",
            f"{row['energy_rmse_per_atom_raw']:.4f}",
            f"{row['energy_rmse_per_atom_aligned']:.4f}",
            "" if row["virial_rmse_per_atom"] is None else f"{row['virial_rmse_per_atom']:.4f}",
        )
    console().print(table)


def forget(
    checkpoint: Annotated[Path, typer.Argument(help="model.ckpt (TensorFlow) or model.ckpt.pt (PyTorch).")],
    output: Annotated[Path, typer.Argument(help="The checkpoint to write.")],
    method: Annotated[str, typer.Option(help="How; `ipip doc` says what forget.method may be.")] = "shrink_perturb",
    scope: Annotated[
        str, typer.Option(help="fitting_net, or layers joined by commas: layer_2,final_layer.")
    ] = "fitting_net",
    seed: Annotated[int, typer.Option(help="Seed of the fresh draws.")] = 1,
    seed_file: Annotated[Path | None, typer.Option(help="JSON file with the seed, instead of --seed.")] = None,
    shrink: Annotated[float, typer.Option(help="shrink_perturb: factor on the old weights.")] = 0.5,
    noise: Annotated[float, typer.Option(help="shrink_perturb: factor on the fresh draw.")] = 0.1,
    data: Annotated[
        list[Path] | None, typer.Option(help="Reference-labelled data to refit the energy bias to.")
    ] = None,
) -> None:
    """Forget fitting-net weights of a checkpoint; `dp train --init-model` takes the result."""
    import dataclasses

    from ipip_dp import backends, workdir

    if seed_file is not None:
        seed = _read_seed(seed_file)
    report = backends.forget(
        checkpoint, output, method=method, scope=scope, seed=seed, shrink=shrink, noise=noise, data=data or []
    )
    workdir.write_json(output.parent / "forget.json", {**dataclasses.asdict(report), "output": str(output)})
    print(report)


def _read_seed(path: Path) -> int:
    try:
        return int(json.loads(path.read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise IpipError(f"{path}: expected a file with one integer, the seed: {error}") from None
