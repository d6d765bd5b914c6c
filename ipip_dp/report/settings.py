# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a run was made with: settings, versions, seeds, and how to say so in a paper."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import __version__
from ipip_dp.config import trainings
from ipip_dp.config.params import ipip_argument
from ipip_dp.workdir import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipip_dp.report.run import Run
    from ipip_dp.workdir import Iteration

MODULES = ("dpgen", "dpdispatcher", "dpdata", "deepmd", "numpy")
CITATIONS = Path(__file__).with_name("citations.bib")


def differences(run: Run) -> list[tuple[str, Any, Any]]:
    """Keys of the ``ipip`` section that differ from their defaults: key path, value, and default or None."""
    given = run.context(run.iterations[0]).jdata["ipip"]
    required = {key: given[key] for key in ("held_out", "teacher")}
    defaults = ipip_argument().normalize_value(required, trim_pattern="_*")
    return [*_differences("ipip", given, {**defaults, **dict.fromkeys(required)})]


def _differences(path: str, given: Any, default: Any) -> Iterator[tuple[str, Any, Any]]:
    for key, value in given.items():
        known = default.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            yield from _differences(f"{path}.{key}", value, known)
        elif value != known and not key.startswith("_"):
            yield f"{path}.{key}", value, known


def versions(run: Run) -> dict[str, str]:
    """Versions of packages a run uses, installed where the report is made, and of the LAMMPS that explored last."""
    found = {"ipip-dp": __version__}
    installed = [(package, _top_level(package)) for package in importlib.metadata.distributions()]
    for module in [*MODULES, *_modules(run)]:
        found.update({package.metadata["Name"]: package.version for package, names in installed if module in names})
    logs = [log for each in run.iterations for log in sorted(each.exploration.glob("task.*/log.lammps"))[:1]]
    for log in logs[-1:]:
        with log.open(errors="replace") as file:
            version = re.match(r"LAMMPS \((.*)\)", file.readline())
        if version:
            found["LAMMPS"] = version[1]
    return found


def _top_level(package: importlib.metadata.Distribution) -> set[str]:
    """What a package is imported as; Python 3.10's ``packages_distributions`` leaves out those that do not list it."""
    listed = (package.read_text("top_level.txt") or "").split()
    return set(listed) or {file.parts[0].partition(".")[0] for file in package.files or ()}


def _modules(run: Run) -> Iterator[str]:
    """What trains the students of a run, and what its labelers are made of."""
    context = run.context(run.iterations[0])
    yield "tensorflow" if context.backend.name == "tensorflow" else "torch"
    for labeler in (context.params.teacher, context.params.reference):
        if labeler is not None and labeler["type"] == "ase":
            yield labeler["calculator"].partition(":")[0].partition(".")[0]


def seeds(run: Run, iteration: Iteration) -> dict[str, str]:
    """The seed of the run, and those that training inputs of an iteration's students have."""
    found = {"ipip.seed": str(run.context(iteration).params.seed)}
    for student in sorted(iteration.train.glob("[0-9][0-9][0-9]")):
        values = dict(_seeds(read_json(student / "input.json")))
        found[str(student)] = ", ".join(f"{name} {value}" for name, value in values.items())
    return found


def _seeds(value: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Every seed of a training input, by the section it is in."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "seed" and item is not None:
                yield path, item
            else:
                yield from _seeds(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _seeds(item, path)


def labeler(section: dict[str, Any]) -> str:
    """A labeler in a few words."""
    if section["type"] == "lammps":
        return f"the LAMMPS pair style {section['pair_style']} ({', '.join(section['pair_coeff'])})"
    if section["type"] == "ase":
        name = section["calculator"].rpartition(":")[2]
        words = [str(value) for key, value in section.get("kwargs", {}).items() if key in ("method", "model", "xc")]
        return f"{name} ({', '.join(words)})" if words else name
    if section["type"] == "dp":
        return f"the DeePMD model {', '.join(map(str, section['models']))}"
    return f"a labeler of type {section['type']}"


def methods(run: Run) -> str:
    """A paragraph for a methods section, as far as it can be told."""
    context = run.context(run.best)
    params, jdata = context.params, context.jdata
    errors, first = run.metrics[run.best.index], run.metrics[min(run.metrics)]
    training = trainings.inputs(jdata)[0]
    descriptor = training.get("model", {}).get("descriptor", {}).get("type", "a user-defined descriptor")
    steps = trainings.numb_steps(training)
    temperatures = ", ".join(f"{each:g}" for each in params.teacher_md.temperatures)
    teacher = labeler(params.teacher)
    reference = labeler(params.reference) if params.reference else jdata["fp_style"]
    if params.reference and jdata["fp_style"] != "custom" and jdata["fp_task_max"]:
        reference += f" and {jdata['fp_style']}"
    begun, ended = first["reference_frames"], errors["reference_frames"]
    grown = f", which had grown to {ended} by iteration {run.best.index}" if ended > begun else ""
    labels = f"{begun} frames{grown}"
    fine_tuning = f" ({steps} steps)" if steps else ""
    method = params.forget.method_at("pretrain")
    forgetting = f"after forgetting ({method}) of fitting-net weights from the second iteration on, "
    return (
        f"Interatomic potentials for {'-'.join(context.type_map)} were trained by iterative pretraining (IPIP) [1] as "
        f"implemented in ipip-dp {__version__} on top of DP-GEN [2] and DeePMD-kit [3,4]. "
        f"{teacher[0].upper() + teacher[1:]} served as the teacher: its molecular dynamics at {temperatures} K gave a "
        f"first pool of {first['pool_frames']} frames with its labels. In each of {len(run.metrics)} iterations, "
        f"{jdata['numb_models']} students (descriptor {descriptor}) were pretrained on the pool "
        f"({params.pretrain.numb_steps} steps, without energies), {'' if method == 'none' else forgetting}and "
        f"fine-tuned{fine_tuning} on reference data from {reference}, {labels}. Frames explored by molecular dynamics "
        f"with the students joined the pool, labelled by students or teacher (rule {params.relabel.rule}). On "
        f"{errors['ensemble']['n_frames']} held-out frames the mean of the students of iteration {run.best.index} has "
        f"a force RMSE of {errors['ensemble']['force_rmse']:.3f} eV/Å and an energy RMSE, after element-wise "
        f"alignment, of {1000 * errors['ensemble']['energy_rmse_per_atom_aligned']:.1f} meV/atom; the teacher has "
        f"{errors['teacher']['force_rmse']:.3f} eV/Å and "
        f"{1000 * errors['teacher']['energy_rmse_per_atom_aligned']:.1f} meV/atom."
    )
