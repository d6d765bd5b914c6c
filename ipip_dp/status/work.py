# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the tasks of a submission have done, from the files they leave: steps of trainings and MD, frames, tasks."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.config.trainings import numb_steps
from ipip_dp.pace import amount, duration, read_amount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAVING = "models being saved or frozen"
TAIL = 4096  # bytes; a line of lcurve.out or model_devi.out is shorter
# The length of LAMMPS MD: DP-GEN's variable, or the commands of a template.
NSTEPS = re.compile(r"^\s*variable\s+NSTEPS\s+equal\s+(\d+)", re.MULTILINE)
RUN = re.compile(r"^\s*run\s+(\d+)", re.MULTILINE)

Amount = tuple[int, int, str]  # done, of how many, of what


@dataclass(frozen=True)
class Task:
    """A task of a submission.

    Parameters
    ----------
    folder : Path
        Where it works.
    finished, failed : bool
        Whether it has; one that has failed may be tried again.
    written : float or None
        When it last wrote to its log, in seconds since the epoch; None if it has not since it was submitted.
    """

    folder: Path
    finished: bool
    failed: bool
    written: float | None


@dataclass(frozen=True)
class Work:
    """What the tasks of a submission have done so far.

    Parameters
    ----------
    tasks, finished, failed, started : int
        Numbers of tasks; those that have started have neither finished nor failed.
    done, total : int
        The amount of work, of all tasks together.
    unit : str
        What it is counted in; "tasks" where tasks do not say how far they are.
    written : float or None
        When a task last wrote to its log, in seconds since the epoch.
    """

    tasks: int
    finished: int
    failed: int
    started: int
    done: int
    total: int
    unit: str
    written: float | None

    @property
    def begun(self) -> bool:
        """Whether any task has started, so that not all jobs can be waiting in a queue."""
        return bool(self.started or self.finished or self.failed)

    def describe(self, left: float | None = None) -> str:
        """Say it, with the seconds that are left if they are known."""
        counts = [f"{self.finished:,} of {self.tasks:,} task{'s' * (self.tasks > 1)} finished"]
        counts += [f"{n:,} {name}" for n, name in ((self.started, "begun"), (self.failed, "failed")) if n]
        if self.unit == "tasks":
            return ", ".join([*counts, *([] if left is None else [f"{duration(left)} left"])])
        saving = [SAVING] if self.unit == "steps" and self.done >= self.total and self.finished < self.tasks else []
        return ", ".join([amount(self.done, self.total, self.unit, left), *saving, *counts])


def read(folder: Path) -> Work | None:
    """What the submission under way in a folder, or the last one, has done; None if nothing is known of one."""
    try:
        tasks = _submission(folder)
    except OSError:  # a file that the run has removed meanwhile
        return None
    if not tasks:
        return None
    finished, failed = sum(task.finished for task in tasks), sum(task.failed for task in tasks)
    done, total, unit = _sum(tasks) or (finished, len(tasks), "tasks")
    return Work(
        tasks=len(tasks),
        finished=finished,
        failed=failed,
        started=sum(task.written is not None and not task.finished and not task.failed for task in tasks),
        done=done,
        total=total,
        unit=unit,
        written=max((task.written for task in tasks if task.written is not None), default=None),
    )


def _submission(folder: Path) -> list[Task]:
    """The tasks of the latest submission in a folder."""
    notes = [path for path in folder.glob("*.json") if workdir.SUBMISSION.fullmatch(path.name)]
    if not notes:
        return []
    note = workdir.read_json(max(notes, key=lambda path: path.stat().st_mtime))
    jobs = [each for job in note.get("belonging_jobs", ()) for each in job.items()]
    return [task for name, job in jobs for task in _tasks(folder, name, job)]


def _tasks(folder: Path, job: str, note: dict[str, Any]) -> Iterator[Task]:
    """The tasks of a job; dpdispatcher's script tags what has finished, and keeps the log of what has failed last."""
    flag, error, submitted = (folder / f"{job}_{end}" for end in ("flag_if_job_task_fail", "last_err_file", "job_id"))
    failed = error.read_text(errors="replace").splitlines()[:1] if _text(flag).strip() == "1" else []
    for task in note["job_task_list"]:
        path = folder / task["task_work_path"]
        tag = f"{hashlib.sha1(json.dumps(task).encode()).hexdigest()}_task_tag_finished"  # dpdispatcher's Task.get_hash
        log = path / (task["outlog"] or "log")
        finished = (path / tag).exists()
        yield Task(
            folder=path,
            finished=finished,
            failed=not finished and any(line.endswith(f"/{task['task_work_path']}/{log.name} <==") for line in failed),
            written=log.stat().st_mtime if log.exists() and _is_of_this_try(log, submitted) else None,
        )


def _is_of_this_try(log: Path, submitted: Path) -> bool:
    """Whether a log was written since the job was submitted, not by an earlier try; Shell notes that a little late."""
    return not submitted.exists() or log.stat().st_mtime > submitted.stat().st_mtime - 1


def _sum(tasks: list[Task]) -> Amount | None:
    """The amount of work of all tasks, if all say how far they are."""
    amounts = [_amount(task) for task in tasks]
    known = [each for each in amounts if each is not None]
    if len(known) < len(amounts) or len({unit for *_, unit in known}) > 1:
        return None
    return sum(done for done, *_ in known), sum(total for _, total, _ in known), known[0][2]


def _amount(task: Task) -> Amount | None:
    found = _training(task.folder) or _teacher_md(task.folder) or _lammps(task.folder) or _ours(task.folder)
    if found is None:
        return None
    done, total, unit = found
    return (total if task.finished else min(done, total)), total, unit


def _training(folder: Path) -> Amount | None:
    settings = workdir.read_json(folder / "input.json")
    total = numb_steps(settings)
    if total is None:
        return None
    return _last_step(folder / settings["training"].get("disp_file", "lcurve.out")), total, "steps"


def _teacher_md(folder: Path) -> Amount | None:
    """MD of ``ipip md``, one temperature after the other."""
    settings = workdir.read_json(folder / "md.json")
    if "temperatures" not in settings:
        return None
    done = 0
    for temperature in settings["temperatures"]:
        if (folder / f"labels/{temperature:g}K/md.json").exists():
            done += settings["nsteps"]
        else:
            _, begun, now = tail(folder / "ipip.log").rpartition(f"MD at {temperature:g} K:")
            amount_of_it = read_amount(now) if begun else None
            done += amount_of_it[0] if amount_of_it else 0
            break
    return done, settings["nsteps"] * len(settings["temperatures"]), "MD steps"


def _lammps(folder: Path) -> Amount | None:
    text = _text(folder / "input.lammps")
    variable = NSTEPS.search(text)
    total = int(variable[1]) if variable else sum(map(int, RUN.findall(text)))
    return (_last_step(folder / "model_devi.out"), total, "MD steps") if total else None


def _ours(folder: Path) -> Amount | None:
    """What a command of ours has logged last, see :class:`ipip_dp.labelers.progress.Progress`."""
    return read_amount(tail(folder / "ipip.log"))


def _last_step(path: Path) -> int:
    """The first number of the last whole row of a table."""
    whole, _, _ = tail(path).rpartition("\n")
    words = whole.rpartition("\n")[2].split()
    return int(words[0]) if words and words[0].isdigit() else 0


def tail(path: Path) -> str:
    """The end of a file, "" if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
