# SPDX-License-Identifier: LGPL-3.0-or-later
"""A teacher that learns: fine-tuned on the reference data by a command, it labels its part of the pool again.

The command runs in ``00.ipip/teacher/task`` of an iteration with new reference data, beside ``../data`` (deepmd/npy,
one folder per system) and ``../data.extxyz`` (the same frames), and leaves the files that ``results`` names.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.data import labelled, pool, systems
from ipip_dp.data.provenance import LabelSource
from ipip_dp.errors import IpipError
from ipip_dp.labelers.batch import read_summary
from ipip_dp.running import dispatch
from ipip_dp.steps import explored, labelling

if TYPE_CHECKING:
    from ipip_dp.steps.context import Context

Settings = dict[str, Any]  # ipip.teacher_fine_tune
TASK = "task"
LABELS = "labels"


def prepare(context: Context, settings: Settings) -> None:
    """Write the reference data, and link the files of the command."""
    work_path = context.iteration.teacher
    found = systems.find(context.reference_data())
    shutil.rmtree(work_path / "data", ignore_errors=True)
    for number, system in enumerate(found):
        workdir.link(system, work_path / "data" / f"{number:04d}")
    _write_extxyz(context, found, work_path / "data.extxyz")
    for name in settings["files"]:
        workdir.link(Path(name), work_path / TASK / name)


def _write_extxyz(context: Context, found: list[Path], target: Path) -> None:
    from ase.io import write

    temporary = target.with_name(f".{target.name}")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open("w") as file:
        for system in found:
            for block in labelled.read(system, context.type_map):
                write(file, block.to("ase/structure"), format="extxyz")
    temporary.rename(target)


def run(context: Context, settings: Settings) -> None:
    """Dispatch the command, like a training."""
    work_path = context.iteration.teacher
    dispatch.submit(
        context.mdata,
        "ipip_pretrain",
        work_path,
        [TASK],
        ["/bin/sh", "-c", settings["command"]],
        forward=settings["files"],
        common=["data.extxyz", *(str(path.relative_to(work_path)) for path in sorted(work_path.glob("data/*/*")))],
        backward=settings["results"],
    )


def collect(context: Context, settings: Settings) -> None:
    """Check that the command has left what it was to leave.

    Raises
    ------
    IpipError
        If a result is missing. The next start runs the command again.
    """
    task = context.iteration.teacher / TASK
    missing = [name for name in settings["results"] if not (task / name).exists()]
    if missing:
        workdir.redo(task)
        raise IpipError(
            f"{task}: ipip.teacher_fine_tune.command has ended without {', '.join(missing)}, which "
            "ipip.teacher_fine_tune.results names; see ipip.log there"
        )


def relabel_pool(context: Context) -> None:
    """Let the new teacher label the frames of the pool that an earlier one has labelled, if it is known of any.

    Raises
    ------
    IpipError
        If it labels none of them.
    """
    iteration = context.iteration
    task = iteration.teacher / LABELS
    old = [
        row for system in systems.below(iteration.pool) for row in pool.rows_labelled_by(LabelSource.TEACHER, system)
    ]
    if not old:
        return
    rows = explored.by_set(old)
    if not (task / "frames").is_dir():
        explored.write_chosen(context, rows, task / "frames", LabelSource.TEACHER)
    labelling.prepare(context, "teacher", task, "labels")
    labelling.label(context, "teacher", iteration.teacher, [LABELS], gate=context.gate, min_success=0)
    summary = read_summary(task / "labels")
    if not (summary and summary.labelled):
        workdir.redo(task, "labels")
        raise IpipError(f"{task}: the fine-tuned teacher has labelled no frame of the pool: {summary}")
    pool.grow(
        iteration.pool,
        [task / "labels"],
        iteration.taught_pool,
        retention=1.0,
        seed=context.random_seed("taught"),
        without=LabelSource.TEACHER,
    )


def step(context: Context) -> None:
    """Fine-tune the teacher if there are new reference data, and relabel the pool with it."""
    work_path, settings = context.iteration.teacher, context.params.teacher_fine_tune
    if settings is None or context.taught_since != context.iteration or workdir.is_done(work_path):
        return
    if workdir.damaged(work_path):
        shutil.rmtree(context.iteration.taught_pool, ignore_errors=True)
    prepare(context, settings)
    run(context, settings)
    collect(context, settings)
    relabel_pool(context)
    results = [work_path / TASK / name for name in settings["results"]]
    files = [path for path in results if path.is_file()]
    workdir.mark_done(work_path, [*files, *pool.files(context.iteration.taught_pool)])
