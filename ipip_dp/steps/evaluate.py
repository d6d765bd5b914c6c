"""Evaluate: errors of teacher, students and ensemble mean on the held-out frames.

Writes ``metrics.json`` for the iteration and rebuilds ``learning_curve.csv`` from all of
them; the stop test reads nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import data, dispatch, metrics, pool, predict, workdir
from ipip_dp.errors import IpipError
from ipip_dp.labelers.execute import LABELS
from ipip_dp.steps import link_labeler_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ipip_dp.metrics import LabeledData
    from ipip_dp.params import Stop
    from ipip_dp.steps import Context


PREDICTIONS = "predictions.npz"


def system_names(folders: Sequence[Path]) -> list[str]:
    """A name for every held-out system: its path below its data folder."""
    names = []
    for folder in folders:
        for system in data.find_systems([folder]):
            name = str(system.relative_to(folder))
            names.append(folder.name if name == "." else name)
    if len(set(names)) < len(names):
        names = [str(system) for system in data.find_systems(folders)]
    return names


def work_path(context: Context, task: str) -> Path:
    """Where a task runs: the teacher's, which does not change, in iteration 0."""
    return (workdir.Iteration(0) if task == "teacher" else context.iteration).evaluate


def prepare(context: Context) -> list[str]:
    """Link the held-out systems and the models; returns the tasks still to run."""
    students, teacher = (work_path(context, task) / task for task in ("students", "teacher"))
    models = context.iteration.models()
    for model in models:
        workdir.link(model, students / model.name)
    digests = {model.name: hashlib.sha256(model.read_bytes()).hexdigest() for model in models}
    workdir.write_task(students / "models.json", digests, PREDICTIONS)
    workdir.write_task(students / "labeler.json", {"type": "dp", "models": [m.name for m in models]})
    tasks = ["students"]
    first = context.iteration.index == 0
    damaged = not first and not predict.is_whole(teacher / PREDICTIONS)
    if damaged:
        workdir.redo(teacher, PREDICTIONS)
    if first or damaged:
        workdir.write_task(teacher / "labeler.json", context.params.teacher)
        tasks.append("teacher")
    for task in tasks:
        for number, system in enumerate(data.find_systems(context.params.held_out)):
            workdir.link(system, work_path(context, task) / "held_out" / f"{number:04d}")
    return tasks


def run(context: Context, tasks: list[str]) -> None:
    """Dispatch ``ipip predict`` for the students and, once, for the teacher."""
    command = ["ipip", "predict", "../held_out", PREDICTIONS, "--labeler", "labeler.json"]
    command += ["--type-map", ",".join(context.type_map)]
    for task in tasks:
        folder = work_path(context, task)
        if task == "students":
            section, files = "ipip_pretrain", [model.name for model in context.iteration.models()]
        else:
            section, files = "ipip_label", link_labeler_files(context.params.teacher, folder / task)
        dispatch.submit(
            context.mdata,
            section,
            folder,
            [task],
            command,
            forward=["labeler.json", *files],
            common=[str(path.relative_to(folder)) for path in sorted((folder / "held_out").glob("*/*"))],
            backward=[PREDICTIONS],
        )


def compare(
    folders: Sequence[Path], type_map: Sequence[str], students: Path, teacher: Path | None = None
) -> dict[str, Any]:
    """Errors of predictions against the labels of data folders.

    Parameters
    ----------
    folders : sequence of Path
        Data folders with the reference labels.
    type_map : sequence of str
        The elements, in the order of param.json.
    students, teacher : Path
        Predictions written by :func:`ipip_dp.predict.predict` on the same folders.

    Returns
    -------
    dict
        The content of ``metrics.json``.

    Raises
    ------
    IpipError
        If predictions are of other held-out data.
    """
    sources = {path: predict.load(path) for path in (students, teacher) if path is not None}
    # of every model, the differences on every system
    found: dict[str | int, dict[str, list[metrics.Difference]]] = defaultdict(lambda: defaultdict(list))
    for name, system in zip(system_names(folders), data.find_systems(folders), strict=True):
        for block in data.blocks(system, type_map):
            reference = block.data
            predicted = _next(students, sources[students], reference)
            for member in range(len(predicted["energies"])):
                found[member][name].append(_difference(reference, {key: a[member] for key, a in predicted.items()}))
            mean = {key: array.mean(axis=0) for key, array in predicted.items()}
            found["ensemble"][name].append(_difference(reference, mean))
            if teacher is not None:
                labels = {key: array[0] for key, array in _next(teacher, sources[teacher], reference).items()}
                found["teacher"][name].append(_difference(*_labelled(reference, labels)))
    for path, blocks in sources.items():
        if next(blocks, None) is not None:
            raise _other_data(path)
    errors = {model: metrics.errors(list(systems.values())) for model, systems in found.items()}
    result: dict[str, Any] = {model: errors[model][0].to_dict() for model in errors if isinstance(model, str)}
    result["students"] = [errors[model][0].to_dict() for model in errors if isinstance(model, int)]
    result["systems"] = {
        name: {model: errors[model][1][number].to_dict() for model in errors if isinstance(model, str)}
        for number, name in enumerate(found["ensemble"])
    }
    return result


def _next(path: Path, predictions: Iterator[dict[str, np.ndarray]], reference: LabeledData) -> dict[str, np.ndarray]:
    """The predictions on the next block, which must be that of the reference."""
    predicted = next(predictions, None)
    if predicted is None or predicted["forces"].shape[1:] != reference["forces"].shape:
        raise _other_data(path)
    return predicted


def _other_data(path: Path) -> IpipError:
    return IpipError(
        f"{path}: predictions on other data than the held-out set as it is now; errors can be compared only if "
        "ipip.held_out stays the same during a run: restore it, or start a new run"
    )


def _difference(reference: LabeledData, predicted: LabeledData) -> metrics.Difference:
    """The difference of predictions, which carry no atoms of their own."""
    atoms = {name: reference[name] for name in ("atom_names", "atom_types")}
    return metrics.difference(reference, {**atoms, **predicted})


def _labelled(reference: LabeledData, predicted: Mapping[str, np.ndarray]) -> tuple[LabeledData, LabeledData]:
    """Both, without the frames the teacher cannot label: there it sets no standard to beat."""
    frames = np.isfinite(predicted["energies"]) & np.isfinite(predicted["forces"]).all(axis=(1, 2))
    labels = {name: reference[name][frames] for name in LABELS if name in reference}
    atoms = {name: reference[name] for name in ("atom_names", "atom_types")}
    return {**atoms, **labels}, {name: array[frames] for name, array in predicted.items()}


def collect(context: Context) -> None:
    """Write ``metrics.json`` and rebuild the learning curve."""
    iteration = context.iteration
    students, teacher = (work_path(context, task) / task / PREDICTIONS for task in ("students", "teacher"))
    result = compare(context.params.held_out, context.type_map, students, teacher)
    if not np.isfinite(result["ensemble"]["force_rmse"]):
        raise IpipError(
            f"{iteration.train}: a student predicts NaN on the held-out frames; see lcurve.out of each student"
        )
    result["pool_frames"] = pool.summary(iteration.pool).n_frames
    result["reference_frames"] = sum(data.check_frames(path) for path in data.find_systems(context.reference_data()))
    workdir.write_json(iteration.metrics, result)
    write_learning_curve()


def step(context: Context) -> None:
    """Evaluate this iteration's students."""
    if workdir.is_done(context.iteration.evaluate):
        return
    tasks = prepare(context)
    run(context, tasks)
    collect(context)
    checkpoints = [context.iteration.student(m) / name for m in context.students for name in context.checkpoint_files]
    workdir.mark_done(context.iteration.evaluate, [path for path in checkpoints if path.is_file()])


def learning_curve() -> list[dict[str, Any]]:
    """One row per evaluated iteration, from the files on disk."""
    rows = []
    for iteration in workdir.iterations():
        if not iteration.metrics.is_file():
            continue
        errors = json.loads(iteration.metrics.read_text())
        row = {
            "iteration": iteration.index,
            "pool_frames": errors["pool_frames"],
            "reference_frames": errors["reference_frames"],
            "teacher_force_rmse": errors["teacher"]["force_rmse"],
            "student_force_rmse": float(np.mean([student["force_rmse"] for student in errors["students"]])),
            "ensemble_force_rmse": errors["ensemble"]["force_rmse"],
            "ensemble_energy_rmse_per_atom": errors["ensemble"]["energy_rmse_per_atom"],
        }
        summary = iteration.relabel / "summary.json"
        counts = json.loads(summary.read_text()) if summary.is_file() else {}
        rows.append({**row, **{name: counts.get(name, "") for name in ("in_domain", "candidate", "failed")}})
    return rows


def write_learning_curve() -> None:
    """Rebuild ``learning_curve.csv`` in the run folder."""
    workdir.write_csv(workdir.LEARNING_CURVE, learning_curve())


def best_iteration(force_rmse: Sequence[float]) -> int:
    """Index of the smallest error."""
    return int(np.argmin(force_rmse))


def stop_reason(force_rmse: Sequence[float], stop: Stop) -> str | None:
    """Why the run should end, or None.

    Parameters
    ----------
    force_rmse : sequence of float
        Held-out force RMSE of the ensemble in every iteration so far, in eV/Angstrom.
    stop : Stop
        An iteration improves if its error is below the best one so far by the
        fraction ``min_improvement``; the run ends after ``patience`` iterations in a row
        that do not. A worse error is no convergence by itself.
    """
    best, since = force_rmse[0], 0
    for error in force_rmse[1:]:
        if error < best * (1 - stop.min_improvement):
            best, since = error, 0
        else:
            since += 1
    if since < stop.patience:
        return None
    return (
        f"the held-out force RMSE has not fallen by {stop.min_improvement:.1%} below its best value, "
        f"{best:.4f} eV/Angstrom, for {since} iterations (ipip.stop.patience: {stop.patience})"
    )
