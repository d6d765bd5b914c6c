# SPDX-License-Identifier: LGPL-3.0-or-later
"""Pretrain: students train on the pseudo-labelled pool, without energies."""

from __future__ import annotations

import copy
import math
import shlex
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.backends.pretrained import find_model
from ipip_dp.config import trainings
from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch
from ipip_dp.steps.context import checkpoints, damaged_folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ipip_dp.steps.context import Context

PRETRAINED = "init/pretrained.pt"


def loss(template: dict[str, Any], own: dict[str, Any] | None) -> dict[str, Any]:
    """The section ``loss`` of pretraining: that of fine-tuning without energies.

    Parameters
    ----------
    template : dict
        The section of fine-tuning.
    own : dict or None
        Keys that are given for pretraining.
    """
    result = {**template, "start_pref_e": 0, "limit_pref_e": 0}
    forces = ("start_pref_f", "limit_pref_f")
    if not any(template.get(name, 1) for name in forces):  # of energies alone nothing would be left
        result.update(dict.fromkeys(forces, 1))
    return {**result, **(own or {})}


def training_input(context: Context, member: int, systems: Sequence[str]) -> dict[str, Any]:
    """The DeePMD-kit input of one student.

    ``pretrain.training_param`` as it stands, or ``default_training_param`` with
    ``pretrain.learning_rate`` and :func:`loss`; in both, data, seeds and number of steps are set here.

    Parameters
    ----------
    systems : sequence of str
        Pool systems as the training sees them, relative to its task folder.
    """
    settings = context.params.pretrain
    given = trainings.inputs(context.jdata)
    template = given[member] if len(given) > 1 else given[0]
    result = copy.deepcopy(settings.training_param or template)
    if settings.training_param is None:
        if settings.learning_rate is not None:
            result["learning_rate"] = settings.learning_rate
        result["loss"] = loss(result.get("loss", {}), settings.loss)
    model = result["model"]
    model["type_map"] = context.type_map
    descriptor = model["descriptor"]
    for number, part in enumerate(descriptor.get("list", [descriptor])):
        part["seed"] = context.random_seed("descriptor", member, number)
    model.setdefault("fitting_net", {})["seed"] = context.random_seed("fitting_net", member)
    if isinstance(model.get("type_embedding"), dict):
        model["type_embedding"]["seed"] = context.random_seed("type_embedding", member)
    training = result.setdefault("training", {})
    for name in trainings.NUMB_STEPS[1:]:
        training.pop(name, None)
    training.pop("validation_data", None)
    batch_size = training.get("training_data", {}).get("batch_size", "auto")
    training["training_data"] = {
        "systems": list(systems),
        "batch_size": "auto" if isinstance(batch_size, list) else batch_size,  # a list is for other systems
    }
    training["numb_steps"] = settings.numb_steps
    # DeePMD-kit 3.2 saves only where it also displays (deepmd/tf/train/trainer.py), the last step included.
    training["disp_freq"] = math.gcd(training.get("disp_freq", 1000), training.get("save_freq", 1000))
    training.update(disp_file="lcurve.out", save_ckpt="model.ckpt")  # under these names they are looked for
    training.pop("save_dir", None)
    training["seed"] = context.random_seed("training", member)
    return result


def _start(context: Context, member: int) -> dict[str, Path]:
    """The files that a training starts from: names in its task folder, and where they are."""
    iteration, init_from = context.iteration, context.params.pretrain.init_from
    if iteration.index > 0:
        folder = iteration.handover("pretrain") / f"{member:03d}"
        return {f"init/{name}": folder / name for name in context.backend.checkpoint_files}
    return {PRETRAINED: find_model(init_from["model"])} if init_from else {}


def prepare(context: Context) -> list[str]:
    """Link the pool and write one training task per pretrained student."""
    iteration = context.iteration
    workdir.link(context.pool, iteration.pretrain / "pool")
    systems = [f"../pool/{raw.parent.name}" for raw in sorted(context.pool.glob("*/type.raw"))]
    for member in context.pretrained_students:
        task = iteration.pretrain / f"{member:03d}"
        settings = training_input(context, member, systems)
        workdir.write_task(task / "input.json", settings, *context.backend.checkpoint_files, "lcurve.out")
        for name, source in _start(context, member).items():
            workdir.link(source, task / name)
    return [f"{member:03d}" for member in context.pretrained_students]


def command(context: Context) -> list[str]:
    """The training command; typed again it goes on from the last checkpoint."""
    train = " ".join(filter(None, (dispatch.dp_command(context.mdata), context.backend.flag, "train input.json")))
    if context.jdata.get("dp_train_skip_neighbor_stat"):
        train += " --skip-neighbor-stat"
    init_from = context.params.pretrain.init_from or {}
    start = ""
    if context.iteration.index > 0:
        start = " --init-model init/model.ckpt"
    elif init_from:
        start = f" --finetune {PRETRAINED}"
        start += f" --model-branch {shlex.quote(init_from['branch'])}" if init_from["branch"] else ""
    script = f"if [ -f {context.backend.restart_file} ]; then {train} --restart model.ckpt; else {train}{start}; fi"
    return ["/bin/sh", "-c", context.backend.relink + script]


def run(context: Context, tasks: list[str]) -> None:
    """Dispatch the training of every student."""
    work_path = context.iteration.pretrain
    pool = [str(path.relative_to(work_path)) for path in sorted((work_path / "pool").glob("*/*"))]
    dispatch.submit(
        context.mdata,
        "ipip_pretrain",
        work_path,
        tasks,
        command(context),
        forward=["input.json", *_start(context, 0)],
        common=pool,
        backward=[*context.backend.checkpoint_files, "checkpoint", "lcurve.out"],
    )


def collect(context: Context, tasks: list[str]) -> None:
    """Check that every student trained to a finite error.

    Raises
    ------
    IpipError
        If a learning curve ends in NaN or infinity.
    """
    for task in tasks:
        check_learning_curve(context.iteration.pretrain / task / "lcurve.out")


def check_learning_curve(path: Path) -> None:
    """Raise :class:`IpipError` if the total error in the last row of an ``lcurve.out`` is not finite.

    Other columns are NaN wherever the displayed batch has no such label, no virials say.
    """
    whole, _, _ = path.read_text().rpartition("\n")
    lines = [line.split() for line in whole.splitlines()]
    header = next((words[1:] for words in lines if "rmse_trn" in words), ["step", "rmse_trn"])
    rows = [words for words in lines if words and words[0] != "#"]
    if rows and not math.isfinite(float(rows[-1][header.index("rmse_trn")])):
        raise IpipError(
            f"{path}: the training diverged (NaN at step {rows[-1][0]}); lower learning_rate.start_lr, or "
            f"look for absurd labels"
        )


def diverged(tasks: Iterable[Path]) -> bool:
    """Whether DeePMD-kit has ended the training in one of these folders because of NaN."""
    logs = [task / "train.log" for task in tasks]
    return any("NaN detected" in log.read_text(errors="replace") for log in logs if log.is_file())


def step(context: Context) -> None:
    """Pretrain the students of this iteration."""
    work_path = context.iteration.pretrain
    if workdir.is_done(work_path):
        return
    for task in damaged_folders(work_path):
        workdir.redo(task, *context.backend.checkpoint_files)
    tasks = prepare(context)
    run(context, tasks)
    collect(context, tasks)
    workdir.mark_done(work_path, checkpoints(context, work_path, tasks))
