# SPDX-License-Identifier: LGPL-3.0-or-later
"""Submit commands through DP-GEN's dpdispatcher, to the machine sections of machine.json."""

from __future__ import annotations

import functools
import shlex
import textwrap
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.running import orphans, outage
from ipip_dp.running.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Section of machine.json -> the section of stock DP-GEN that stands in for it.
# Whatever runs DeePMD-kit goes to ipip_pretrain, whatever runs the teacher to ipip_label.
FALLBACK = {"ipip_pretrain": "train", "ipip_label": "model_devi"}

LOG = "ipip.log"  # in every task folder
# What else there is to say when the last line of a failed task's log contains these words.
HINTS = {
    "Killed": "from outside: out of memory, or out of time?",
    "Terminated": "from outside: out of time?",
    "NaN detected": "lower learning_rate.start_lr, or look for absurd labels",
}


@dataclass(frozen=True)
class Dispatched:
    """A submission: its folder, for how long its jobs ran, and what they asked for, all of them together."""

    folder: str
    seconds: float
    cores: int
    gpus: int


def section(mdata: dict[str, Any], name: str) -> dict[str, Any]:
    """The machine section ``name``, or the one it falls back to.

    Raises
    ------
    IpipError
        If neither is in machine.json, or it lacks ``machine`` or ``resources``.
    """
    stand_in = FALLBACK.get(name, name)
    for key in (name, stand_in):
        if key in mdata:
            value = mdata[key][0] if isinstance(mdata[key], list) else mdata[key]
            missing = [part for part in ("machine", "resources") if part not in value]
            if missing:
                raise IpipError(f"section {key} lacks {' and '.join(missing)}")
            return value
    raise IpipError(f"section {name} is missing, and so is {stand_in}, which would stand in for it")


def dp_command(mdata: dict[str, Any]) -> str:
    """How DeePMD-kit is called on the pretraining machine: ``command`` of its section."""
    return section(mdata, "ipip_pretrain").get("command", "dp")


def ipip_command(mdata: dict[str, Any]) -> list[str]:
    """How ``ipip`` is called on the labelling machine: ``command`` of section ipip_label, if there is one."""
    return shlex.split(section(mdata, "ipip_label").get("command", "ipip")) if "ipip_label" in mdata else ["ipip"]


def workers(mdata: dict[str, Any]) -> int:
    """How many processes one labelling task may use: ``cpu_per_node / para_deg`` of its section."""
    resources = section(mdata, "ipip_label")["resources"]
    return max(1, resources.get("cpu_per_node", 1) // resources.get("para_deg", 1))


def submit(
    mdata: dict[str, Any],
    name: str,
    work_path: Path,
    tasks: Sequence[str],
    command: Sequence[str],
    *,
    forward: Sequence[str] = (),
    common: Sequence[str] = (),
    backward: Sequence[str] = (),
    min_success: float = 1.0,
) -> dict[str, str]:
    """Run ``command`` in every task folder below ``work_path``, and wait.

    Parameters
    ----------
    mdata : dict
        machine.json.
    name : str
        Machine section: ``ipip_pretrain``, ``ipip_label`` or ``model_devi``.
    work_path : Path
        Folder that holds the task folders, relative to the run folder.
    tasks : sequence of str
        Names of the task folders.
    command : sequence of str
        The command and its arguments; each is quoted for the shell. In section ``ipip_label`` a first
        argument ``ipip`` stands for the section's own ``command``.
    forward, backward : sequence of str
        Files of every task to send there and to fetch back; ``user_forward_files`` of the section go there, too.
    common : sequence of str
        Files below ``work_path`` that all tasks share.
    min_success : float
        The fraction of the tasks that must succeed; below 1, at least one must.

    Returns
    -------
    dict
        The tasks that failed for good, and what each said last.

    Raises
    ------
    IpipError
        If too many tasks failed more often than dpdispatcher retries them; with what they said.
    """
    from dpdispatcher.dlog import dlog
    from dpgen.dispatcher.Dispatcher import make_submission

    machine = section(mdata, name)
    if name == "ipip_label" and command[0] == "ipip":
        command = [*ipip_command(mdata), *command[1:]]
    user_files = [Path(file) for file in machine.get("user_forward_files", [])]
    for task in tasks:
        for file in user_files:
            workdir.link(file, work_path / task / file.name)
    submission = make_submission(
        machine["machine"],
        machine["resources"],
        commands=[shlex.join(command)],
        work_path=str(work_path),
        run_tasks=list(tasks),
        group_size=machine["resources"].get("group_size", 1),
        forward_common_files=list(common),
        forward_files=[*forward, *(file.name for file in user_files)],
        backward_files=[*backward, LOG],
        outlog=LOG,
        errlog=LOG,
    )
    if min_success == 1:
        submission.run_submission()
        return {}
    try:
        submission.run_submission(continue_on_failure=True)
    except IpipError as error:
        failed = {task.task_work_path: _said(_log(submission, task))[-1:] for task in _unfinished(submission)}
        if not failed or len(tasks) - len(failed) < max(1, min_success * len(tasks)):
            raise
        dlog.warning(f"ipip: going on without {len(failed)} of {len(tasks)} tasks: {error}")
        return {task: "".join(last) for task, last in failed.items()}
    return {}


def _log(submission: Any, task: Any) -> Path:
    return Path(submission.work_base) / task.task_work_path / task.errlog


def _unfinished(submission: Any) -> list[Any]:
    from dpdispatcher.utils.job_status import JobStatus

    tasks = [task for job in submission.belonging_jobs for task in job.job_task_list]
    return [
        task
        for task in tasks
        if task.task_state != JobStatus.finished
        and not _log(submission, task).with_name(f"{task.task_hash}_task_tag_finished").is_file()
    ]


def _said(log: Path, start: int = 0) -> list[str]:
    """The lines of a log that follow its first ``start`` bytes."""
    text = log.read_bytes()[start:].decode(errors="replace") if log.is_file() else ""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _failure(submission: Any, earlier: Mapping[Path, int], error: str) -> IpipError:
    """What the tasks that failed said: the messages of our own command, or the ends of their logs.

    Tasks that ran elsewhere leave no log here, but dpdispatcher's error quotes its end.
    """
    logs = [_log(submission, task) for task in _unfinished(submission)]
    said = {path: lines for path in logs if (lines := _said(path, earlier.get(path, 0)))}
    own = [line for lines in said.values() or [error.splitlines()] for line in lines if line.startswith("ipip: ")]
    words = list(dict.fromkeys(line.removeprefix("ipip: ") for line in own))
    words = words or [f"{path} ends with: {lines[-1]}{_hint(lines[-1])}" for path, lines in said.items()] or [error]
    command = textwrap.shorten(submission.belonging_tasks[0].command, 120, placeholder=" ...")
    return IpipError("\n".join([f"{command} failed in {submission.work_base}:", *words]))


def _hint(line: str) -> str:
    return "".join(f" ({hint})" for word, hint in HINTS.items() if word in line)


@contextmanager
def submissions(mdata: dict[str, Any], check_interval: float, stage: str = "work") -> Iterator[list[Dispatched]]:
    """Let every submission made inside look at its jobs every ``check_interval`` seconds, and report progress.

    dpdispatcher's 30 s cannot be changed through DP-GEN, which calls
    ``run_submission()`` without arguments. Jobs that failed in an earlier call of ``dpgen
    run`` get their full number of tries again: the user has presumably mended something.
    A job that fails for good raises an :class:`IpipError` with what its tasks said. A machine
    that cannot be reached for a while does not end the run.

    Parameters
    ----------
    mdata : dict
        machine.json; what a section over SSH needs is replaced in dpdispatcher only if there is one.
    check_interval : float
        Seconds.
    stage : str
        What the submissions are for.

    Yields
    ------
    list of Dispatched
        Grows by each submission that ends.
    """
    from dpdispatcher import Submission

    original = Submission.run_submission
    dispatched: list[Dispatched] = []
    report = Report(stage)

    @functools.wraps(original)
    def run_submission(self: Any, **options: Any) -> Any:
        recover = self.try_recover_from_json

        def recover_and_adopt() -> None:
            recover()
            orphans.adopt(self)

        self.try_recover_from_json = recover_and_adopt
        outage.wait_out(self)
        earlier = {path: path.stat().st_size for task in self.belonging_tasks if (path := _log(self, task)).is_file()}
        start = time.monotonic()
        report.begin(self)
        try:
            return original(self, **{"check_interval": check_interval, **options})
        except RuntimeError as error:  # dpdispatcher's, when a job has failed too often
            raise _failure(self, earlier, str(error)) from error
        finally:
            report.end()
            asked, jobs = self.resources, len(self.belonging_jobs)
            cores, gpus = (jobs * asked.number_node * each for each in (asked.cpu_per_node, asked.gpu_per_node))
            dispatched.append(Dispatched(self.work_base, _time_in_jobs(self, time.monotonic() - start), cores, gpus))

    Submission.run_submission = run_submission
    try:
        with report, outage.connections() if uses_ssh(mdata) else nullcontext():
            yield dispatched
    finally:
        Submission.run_submission = original


def uses_ssh(value: Any) -> bool:
    """Whether a machine over SSH is anywhere in machine.json, as it was read or as DP-GEN has converted it."""
    if isinstance(value, dict):
        return "SSH" in str(value.get("context_type", "")) or any(map(uses_ssh, value.values()))
    return isinstance(value, list) and any(map(uses_ssh, value))


def _time_in_jobs(submission: Any, seconds: float) -> float:
    """Seconds between the submission of the first job and the end of the last, at most ``seconds``.

    Jobs that run in place leave files that tell; for others it is the whole time of the submission.
    """
    folder = Path(submission.work_base)
    begun = [folder / f"{job.job_hash}_job_id" for job in submission.belonging_jobs]
    ended = [folder / f"{job.job_hash}_job_tag_finished" for job in submission.belonging_jobs]
    if not all(path.is_file() for path in (*begun, *ended)):
        return seconds
    # Times of files are the clock's, which may jump.
    in_jobs = max(path.stat().st_mtime for path in ended) - min(path.stat().st_mtime for path in begun)
    return min(seconds, max(0.0, in_jobs))
