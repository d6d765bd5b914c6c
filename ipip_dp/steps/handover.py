# SPDX-License-Identifier: LGPL-3.0-or-later
"""Hand over: rewrite checkpoints between one training and the next.

Every hand-over goes through here, whether weights are forgotten at it or not: the energy
bias is refit to D_k before fine-tuning, and optimiser state and schedule start anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.backends.base import PREFIX
from ipip_dp.data import labelled, systems
from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch
from ipip_dp.steps.context import checkpoints, damaged_folders

if TYPE_CHECKING:
    from pathlib import Path

    from ipip_dp.steps.context import Context
    from ipip_dp.workdir import Iteration


def fine_tuning(context: Context) -> dict[str, Any]:
    """The param.json that makes DP-GEN fine-tune from what was handed over."""
    folders = [str(context.iteration.handover("finetune") / f"{member:03d}") for member in context.students]
    jdata = {**context.jdata, "training_init_model": True, "training_iter0_model_path": folders}
    if jdata.get("training_reuse_iter") is not None and context.iteration.index > 0 and not _new_data(context):
        jdata["training_reuse_old_ratio"] = 1.0  # DeePMD-kit cannot draw the other part of its batches from nothing
    return jdata


def _new_data(context: Context) -> bool:
    """Whether the iteration before has brought labels that DP-GEN trains on: it skips fewer than ``fp_task_min``."""
    folders = context.iteration.previous.fp.glob("data.*")
    frames = [sum(labelled.check_frames(system) for system in systems.find([folder])) for folder in folders]
    return any(number >= context.jdata["fp_task_min"] for number in frames)


def exporting(context: Context) -> dict[str, Any]:
    """The machine.json that makes DP-GEN compile students without vector instructions of its own choice.

    What PyTorch 2.11 writes for those of a CPU does not compile for DPA4C ("'tmp40' was not declared"). A user's
    ``train_export_command`` stays.
    """
    command = f"export ATEN_CPU_CAPABILITY=default; {context.mdata.get('train_command', 'dp')}"  # any shell code
    return {"train_export_command": command, **context.mdata}


def link_fine_tuning(context: Context) -> None:
    """Link what was handed over into the training folders that DP-GEN has made, in place of its own choice.

    DP-GEN itself takes the previous iteration's checkpoints from iteration 1 on.
    """
    for member in context.students:
        for name in context.backend.checkpoint_files:
            checkpoint = context.iteration.handover("finetune") / f"{member:03d}" / name
            workdir.link(checkpoint, context.iteration.student(member) / "old" / name)


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
    work_path = context.iteration.handover(stage)
    if stage == "pretrain":
        require_students(context.iteration.previous)
    members = context.pretrained_students if stage == "pretrain" else context.students
    for member in members:
        for name in context.backend.checkpoint_files:
            workdir.link(source(context, stage, member) / name, work_path / f"{member:03d}" / "old" / name)
        workdir.write_task(work_path / f"{member:03d}" / "seed.json", context.random_seed("forget", stage, member))
    if stage == "finetune":
        for number, system in enumerate(systems.find(context.reference_data())):
            workdir.link(system, work_path / "data" / f"{number:04d}")
    return [f"{member:03d}" for member in members]


def run(context: Context, stage: str, tasks: list[str]) -> None:
    """Dispatch ``ipip forget`` in every task folder."""
    work_path = context.iteration.handover(stage)
    forget = context.params.forget
    command = ["ipip", "forget", f"old/{PREFIX}", PREFIX, "--seed-file", "seed.json"]
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
        forward=["seed.json", *(f"old/{name}" for name in context.backend.checkpoint_files)],
        common=common,
        backward=[*context.backend.checkpoint_files, "forget.json"],
    )


def collect(context: Context, stage: str, tasks: list[str]) -> None:
    """Check that every rewritten checkpoint is there."""
    for task in tasks:
        for name in context.backend.checkpoint_files:
            path = context.iteration.handover(stage) / task / name
            if not path.is_file():
                raise IpipError(f"{path} is missing although forgetting finished; see ipip.log beside it")


def step(context: Context, stage: str) -> None:
    """Rewrite the checkpoints that stage ``pretrain`` or ``finetune`` starts from."""
    work_path = context.iteration.handover(stage)
    if workdir.is_done(work_path):
        return
    for task in damaged_folders(work_path):
        workdir.redo(task, *context.backend.checkpoint_files)
    tasks = prepare(context, stage)
    run(context, stage, tasks)
    collect(context, stage, tasks)
    workdir.mark_done(work_path, checkpoints(context, work_path, tasks))
