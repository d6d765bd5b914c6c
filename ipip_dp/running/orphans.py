# SPDX-License-Identifier: LGPL-3.0-or-later
"""Jobs that outlived the ``dpgen run`` that submitted them.

dpdispatcher notes the jobs of a submission in HASH.json, but only when all have been submitted:
killed before that, the next run would submit them again, beside the first. A job of batch system
Shell is known by a process number, which after a reboot may be anybody's. And when machine.json or
a command changes, dpdispatcher forgets the old submission, whose jobs may still work in the
same folder.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from dpdispatcher import Submission
    from dpdispatcher.submission import Job

HASH = "[0-9a-f]" * 40


def adopt(submission: Submission) -> None:
    """Find the jobs of a submission that an earlier run has submitted, and give each all its tries.

    To be called when dpdispatcher has read HASH.json, if there is one.

    Raises
    ------
    IpipError
        If jobs of an earlier submission, with another machine.json or command, still work in its folder.
    """
    note = f"{submission.submission_hash}.json"
    if submission.machine.context.check_file_exists(note):
        _find_jobs(submission)
    else:  # so that the next run knows that what it finds here is its own
        submission.submission_to_json()
    _require_alone(submission)


def _find_jobs(submission: Submission) -> None:
    from dpdispatcher.machines.shell import Shell
    from dpdispatcher.utils.job_status import JobStatus

    machine = submission.machine
    for job in submission.belonging_jobs:
        if job.job_state == JobStatus.finished:
            if all(task.has_finished_tag(machine.context) for task in job.job_task_list):
                continue
            job.job_state = JobStatus.unsubmitted  # its input has changed since, see workdir.write_task
            job.job_id = ""
            continue
        file = f"{job.job_hash}_job_id"  # written as soon as the job has been submitted
        if machine.context.check_file_exists(file):
            job.job_id = machine.context.read_file(file).strip()
        if isinstance(machine, Shell) and not machine.check_finish_tag(job):
            job.job_id = _process(machine.context, job)
        # dpdispatcher counts it as a failure if a job it knows has ended.
        job.fail_count = -1 if job.job_id else 0
        if job.job_state == JobStatus.failed:  # for good, in an earlier run; now it may be tried again
            job.job_state = JobStatus.terminated


def _process(context: Any, job: Job) -> str:
    """Number of the process that runs a job's script below the folder of the submission, or ""."""
    script = (
        f"root=$(readlink -f {shlex.quote(context.remote_root)})\n"
        f"for process in $(pgrep -f {shlex.quote('^bash ' + re.escape(job.script_file_name) + '$')}); do\n"
        '  case $(readlink /proc/$process/cwd) in "$root" | "$root"/*) echo $process; break;; esac\n'
        "done"
    )
    return str(context.block_call(script)[2].read().decode()).strip()


def _require_alone(submission: Submission) -> None:
    """Refuse to work in task folders where a job of another submission still does."""
    from dpdispatcher import Submission, dlog
    from dpdispatcher.contexts.lazy_local_context import LazyLocalContext
    from dpdispatcher.utils.job_status import JobStatus

    context = submission.machine.context
    if not isinstance(context, LazyLocalContext):  # every other one gives each submission a folder of its own
        return
    folders = {task.task_work_path for task in submission.belonging_tasks}
    for note in sorted(Path(context.remote_root).glob(f"{HASH}.json")):
        if note.stem == submission.submission_hash:
            continue
        other = Submission.submission_from_json(str(note))
        if isinstance(other.machine.context, LazyLocalContext):
            other.machine.context = context  # its own is another folder if the run has been moved since
        _find_jobs(other)
        for job in other.belonging_jobs:
            if job.job_state == JobStatus.finished or not folders & {task.task_work_path for task in job.job_task_list}:
                continue
            try:
                job.get_job_state()
            except RuntimeError as error:  # its queue is out of reach
                dlog.warning(f"ipip: {context.remote_root}: cannot tell whether job {job.job_id} still runs: {error}")
            if job.job_state in (JobStatus.waiting, JobStatus.running, JobStatus.completing):
                raise IpipError(
                    f"{submission.work_base}: job {job.job_id}, submitted with another machine.json or command, still "
                    "runs here; wait for its end, end it, or restore the old settings"
                )
