# SPDX-License-Identifier: LGPL-3.0-or-later
"""Seed the pool: the teacher runs MD from sys_configs; its frames and labels become P_0."""

from __future__ import annotations

import glob
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.data import gate, labelled, pool, systems
from ipip_dp.errors import IpipError
from ipip_dp.steps import labelling
from ipip_dp.steps.context import damaged_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipip_dp.steps.context import Context

MIN_SUCCESS = 0.5  # of the start structures: with fewer trajectories the run stops
FAILED = "failed.json"


def start_structures(jdata: dict[str, Any]) -> list[tuple[str, Path]]:
    """The files of sys_configs, each with DP-GEN's name for it (``SSS.CCCC``)."""
    prefix = Path(jdata.get("sys_configs_prefix") or ".")
    structures = []
    for index, patterns in enumerate(jdata["sys_configs"]):
        files = [name for pattern in patterns for name in sorted(glob.glob(str(prefix / pattern)))]
        structures += [(f"{index:03d}.{number:04d}", Path(name)) for number, name in enumerate(files)]
    return structures


def start_format(jdata: dict[str, Any]) -> str:
    """The format of these files, as dpdata names it; without ``sys_format`` DP-GEN's default."""
    return jdata.get("sys_format", "vasp/poscar")


def prepare_md(
    context: Context, work_path: Path, temperatures: Sequence[float], nsteps: int, interval: int
) -> list[str]:
    """Write one task of teacher MD per start structure; its temperatures run one after the other.

    Parameters
    ----------
    temperatures : sequence of float
        In K.
    nsteps, interval : int
        Steps of a trajectory, and between two frames.

    Returns
    -------
    list of str
        The names of the task folders. Each holds ``md.json``, ``start`` and the teacher's files.
    """
    params = context.params
    tasks = []
    for name, start in start_structures(context.jdata):
        task = f"task.{name}"
        folder = work_path / task
        workdir.link(start, folder / "start")
        labelling.link_files(context, "raw_teacher", folder)
        settings = {
            "labeler": context.params.teacher,
            "type_map": context.type_map,
            "format": start_format(context.jdata),
            "temperatures": list(temperatures),
            "timestep": params.teacher_md.timestep,
            "friction": params.teacher_md.friction,
            "nsteps": nsteps,
            "interval": interval,
            "seed": context.random_seed("md", work_path.name, task),
            **params.gate.gate().limits(),
        }
        if context.jdata.get("model_devi_nopbc"):  # as in the MD of exploration
            settings["nopbc"] = True
        workdir.write_task(folder / "md.json", settings, "labels")
        tasks.append(task)
    return tasks


def run_md(context: Context, work_path: Path, tasks: Sequence[str]) -> None:
    """Dispatch ``ipip md`` in every task folder; those that fail for good are listed in ``failed.json``."""
    failed = labelling.submit(
        context,
        "raw_teacher",
        work_path,
        tasks,
        ["ipip", "md", "start", "labels", "--settings", "md.json"],
        forward=["md.json", "start"],
        backward=["labels"],
        min_success=MIN_SUCCESS,
    )
    workdir.write_json(work_path / FAILED, failed)


def collect_md(work_path: Path, tasks: Sequence[str]) -> list[Path]:
    """The label folders of finished teacher MD, but for tasks that failed for good.

    Raises
    ------
    IpipError
        If a task has left no labels, or no trajectory gave a frame; with the reasons.
    """
    failed = json.loads((work_path / FAILED).read_text()) if (work_path / FAILED).is_file() else {}
    labels = [work_path / task / "labels" for task in tasks if task not in failed]
    for folder in labels:
        if not folder.is_dir():
            raise IpipError(f"{folder} is missing although its MD has finished; remove {work_path} to run it again")
    if not any(True for folder in labels for _ in folder.rglob("type.raw")):
        raise IpipError(
            f"the teacher's MD in {work_path} gave no usable frame; {_first_reason(labels)}. Remove "
            f"{work_path} to run it again"
        )
    return labels


def _first_reason(labels: Sequence[Path]) -> str:
    for folder in labels:
        for failed in sorted(folder.rglob("failed.json")):
            for failure in json.loads(failed.read_text()):
                return f"first reason: {failure['reason']} ({failed})"
    return "see ipip.log in the task folders"


def step(context: Context) -> None:
    """Make P_0 (iteration 0 only)."""
    iteration = context.iteration
    if workdir.is_done(iteration.seed_pool):
        return
    if damaged_folders(iteration.seed_pool):
        shutil.rmtree(iteration.pool, ignore_errors=True)
    md = context.params.teacher_md
    tasks = prepare_md(context, iteration.seed_pool, md.temperatures, md.nsteps, md.interval)
    run_md(context, iteration.seed_pool, tasks)
    labels = collect_md(iteration.seed_pool, tasks)
    pool.grow(None, labels, iteration.pool, retention=1.0, seed=context.random_seed("pool"))
    known = systems.find([*context.reference_data(), iteration.pool])
    bounds = gate.measured(block.data for path in known for block in labelled.read(path, context.type_map))
    workdir.write_json(workdir.GATE, bounds.limits())
    workdir.mark_done(iteration.seed_pool, pool.files(iteration.pool))
