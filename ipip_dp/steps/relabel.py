"""Relabel: explored frames get labels and join the pool.

Frames below the lower trust level are labelled by the students' mean, candidates by the
teacher; failed ones are dropped and counted. DP-GEN itself has sorted the frames: its lists
``02.fp/{candidate,rest_accurate,rest_failed}.shuffled.SSS.out`` are read here, so that every
way of selecting it knows is honoured.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import dispatch, pool, provenance, workdir
from ipip_dp.provenance import LabelSource
from ipip_dp.steps import link_labeler_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ipip_dp.steps import Context

# Column of model_devi.out with the maximum force deviation, in eV/Angstrom (DeePMD-kit's LAMMPS pair style).
MAX_FORCE_DEVIATION = 4

Frame = tuple[str, int]  # task folder of 01.model_devi, MD step


def explored(reference: Path, kind: str) -> list[Frame]:
    """The frames DP-GEN put on one of its lists: ``candidate``, ``rest_accurate``, ``rest_failed``."""
    frames = []
    for path in sorted(reference.glob(f"{kind}.shuffled.*.out")):
        for line in path.read_text().splitlines():
            task, step = line.split()[:2]
            frames.append((task, int(step)))
    return sorted(frames)


def choose(frames: Sequence[Frame], maximum: int, seed: int) -> list[Frame]:
    """At most ``maximum`` frames, drawn at random and in order."""
    if len(frames) <= maximum:
        return list(frames)
    chosen = np.random.default_rng(seed).choice(len(frames), maximum, replace=False)
    return [frames[i] for i in sorted(chosen)]


def write_frames(context: Context, frames: Sequence[Frame], source: LabelSource, target: Path) -> None:
    """Write explored frames, with their provenance, as deepmd/npy systems below ``target``."""
    import dpdata

    by_task: dict[str, list[int]] = defaultdict(list)
    for task, step in frames:
        by_task[task].append(step)
    groups: dict[tuple[int, ...], list[Any]] = defaultdict(list)
    for task, steps in by_task.items():
        deviation = _deviations(task)
        for system, step in zip(_read(context, task, steps), steps, strict=True):
            groups[tuple(system["atom_types"])].append((system, deviation[step]))
    temporary = workdir.fresh(target.with_name(f".{target.name}.tmp"))
    for number, members in enumerate(groups.values()):
        frame = members[0][0].data
        arrays = {name: np.concatenate([system[name] for system, _ in members]) for name in ("coords", "cells")}
        merged = dpdata.System(data={**frame, **arrays})
        provenance.mark(merged, source, context.iteration.index, np.array([deviation for _, deviation in members]))
        merged.to("deepmd/npy", str(temporary / f"{number:04d}"), set_size=len(members))
    if target.exists():
        shutil.rmtree(target)
    temporary.rename(target)


def _deviations(task: str) -> dict[int, float]:
    """Maximum force deviation at every step of one trajectory, in eV/Angstrom."""
    table = np.loadtxt(f"{task}/model_devi.out", ndmin=2)
    return {int(row[0]): float(row[MAX_FORCE_DEVIATION]) for row in table}


def _read(context: Context, task: str, steps: Sequence[int]) -> list[Any]:
    """Frames of one trajectory, each a dpdata System of one frame."""
    import dpdata

    if context.jdata.get("model_devi_merge_traj"):
        every = int(context.jdata["model_devi_jobs"][context.iteration.index]["trj_freq"])
        trajectory = dpdata.System(f"{task}/all.lammpstrj", fmt="lammps/dump", type_map=context.type_map)
        return [trajectory[step // every] for step in steps]
    return [
        dpdata.System(f"{task}/traj/{step}.lammpstrj", fmt="lammps/dump", type_map=context.type_map) for step in steps
    ]


def prepare(context: Context) -> list[str]:
    """Choose the frames and write one labelling task for students and one for the teacher."""
    iteration, params = context.iteration, context.params
    frames = {
        "students": choose(
            explored(iteration.reference, "rest_accurate"), params.relabel.max_in_domain, context.seed("in_domain")
        ),
        "teacher": choose(
            explored(iteration.reference, "candidate"), params.relabel.max_candidates, context.seed("candidates")
        ),
    }
    sources = {"students": LabelSource.STUDENTS, "teacher": LabelSource.TEACHER}
    models = iteration.models()
    labelers = {"students": {"type": "dp", "models": [model.name for model in models]}, "teacher": params.teacher}
    for model in models:
        workdir.link(model, iteration.relabel / "students" / model.name)
    tasks = [task for task, chosen in frames.items() if chosen]
    for task in tasks:
        folder = iteration.relabel / task
        if not (folder / "frames").is_dir():
            write_frames(context, frames[task], sources[task], folder / "frames")
        workdir.write_task(folder / "labeler.json", labelers[task])
    return tasks


def run(context: Context, tasks: Sequence[str]) -> None:
    """Dispatch ``ipip label`` for students and teacher."""
    work_path, gate = context.iteration.relabel, context.params.gate
    for task in tasks:
        command = dispatch.label_command(context.type_map, gate, min_success=0)
        if task == "students":
            section, files = "ipip_pretrain", [model.name for model in context.iteration.models()]
        else:
            section, files = "ipip_label", link_labeler_files(context.params.teacher, work_path / task)
            command += ["--workers", str(dispatch.workers(context.mdata))]
        dispatch.submit(
            context.mdata,
            section,
            work_path,
            [task],
            command,
            forward=["labeler.json", "frames", *files],
            backward=["labels"],
        )


def collect(context: Context, tasks: Sequence[str]) -> None:
    """Count, and make the next iteration's pool."""
    iteration, settings = context.iteration, context.params.pool
    labels = [iteration.relabel / task / "labels" for task in tasks]
    grown = pool.grow(
        iteration.pool, labels, iteration.next.pool, retention=settings.retention, seed=context.seed("retention")
    )
    rejected = sum(
        len(json.loads((folder / "failed.json").read_text())) for folder in labels if (folder / "failed.json").is_file()
    )
    summary = {
        "in_domain": len(explored(iteration.reference, "rest_accurate")),
        "candidate": len(explored(iteration.reference, "candidate")),
        "failed": len(explored(iteration.reference, "rest_failed")),
        "rejected": rejected,
        "added": grown.added,
        "kept": grown.kept,
        "dropped": grown.dropped,
    }
    workdir.write_json(iteration.relabel / "summary.json", summary)
    if settings.keep_iterations:
        for old in range(iteration.next.index - settings.keep_iterations + 1):
            shutil.rmtree(workdir.Iteration(old).pool, ignore_errors=True)


def step(context: Context) -> None:
    """Label explored frames and grow the pool of the next iteration."""
    work_path = context.iteration.relabel
    if workdir.is_done(work_path):
        return
    tasks = prepare(context)
    run(context, tasks)
    collect(context, tasks)
    workdir.mark_done(work_path)
