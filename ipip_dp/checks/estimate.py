# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a valid input asks for: tasks, steps, frames, labels, core time and disk; rough, from a few measured numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipip_dp.checks import files
from ipip_dp.config.trainings import inputs, numb_steps
from ipip_dp.steps.seed_pool import start_structures

if TYPE_CHECKING:
    from pathlib import Path

    import dpdata

    from ipip_dp.config.params import Params

# Seconds of one core, with the networks of the templates (docs/mo_s_o.md).
TRAINING_STEP = 6e-3
START = 15  # of a training, with freezing and compression
STUDENT_STEP = 4e-5  # an atom's share of a step of MD with one compressed student
TEACHER_STEP = {"ase": 8e-4, "dp": 2e-4, "lammps": 1e-5}  # an atom's share of a label; of ASE's, CHGNet's
# Bytes, as TensorFlow students and the dumps of LAMMPS have them.
STUDENT = 15e6
POOL_ATOM, TRAJECTORY_ATOM = 30, 80


@dataclass(frozen=True)
class Item:
    """One kind of work in a run that goes through all of its jobs.

    Parameters
    ----------
    name : str
        What it is.
    amount : str
        How much of it.
    seconds : float or None
        Of one core; None if nothing is known about it.
    """

    name: str
    amount: str
    seconds: float | None


@dataclass(frozen=True)
class Estimate:
    """What a run asks for.

    Parameters
    ----------
    iterations : int
        At most; the run may stop before.
    items : tuple of Item
        The kinds of work.
    disk : float
        Bytes in the run folder at its end.
    """

    iterations: int
    items: tuple[Item, ...]
    disk: float


@dataclass(frozen=True)
class _Job:
    """The MD of one job of exploration: its runs, their steps altogether, those times atoms, and its frames."""

    runs: int
    steps: int
    atom_steps: int
    frames: int


def estimate(jdata: dict[str, Any], params: Params) -> Estimate:
    """Count what a valid, normalised input asks for."""
    atoms = _atoms(jdata)
    starts = [number for system in atoms for number in system]
    mean_atoms = sum(starts) / max(1, len(starts))
    jobs = [_job(job, [number for index in job["sys_idx"] for number in atoms[index]]) for job in _jobs(jdata)]
    iterations, students = len(jobs) + 1, jdata["numb_models"]
    label = mean_atoms * TEACHER_STEP.get(params.teacher["type"], TEACHER_STEP["ase"])

    md, init = params.teacher_md, params.init
    runs = len(starts) * len(md.temperatures)
    seeded, md_steps = runs * (md.nsteps // md.interval), runs * md.nsteps
    labels = params.evaluate.audit_frames * len(jobs)
    labels += sum(jdata["fp_task_max"] * len(job["sys_idx"]) for job in _jobs(jdata))
    if files.data_to_make(jdata, params):  # by trajectories of their own
        more = 2 * len(starts) * len(init.temperatures)
        runs, md_steps = runs + more, md_steps + more * init.nsteps
        labels += init.train_frames + init.held_out_frames

    pretrained = params.pretrain.numb_models or students
    fine_tuning = numb_steps(inputs(jdata)[0]) or 0
    trainings = iterations * (pretrained + students)
    training_steps = iterations * (pretrained * params.pretrain.numb_steps + students * fine_tuning)

    frames = sum(job.frames for job in jobs)
    relabelled = min(frames, len(jobs) * (params.relabel.max_in_domain + params.relabel.max_candidates))
    deviations = students * mean_atoms * frames  # all students look at these frames, one drives
    exploration = STUDENT_STEP * (sum(job.atom_steps for job in jobs) + deviations) + label * relabelled
    by = "ipip.reference" if params.reference is not None else jdata["fp_style"]
    items = (
        Item("teacher MD", f"{runs:,} runs, {md_steps:,} steps, pool of {seeded:,} frames", label * md_steps),
        Item(
            "training",
            f"{trainings:,} trainings, {training_steps:,} steps",
            TRAINING_STEP * training_steps + START * trainings,
        ),
        Item(
            "exploration",
            f"{sum(job.runs for job in jobs):,} runs, {sum(job.steps for job in jobs):,} steps, {frames:,} frames, "
            f"up to {relabelled:,} of them into the pool",
            exploration,
        ),
        Item("reference", f"up to {labels:,} labels by {by}", None),
    )
    pools = min(params.pool.keep_iterations or iterations, iterations)
    disk = (
        STUDENT * iterations * students
        + POOL_ATOM * pools * (seeded + relabelled) * mean_atoms
        + TRAJECTORY_ATOM * frames * mean_atoms
    )
    return Estimate(iterations, items, disk)


def _jobs(jdata: dict[str, Any]) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = jdata["model_devi_jobs"]
    return jobs


def _atoms(jdata: dict[str, Any]) -> list[list[int]]:
    """Numbers of atoms of the start structures in every entry of sys_configs."""
    structures: dict[Path, dpdata.System] = {}
    list(files.check_structures(jdata, structures))
    atoms: list[list[int]] = [[] for _ in jdata["sys_configs"]]
    for name, path in start_structures(jdata):
        atoms[int(name.partition(".")[0])].append(structures[path].get_natoms())
    return atoms


def _job(job: dict[str, Any], atoms: list[int]) -> _Job:
    if "template" in job:
        variables = job.get("rev_mat", {}).get("lmp", {})
        conditions, nsteps = math.prod(map(len, variables.values())), _steps(variables.get("V_NSTEPS", [0])[0])
    else:
        pressures = job["press"] if job["ensemble"].startswith("npt") else [0]
        conditions, nsteps = len(job["temps"]) * len(pressures), job["nsteps"]
    runs = conditions * len(atoms)
    return _Job(runs, runs * nsteps, conditions * nsteps * sum(atoms), runs * (nsteps // job["trj_freq"]))


def _steps(value: Any) -> int:
    """A number of steps as a template takes it, which may be text; 0 if that is no number."""
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0
