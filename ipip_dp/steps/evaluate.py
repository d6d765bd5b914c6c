# SPDX-License-Identifier: LGPL-3.0-or-later
"""Evaluate: errors of teacher, students and ensemble mean on the held-out frames.

Writes ``metrics.json`` for the iteration and rebuilds ``learning_curve.csv`` from all of
them; the stop test reads it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import labelled, pool, systems
from ipip_dp.errors import IpipError
from ipip_dp.evaluation import curve
from ipip_dp.evaluation.compare import compare
from ipip_dp.labelers import predict
from ipip_dp.steps import labelling
from ipip_dp.steps.labelling import PREDICTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ipip_dp.evaluation.compare import Predictions
    from ipip_dp.steps.context import Context


def system_names(folders: Sequence[Path]) -> list[str]:
    """A name for every held-out system: its path below its data folder."""
    names = []
    for folder in folders:
        for system in systems.find([folder]):
            name = str(system.relative_to(folder))
            names.append(folder.name if name == "." else name)
    if len(set(names)) < len(names):
        names = [str(system) for system in systems.find(folders)]
    return names


def work_path(context: Context, task: str) -> Path:
    """Where a task runs: a teacher's in the iteration it is new in, the students' in theirs."""
    since = {"students": context.iteration, "teacher": context.taught_since, "raw_teacher": workdir.Iteration(0)}
    return since[task].evaluate


def teachers(context: Context) -> list[labelling.Who]:
    """The teacher, and what it was before any fine-tuning."""
    return ["teacher"] if context.params.teacher_fine_tune is None else ["teacher", "raw_teacher"]


def prepare(context: Context) -> list[labelling.Who]:
    """Link the held-out systems and the models; returns the tasks still to run."""
    students = work_path(context, "students") / "students"
    models = context.iteration.models()
    digests = {model.name: hashlib.sha256(model.read_bytes()).hexdigest() for model in models}
    workdir.write_task(students / "models.json", digests, PREDICTIONS)
    labelling.prepare(context, "students", students)
    tasks: list[labelling.Who] = ["students"]
    for task in teachers(context):
        folder = work_path(context, task) / task
        first = work_path(context, task) == context.iteration.evaluate
        damaged = not first and not predict.is_whole(folder / PREDICTIONS)
        if damaged:
            workdir.redo(folder, PREDICTIONS)
        if first or damaged:
            labelling.prepare(context, task, folder)
            tasks.append(task)
    for task in tasks:
        for number, system in enumerate(systems.find(context.params.held_out)):
            workdir.link(system, work_path(context, task) / "held_out" / f"{number:04d}")
    return tasks


def run(context: Context, tasks: Sequence[labelling.Who]) -> None:
    """Dispatch ``ipip predict`` for the students and, once, for the teacher."""
    for task in tasks:
        labelling.predict(context, task, work_path(context, task), "held_out")


def errors(folders: Sequence[Path], type_map: Sequence[str], students: Path, **teachers: Path) -> dict[str, Any]:
    """Errors of predictions against the labels of data folders.

    Parameters
    ----------
    folders : sequence of Path
        Data folders with the reference labels.
    type_map : sequence of str
        The elements, in the order of param.json.
    students, **teachers : Path
        Predictions written by :func:`ipip_dp.labelers.predict.predict` on the same folders.

    Returns
    -------
    dict
        The content of ``metrics.json``.

    Raises
    ------
    IpipError
        If predictions are of other held-out data.
    """
    found = zip(system_names(folders), systems.find(folders), strict=True)
    reference = ((name, block.data) for name, system in found for block in labelled.read(system, type_map))
    named = {name: _predictions(path) for name, path in teachers.items()}
    return compare(reference, _predictions(students), **named)


def _predictions(path: Path) -> Predictions:
    return str(path), predict.load(path)


def collect(context: Context) -> None:
    """Write ``metrics.json`` and rebuild the learning curve."""
    iteration = context.iteration
    tasks: list[labelling.Who] = ["students", *teachers(context)]
    files = {str(task): work_path(context, task) / task / PREDICTIONS for task in tasks}
    result = errors(context.params.held_out, context.type_map, **files)
    if not np.isfinite(result["ensemble"]["force_rmse"]):
        raise IpipError(
            f"{iteration.train}: a student predicts NaN on the held-out frames; see lcurve.out of each student"
        )
    contents = pool.summary(context.pool)
    result["pool_frames"] = contents.n_frames
    result["pool_labels"] = contents.labels
    result["reference_frames"] = sum(labelled.check_frames(path) for path in systems.find(context.reference_data()))
    workdir.write_json(iteration.metrics, result)
    curve.write()


def step(context: Context) -> None:
    """Evaluate this iteration's students."""
    if workdir.is_done(context.iteration.evaluate):
        return
    tasks = prepare(context)
    run(context, tasks)
    collect(context)
    checkpoints = [
        context.iteration.student(m) / name for m in context.students for name in context.backend.checkpoint_files
    ]
    workdir.mark_done(context.iteration.evaluate, [path for path in checkpoints if path.is_file()])
