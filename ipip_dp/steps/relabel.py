# SPDX-License-Identifier: LGPL-3.0-or-later
"""Relabel: explored frames get labels and join the pool.

Frames below the lower trust level are labelled by the students' mean, candidates by the
teacher; failed ones are dropped and counted. DP-GEN itself has sorted the frames: its lists
``02.fp/{candidate,rest_accurate,rest_failed}.shuffled.SSS.out`` are read here, so that every
way of selecting it knows is honoured.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import dumps, pool, provenance, systems
from ipip_dp.data.frames import joined
from ipip_dp.data.gate import GEOMETRY
from ipip_dp.data.provenance import LabelSource
from ipip_dp.errors import IpipError
from ipip_dp.labelers.batch import read_summary
from ipip_dp.steps import explore, labelling
from ipip_dp.steps.context import damaged_folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import dpdata

    from ipip_dp.steps.context import Context

# Column of model_devi.out with the maximum force deviation, in eV/Angstrom (DeePMD-kit's LAMMPS pair style).
MAX_FORCE_DEVIATION = 4

FRAMES = "frames.json"  # the frames of a labelling task: task of 01.model_devi -> [[MD step, deviation], ...]
FRAMES_PER_SYSTEM = 5000  # about so many are written at once

Frame = tuple[str, int]  # task folder of 01.model_devi, MD step


def explored(fp: Path, kind: str) -> list[Frame]:
    """The frames DP-GEN put on one of its lists, in order: ``candidate``, ``rest_accurate``, ``rest_failed``."""
    steps: dict[str, list[int]] = defaultdict(list)
    for path in sorted(fp.glob(f"{kind}.shuffled.*.out")):
        with path.open() as file:
            for line in file:
                task, step = line.split()[:2]
                steps[task].append(int(step))
    return [(task, step) for task in sorted(steps) for step in sorted(steps[task])]


def draw(frames: Sequence[Frame], maximum: int, seed: int) -> list[Frame]:
    """At most ``maximum`` frames, drawn at random and in order."""
    if len(frames) <= maximum:
        return list(frames)
    chosen = np.random.default_rng(seed).choice(len(frames), maximum, replace=False)
    return [frames[i] for i in sorted(chosen)]


def write_frames(
    context: Context, frames: Mapping[str, Sequence[tuple[int, float]]], source: LabelSource, target: Path
) -> None:
    """Write explored frames, with their provenance, as deepmd/npy systems below ``target``.

    In memory are one trajectory at a time, and frames of each composition until they fill a set.

    Parameters
    ----------
    frames : Mapping of str to sequence of (int, float)
        Of every task of 01.model_devi, MD steps and maximum force deviations, in eV/Angstrom.
    source : LabelSource
        Who is to label them.
    """
    temporary = workdir.fresh(target.with_name(f".{target.name}.tmp"))
    groups: dict[tuple[object, ...], list[dpdata.System]] = defaultdict(list)
    number = itertools.count()

    def write(parts: Sequence[dpdata.System]) -> None:
        systems.write(joined(parts), temporary / f"{next(number):04d}")

    for task, rows in frames.items():
        steps, deviations = zip(*rows, strict=True)
        for system, deviation in _read(context, task, steps, np.array(deviations)):
            provenance.mark(system, source, context.iteration.index, deviation)
            atoms = (*system["atom_types"], system.nopbc)
            groups[atoms].append(system)
            if sum(map(len, groups[atoms])) >= FRAMES_PER_SYSTEM:
                write(groups.pop(atoms))
    for parts in groups.values():
        write(parts)
    if target.exists():
        shutil.rmtree(target)
    temporary.rename(target)


def _deviations(task: str) -> dict[int, float]:
    """Maximum force deviation at every step of one trajectory, in eV/Angstrom."""
    table = np.loadtxt(f"{task}/model_devi.out", ndmin=2, usecols=(0, MAX_FORCE_DEVIATION))
    return {int(step): float(deviation) for step, deviation in table}


def _read(
    context: Context, task: str, steps: Sequence[int], deviations: np.ndarray
) -> Iterator[tuple[dpdata.System, np.ndarray]]:
    """Frames of one trajectory, and their deviations."""
    wanted = set(steps)
    texts = {step: text for step, text in explore.frames(Path(task)) if step in wanted}
    for step, deviation in zip(steps, deviations, strict=True):  # one by one, for atoms may change
        try:
            yield dumps.parse(texts[step], context.type_map), deviation[None]
        except ValueError as error:
            raise IpipError(f"{task}: MD step {step}: {error}") from None


def choose_frames(context: Context) -> None:
    """Write which frames students and teacher are to label.

    If they are others than before, because the user had DP-GEN explore or sort anew, what was made
    of those is removed.

    Raises
    ------
    IpipError
        If the next pool was made of those, and the one it grew from is not kept.
    """
    work_path, fp, limits = context.iteration.relabel, context.iteration.fp, context.params.relabel
    chosen = {
        "students": draw(explored(fp, "rest_accurate"), limits.max_in_domain, context.random_seed("in_domain")),
        "teacher": draw(explored(fp, "candidate"), limits.max_candidates, context.random_seed("candidates")),
    }
    for name, frames in chosen.items():
        value = {}
        for task, steps in itertools.groupby(frames, key=lambda frame: frame[0]):
            deviation = _deviations(task)
            value[task] = [[step, deviation[step]] for _, step in steps]
        file = work_path / name / FRAMES
        if workdir.is_done(work_path) and json.loads(file.read_text()) != value:
            remove_next_pool(context)
            workdir.unmark(work_path)
        workdir.write_task(file, value, "frames", "labels")


def prepare(context: Context) -> list[labelling.Who]:
    """Write one labelling task for students and one for the teacher, if there are frames for it."""
    tasks: list[labelling.Who] = []
    labelled_by: dict[labelling.Who, LabelSource] = {"students": LabelSource.STUDENTS, "teacher": LabelSource.TEACHER}
    for task, source in labelled_by.items():
        folder = context.iteration.relabel / task
        frames = json.loads((folder / FRAMES).read_text())
        if not frames:
            continue
        if not (folder / "frames").is_dir():
            write_frames(context, frames, source, folder / "frames")
        labelling.prepare(context, task, folder)
        workdir.write_task(folder / "gate.json", context.params.gate.limits(), "labels")
        tasks.append(task)
    return tasks


def run(context: Context, tasks: Sequence[labelling.Who]) -> None:
    """Dispatch ``ipip label`` for students and teacher."""
    for task in tasks:
        labelling.label(context, task, context.iteration.relabel, [task], min_success=0)


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
    asked = [failure for failure in summary.failures if not failure.reason.startswith(GEOMETRY)]
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
        iteration.pool, labels, iteration.next.pool, retention=settings.retention, seed=context.random_seed("retention")
    )
    rejected = sum(
        len(json.loads((folder / "failed.json").read_text())) for folder in labels if (folder / "failed.json").is_file()
    )
    summary = {
        "in_domain": len(explored(iteration.fp, "rest_accurate")),
        "candidate": len(explored(iteration.fp, "candidate")),
        "failed": len(explored(iteration.fp, "rest_failed")),
        "blown_up": sum(map(explore.blew_up, explore.tasks(context))),
        "rejected": rejected,
        "added": grown.added,
        "kept": grown.kept,
        "dropped": grown.dropped,
    }
    workdir.write_json(iteration.relabel / "summary.json", summary)


def remove_old_pools(context: Context) -> None:
    """Delete the pools that ``pool.keep_iterations`` gives up, never that of the next iteration."""
    keep = context.params.pool.keep_iterations
    for old in range(context.iteration.next.index - keep + 1 if keep else 0):
        pool.remove(workdir.Iteration(old).pool)


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
    shutil.rmtree(wrong, ignore_errors=True)


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
