# SPDX-License-Identifier: LGPL-3.0-or-later
"""Relabel: explored frames get labels and join the pool.

Whoever is expected to be less wrong labels a frame, the students' mean or the teacher, as
:mod:`ipip_dp.evaluation.calibration` has learnt from reference labels of explored frames. What the gate rejects is
dropped and counted.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import pool, provenance, systems
from ipip_dp.data.gate import OF_FRAMES
from ipip_dp.data.provenance import LabelSource
from ipip_dp.errors import IpipError
from ipip_dp.evaluation import calibration
from ipip_dp.evaluation.on_policy import CLASSES
from ipip_dp.labelers.batch import read_summary
from ipip_dp.steps import explored, labelling, on_policy, trust
from ipip_dp.steps.context import damaged_folders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import dpdata

    from ipip_dp.evaluation.calibration import Crossing
    from ipip_dp.steps.context import Context

CHOICE = "choice.json"  # the frames of a labelling task: set -> rows
SOURCES: Mapping[labelling.Who, LabelSource] = {"students": LabelSource.STUDENTS, "teacher": LabelSource.TEACHER}


def choose_frames(context: Context) -> None:
    """Write down the explored frames that may be labelled.

    If they are others than before, because the user had DP-GEN explore or sort anew, what was made
    of those is removed.

    Raises
    ------
    IpipError
        If the next pool was made of those, and the one it grew from is not kept.
    """
    work_path = context.iteration.relabel
    if explored.choose(context, trust.used(context.iteration, context.jdata)) and workdir.is_done(work_path):
        remove_next_pool(context)
        workdir.unmark(work_path)
    explored.write(context)


def labelled_by_students(
    rule: str, found: Mapping[str | None, Crossing], frames: dpdata.System, trust_class: str
) -> np.ndarray:
    """Which frames of a trust class the students label; the teacher labels the others.

    Parameters
    ----------
    rule : str
        ``ipip.relabel.rule``.
    found : mapping of str or None to Crossing
        See :func:`ipip_dp.evaluation.calibration.crossings`; the trust levels decide if it is empty.
    frames : dpdata.System
        Frames of one formula, with their deviations.

    Returns
    -------
    ndarray of bool, shape (n_frames,)
    """
    if rule in SOURCES:
        return np.full(len(frames), rule == "students")
    crossing = calibration.of_system(found, frames.short_name)
    if rule == "trust_levels" or crossing is None:
        return np.full(len(frames), trust_class == "accurate")
    return crossing.students_are_better(frames[provenance.MODEL_DEVIATION], trust_class)


def prepare(context: Context) -> list[labelling.Who]:
    """Write one labelling task for students and one for the teacher, if there are frames for it."""
    settings, found = context.params.relabel, crossings(context)
    rows: dict[labelling.Who, list[tuple[Path, int]]] = defaultdict(list)
    for trust_class in CLASSES:
        if trust_class == "failed" and not found:
            continue
        for part in (part for system in explored.written(context, trust_class) for part in systems.sets(system)):
            frames = systems.read_unlabelled(part.parent, context.type_map, [part])
            for row, by_students in enumerate(labelled_by_students(settings.rule, found, frames, trust_class)):
                rows["students" if by_students else "teacher"].append((part, row))
    limits = {"students": settings.max_in_domain, "teacher": settings.max_candidates}
    tasks: list[labelling.Who] = []
    for task, source in SOURCES.items():
        folder = context.iteration.relabel / task
        renewed = _renewed(context) if task == "students" and context.params.pool.self_labels == "renew" else []
        chosen = explored.by_set(explored.draw(rows[task], limits[task], context.random_seed(task)) + renewed)
        workdir.write_task(folder / CHOICE, {"of": explored.digest(context), "rows": chosen}, "frames", "labels")
        if not chosen:
            continue
        if not (folder / "frames").is_dir():
            explored.write_chosen(context, chosen, folder / "frames", source)
        labelling.prepare(context, task, folder)
        workdir.write_task(folder / "gate.json", context.gate.limits(), "labels")
        tasks.append(task)
    return tasks


def _renewed(context: Context) -> list[tuple[Path, int]]:
    """The frames of the pool that earlier students have labelled, but for those that ``pool.retention`` drops."""
    found: list[tuple[Path, int]] = []
    for system in systems.below(context.pool):
        rows = pool.rows_labelled_by(LabelSource.STUDENTS, system)
        number = round(context.params.pool.retention * len(rows))
        found += explored.draw(rows, number, context.random_seed("renew", system.name))
    return found


def crossings(context: Context) -> dict[str | None, Crossing]:
    """What reference labels of this iteration's explored frames and of earlier ones say of who is less wrong."""
    from dpgen import dlog

    if context.params.relabel.rule != "expected_error" or context.jdata.get("use_relative"):
        return {}  # of relative deviations nothing has been learnt
    iterations = [workdir.Iteration(index) for index in range(context.iteration.index + 1)]
    found = calibration.crossings([on_policy.read_rows(iteration) for iteration in iterations])
    for formula, crossing in found.items():
        dlog.info(f"ipip: {formula or 'all systems'}: {crossing} ({crossing.n_frames} labelled frames)")
    return found


def run(context: Context, tasks: Sequence[labelling.Who]) -> None:
    """Dispatch ``ipip label`` for students and teacher."""
    for task in tasks:
        labelling.label(context, task, context.iteration.relabel, [task], gate=context.gate, min_success=0)


def require_labels(task: Path) -> None:
    """Stop when a labeler has failed on every frame it was given, for then it is broken.

    Raises
    ------
    IpipError
        With the commonest reasons. The next start tries these frames again.
    """
    summary = read_summary(task / "labels")
    if summary is None:
        raise IpipError(f"{task / 'labels'} is missing although its job has finished; see ipip.log beside it")
    asked = [failure for failure in summary.failures if not failure.reason.startswith(OF_FRAMES)]
    if summary.labelled or not asked:
        return
    workdir.redo(task, "labels")
    limit = {"students": "max_in_domain", "teacher": "max_candidates"}[task.name]
    raise IpipError(
        f"{task}: {summary}. Mend what labels these frames and start again, or go on without them: "
        f"ipip.relabel.{limit}: 0"
    )


def collect(context: Context, tasks: Sequence[str]) -> None:
    """Count, and make the next iteration's pool."""
    iteration, settings = context.iteration, context.params.pool
    for task in tasks:
        require_labels(iteration.relabel / task)
    labels = [iteration.relabel / task / "labels" for task in tasks]
    grown = pool.grow(
        context.pool,
        labels,
        iteration.next.pool,
        retention=settings.retention,
        seed=context.random_seed("retention"),
        without=None if settings.self_labels == "keep" else LabelSource.STUDENTS,
    )
    rejected = sum(
        len(json.loads((folder / "failed.json").read_text())) for folder in labels if (folder / "failed.json").is_file()
    )
    summary = {
        "labelled": {task: _labelled(iteration.relabel / task) for task in tasks},
        "rejected": rejected,
        "added": grown.added,
        "kept": grown.kept,
        "dropped": grown.dropped,
    }
    workdir.write_json(iteration.relabel_summary, summary)


def _labelled(task: Path) -> int:
    summary = read_summary(task / "labels")
    return summary.labelled if summary else 0


def remove_old_pools(context: Context) -> None:
    """Delete the pools that ``pool.keep_iterations`` gives up, never that of the next iteration."""
    keep = context.params.pool.keep_iterations
    for old in range(context.iteration.next.index - keep + 1 if keep else 0):
        pool.remove(workdir.Iteration(old).pool)
        pool.remove(workdir.Iteration(old).taught_pool)


def remove_next_pool(context: Context) -> None:
    """Remove the next iteration's pool, which is damaged or outdated, to make it again.

    Raises
    ------
    IpipError
        If the pool it grew from is not kept.
    """
    old, wrong = context.iteration.pool, context.iteration.next.pool
    if not old.is_dir():
        raise IpipError(
            f"{wrong} is to be made again, but {old}, from which it grew, has been removed as "
            "ipip.pool.keep_iterations: 1 says; restore it from a copy, or start a new run and keep 2"
        )
    for made in (wrong, context.iteration.next.taught_pool, context.iteration.next.teacher / "labels"):
        shutil.rmtree(made, ignore_errors=True)
    workdir.unmark(context.iteration.next.teacher)


def step(context: Context) -> None:
    """Label explored frames and grow the pool of the next iteration."""
    work_path = context.iteration.relabel
    if not workdir.is_done(work_path):
        if damaged_folders(work_path):
            remove_next_pool(context)
        tasks = prepare(context)
        run(context, tasks)
        collect(context, tasks)
        workdir.mark_done(work_path, pool.files(context.iteration.next.pool))
    remove_old_pools(context)  # only now: until here a restart may need them
