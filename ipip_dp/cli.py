"""The ``ipip`` command. Every job that a run dispatches is one of these, typed by machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ipip_dp.errors import IpipError, disk_full

if TYPE_CHECKING:
    from ipip_dp.selection import Gate

app = typer.Typer(
    help="Iterative pretraining for interatomic potentials, in DP-GEN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ParamFile = Annotated[Path, typer.Argument(help="param.json", show_default=False)]
MachineFile = Annotated[Path, typer.Argument(help="machine.json", show_default=False)]
LabelerOption = Annotated[str, typer.Option(help="JSON file of a labeler; with --param, 'teacher' or 'reference'.")]
ParamOption = Annotated[Path | None, typer.Option(help="param.json to take the labeler, type_map and gate from.")]
TypeMapOption = Annotated[str | None, typer.Option(help="Elements in order, as in Mo,S,O.")]


def main() -> None:
    """Run the command line; a problem the user can fix becomes one message and status 1."""
    try:
        with disk_full():
            app()
    except IpipError as error:
        for line in str(error).splitlines():
            print(f"ipip: {line}", file=sys.stderr)
        raise SystemExit(1) from None


def _context(param: Path, machine: Path, with_data: bool) -> Any:
    from ipip_dp import check, workdir
    from ipip_dp.steps import Context

    jdata, mdata = check.load_input(param, machine)
    params = check.require_valid(jdata, mdata, str(param), str(machine), with_data)
    return Context(workdir.Iteration(0), params, check.normalized(jdata, str(param)), mdata)


def _labeler(labeler: str, param: Path | None, type_map: str | None) -> tuple[dict[str, Any], list[str]]:
    """The labeler config and the type_map that the options name."""
    from ipip_dp import check, labelers

    if param is None:
        section = check.load(Path(labeler))
        check.require_schema(labelers.labeler_arguments("labeler", ""), section, labeler)
        return section, _elements(type_map)
    jdata = check.load(param)
    section = jdata.get("ipip", {}) if labeler in ("teacher", "reference") else {}
    if labeler not in section:
        raise IpipError(f"--labeler {labeler}: expected teacher or reference, one that {param} has in its ipip section")
    check.require_schema(labelers.labeler_arguments(labeler, ""), section[labeler], f"{param}: ipip.{labeler}")
    return section[labeler], _elements(type_map or ",".join(jdata.get("type_map", [])))


def _gate(param: Path | None, limits: dict[str, float | None]) -> Gate:
    """The limits given as options; for the others those of param.json, or ours."""
    from ipip_dp import check
    from ipip_dp.params import gate_argument
    from ipip_dp.selection import Gate

    section = check.load(param).get("ipip", {}).get("gate", {}) if param is not None else {}
    check.require_schema(gate_argument(), section, f"{param}: ipip.gate")
    given = {name: value for name, value in limits.items() if value is not None}
    return Gate(**gate_argument().normalize_value({**section, **given}, trim_pattern="_*"))


def _elements(type_map: str | None) -> list[str]:
    """The elements of option --type-map."""
    elements = [element.strip() for element in (type_map or "").split(",")]
    if not all(elements) or len(set(elements)) < len(elements):
        raise IpipError(f"--type-map: expected every element once, in order, as in Mo,S,O; found {type_map or 'none'}")
    return elements


@app.command()
def check(param: ParamFile = Path("param.json"), machine: MachineFile = Path("machine.json")) -> None:
    """Find the problems of an input, or of its changes since the run began, without running anything."""
    from ipip_dp import changes

    changes.require_allowed(_context(param, machine, with_data=True).jdata, str(param))
    print(f"{param} and {machine}: no problem found")


@app.command()
def init(param: ParamFile = Path("param.json"), machine: MachineFile = Path("machine.json")) -> None:
    """Make the first training data and the held-out set: teacher MD, diverse frames, reference labels."""
    from ipip_dp.init import init as make
    from ipip_dp.init import targets

    context = _context(param, machine, with_data=False)
    counts = make(context)
    for name, folder in targets(context).items():
        print(f"{folder}: {counts[name]} frames")


@app.command()
def md(
    start: Annotated[Path, typer.Argument(help="Start structure.")],
    output: Annotated[Path, typer.Argument(help="Folder for the labelled frames.")],
    settings: Annotated[
        Path, typer.Option(help="JSON file with labeler, type_map, temperatures (K), timestep (fs), ...")
    ],
) -> None:
    """Run MD with a labeler, one trajectory per temperature, and keep its labelled frames."""
    from ipip_dp import check
    from ipip_dp.labelers import md as teacher_md
    from ipip_dp.selection import Gate

    _log_progress()
    value = check.load(settings)
    check.require_schema(teacher_md.settings_argument(), value, str(settings))
    for temperature in value["temperatures"]:
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
            seed=value["seed"],
            gate=Gate(value["min_distance"], value["max_force"]),
            fmt=value["format"],
        )


@app.command()
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
    min_success: Annotated[
        float, typer.Option(min=0, max=1, help="Fail if a smaller fraction of the frames gets labels.")
    ] = 0.5,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Label frames one by one; failures are listed with their reasons in OUTPUT/failed.json."""
    from ipip_dp.labelers import batch

    _log_progress()
    config, elements = _labeler(labeler, param, type_map)
    gate = _gate(param, {"min_distance": min_distance, "max_force": max_force})
    summary = batch.label(
        [source], output, config, type_map=elements, gate=gate, fmt=fmt, workers=workers, min_success=min_success
    )
    print(f"{output}: {summary}")


@app.command()
def predict(
    source: Annotated[Path, typer.Argument(help="Folder of labelled deepmd/npy systems.")],
    output: Annotated[Path, typer.Argument(help=".npz file for the predictions.")],
    labeler: LabelerOption,
    param: ParamOption = None,
    type_map: TypeMapOption = None,
) -> None:
    """Write what every model of a labeler predicts on labelled frames."""
    from ipip_dp import predict as prediction

    config, elements = _labeler(labeler, param, type_map)
    prediction.predict([source], output, config, elements)


@app.command()
def evaluate(
    models: Annotated[list[Path], typer.Argument(help="Frozen models.")],
    data: Annotated[Path, typer.Option(help="Folder of reference-labelled deepmd/npy systems.")],
    type_map: Annotated[str, typer.Option(help="Elements in order, as in Mo,S,O.")],
    output: Annotated[Path | None, typer.Option(help="JSON file for the errors.")] = None,
) -> None:
    """Print the errors of frozen models, and of their mean, on reference-labelled frames."""
    import tempfile

    from ipip_dp import predict as prediction
    from ipip_dp import workdir
    from ipip_dp.steps.evaluate import compare

    elements = _elements(type_map)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.npz"
        prediction.predict([data], file, {"type": "dp", "models": [str(model) for model in models]}, elements)
        errors = compare([data], elements, file)
    if output is not None:
        workdir.write_json(output, errors)
    table = Table("model", "force RMSE (eV/A)", "force MAE (eV/A)", "energy RMSE (eV/atom)", "frames")
    for name, row in [*zip(map(str, models), errors["students"], strict=True), ("mean of all", errors["ensemble"])]:
        table.add_row(
            name,
            f"{row['force_rmse']:.4f}",
            f"{row['force_mae']:.4f}",
            f"{row['energy_rmse_per_atom']:.4f}",
            str(row["n_frames"]),
        )
    Console().print(table)


@app.command()
def forget(
    checkpoint: Annotated[Path, typer.Argument(help="model.ckpt (TensorFlow) or model.ckpt.pt (PyTorch).")],
    output: Annotated[Path, typer.Argument(help="The checkpoint to write.")],
    method: Annotated[str, typer.Option(help="shrink_perturb, reinit or none.")] = "shrink_perturb",
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

    from ipip_dp import checkpoints, workdir

    if seed_file is not None:
        seed = _read_seed(seed_file)
    report = checkpoints.forget(
        checkpoint, output, method=method, scope=scope, seed=seed, shrink=shrink, noise=noise, data=data or []
    )
    workdir.write_json(output.parent / "forget.json", {**dataclasses.asdict(report), "output": str(output)})
    print(report)


def _read_seed(path: Path) -> int:
    try:
        return int(json.loads(path.read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise IpipError(f"{path}: expected a file with one integer, the seed: {error}") from None


@app.command()
def status() -> None:
    """Show how far the run in this folder is, and how the error fell."""
    from ipip_dp import report

    console = Console()
    if not console.is_terminal:  # rich would take 80 columns and cut the headings
        console = Console(width=120)
    console.print(report.table())
    for line in report.lines():
        print(line)


@app.command()
def doc() -> None:
    """Print what every key of the ipip section of param.json means (reStructuredText)."""
    from ipip_dp.params import ipip_argument

    print(ipip_argument().gen_doc(make_anchor=False, make_link=False))


def _log_progress() -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
