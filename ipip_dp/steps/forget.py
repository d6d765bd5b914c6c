"""Forget: rewrite checkpoints between the stages.

Every hand-over from one training to the next goes through here, also when no weight
is forgotten: the energy bias is refit to D_k before fine-tuning, and optimiser state and
schedule start anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipip_dp import data, dispatch, workdir
from ipip_dp.errors import IpipError
from ipip_dp.steps import checkpoints, damaged_folders

if TYPE_CHECKING:
    from pathlib import Path

    from ipip_dp.steps import Context
    from ipip_dp.workdir import Iteration


def source(context: Context, stage: str, member: int) -> Path:
    """The folder of the checkpoint that ``member`` starts stage ``stage`` from."""
    iteration = context.iteration
    if stage == "pretrain":
        return iteration.previous.student(member)
    return iteration.pretrain / f"{member if member in context.pretrained_students else 0:03d}"


def require_students(iteration: Iteration) -> None:
    """Check the checkpoints of an iteration's students, which DP-GEN does not make again.

    Raises
    ------
    IpipError
        If one is not as it was when the students were evaluated.
    """
    for path in workdir.damaged(iteration.evaluate):
        raise IpipError(
            f"{path} is missing or truncated since its training finished; bring it back from a backup, or link an "
            f"earlier save of {path.parent} (model.ckpt-STEP) to this name"
        )


def prepare(context: Context, stage: str) -> list[str]:
    """Link checkpoints, and D_k when fine-tuning comes next; one task per student."""
    work_path = context.iteration.forgotten(stage)
    if stage == "pretrain":
        require_students(context.iteration.previous)
    members = context.pretrained_students if stage == "pretrain" else context.students
    for member in members:
        for name in context.checkpoint_files:
            workdir.link(source(context, stage, member) / name, work_path / f"{member:03d}" / "old" / name)
        workdir.write_task(work_path / f"{member:03d}" / "seed.json", context.seed("forget", stage, member))
    if stage == "finetune":
        for number, system in enumerate(data.find_systems(context.reference_data())):
            workdir.link(system, work_path / "data" / f"{number:04d}")
    return [f"{member:03d}" for member in members]


def run(context: Context, stage: str, tasks: list[str]) -> None:
    """Dispatch ``ipip forget`` in every task folder."""
    work_path = context.iteration.forgotten(stage)
    forget = context.params.forget
    command = ["ipip", "forget", f"old/{context.checkpoint}", context.checkpoint, "--seed-file", "seed.json"]
    command += ["--method", forget.method_at(stage), "--scope", forget.scope]
    command += ["--shrink", str(forget.shrink), "--noise", str(forget.noise)]
    common = []
    if stage == "finetune":
        command += ["--data", "../data"]
        common = [str(path.relative_to(work_path)) for path in sorted((work_path / "data").glob("*/*"))]
    dispatch.submit(
        context.mdata,
        "ipip_pretrain",
        work_path,
        tasks,
        command,
        forward=["seed.json", *(f"old/{name}" for name in context.checkpoint_files)],
        common=common,
        backward=[*context.checkpoint_files, "forget.json"],
    )


def collect(context: Context, stage: str, tasks: list[str]) -> None:
    """Check that every rewritten checkpoint is there."""
    for task in tasks:
        for name in context.checkpoint_files:
            path = context.iteration.forgotten(stage) / task / name
            if not path.is_file():
                raise IpipError(f"{path} is missing although forgetting finished; see ipip.log beside it")


def step(context: Context, stage: str) -> None:
    """Rewrite the checkpoints that stage ``pretrain`` or ``finetune`` starts from."""
    work_path = context.iteration.forgotten(stage)
    if workdir.is_done(work_path):
        return
    for task in damaged_folders(work_path):
        workdir.redo(task, *context.checkpoint_files)
    tasks = prepare(context, stage)
    run(context, stage, tasks)
    collect(context, stage, tasks)
    workdir.mark_done(work_path, checkpoints(context, work_path, tasks))
