# SPDX-License-Identifier: LGPL-3.0-or-later
"""Report what a stage does, every few seconds: a line in the log, and a sign of life for ``ipip status``."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ipip_dp.pace import Pace, duration
from ipip_dp.status import life, work
from ipip_dp.status.life import Beat, jobs_in_words

if TYPE_CHECKING:
    from typing import Self  # pragma: no cover

    from dpdispatcher import Submission


class Report:
    """Reports on a stage, from a thread of its own.

    Parameters
    ----------
    stage : str
        Its name.
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._submission: Submission | None = None
        self._since: Pace | None = None
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Begin to report."""
        self._leave_sign()
        threading.Thread(target=self._work, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Report no more."""
        self._over.set()

    def begin(self, submission: Submission) -> None:
        """Report on a submission from now on."""
        self._since, self._begun, self._submission = None, time.monotonic(), submission
        self._leave_sign()

    def end(self) -> None:
        """Report on the stage alone: the submission has ended."""
        self._submission, self._begun = None, time.monotonic()
        self._leave_sign()

    def _work(self) -> None:
        from dpdispatcher.dlog import dlog

        while not self._over.wait(life.INTERVAL):
            dlog.info(f"ipip: {self._leave_sign()}")

    def _leave_sign(self) -> str:
        """Write down what is going on, and say it on one line."""
        with self._lock:
            submission, for_so_long = self._submission, duration(time.monotonic() - self._begun)
            if submission is None:
                Beat(self._stage).write()
                return f"{self._stage}: no jobs under way, {for_so_long}"
            folder, done, left = submission.work_base, work.read(Path(submission.work_base)), None
            if done is not None:
                now = Pace(time.time(), done.done)
                self._since = now.since(self._since)
                left = now.left(self._since, done.total)
            jobs = submission.belonging_jobs
            states = Counter(job.job_state.name for job in jobs if job.job_state is not None)
            retried = sum(job.fail_count > 0 for job in jobs)
            Beat(self._stage, folder, dict(states), retried, self._since).write()
            if done is not None and done.begun:
                return f"{folder}: {done.describe(left)}"
            return f"{folder}: {len(submission.belonging_tasks)} tasks, {jobs_in_words(states)}, {for_so_long}"
