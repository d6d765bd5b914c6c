# SPDX-License-Identifier: LGPL-3.0-or-later
"""Machines and queues that cannot be reached: at once, or for a while."""

from __future__ import annotations

import functools
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ipip_dp.errors import IpipError
from ipip_dp.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dpdispatcher import Submission

PATIENCE = 3600.0  # seconds without an answer from a queue before the run ends
PAUSE = 10.0  # seconds before it is asked again


def wait_out(submission: Submission) -> None:
    """Let a submission whose jobs run outlive a connection or a queue that fails for a while.

    dpdispatcher gives up when an SSH connection breaks during a question or is refused, when
    a queue does not answer for three minutes, and when it says something unknown, like SI of
    a Slurm job that is just being sent a signal; the jobs go on.
    """
    from dpdispatcher.contexts.ssh_context import SSHContext
    from dpdispatcher.utils.job_status import JobStatus

    ask = submission.update_submission_state

    def update_submission_state() -> None:
        ask()
        unknown = [str(job.job_id) for job in submission.belonging_jobs if job.job_state == JobStatus.unknown]
        if unknown:
            raise OSError(f"job {', '.join(unknown)} is in a state that dpdispatcher does not know")

    submission.update_submission_state = _patient(submission, update_submission_state)
    if isinstance(submission.machine.context, SSHContext):  # elsewhere this fails on a full disk
        submission.submission_to_json = _patient(submission, submission.submission_to_json)


def _patient(submission: Submission, function: Callable[[], None]) -> Callable[[], None]:
    """The function, called until it succeeds."""
    from dpdispatcher.dlog import dlog
    from paramiko import SSHException

    succeeded = False

    def call() -> None:
        nonlocal succeeded
        end = time.monotonic() + PATIENCE
        while True:
            submitted = any(job.job_id for job in submission.belonging_jobs)
            try:
                function()
            except (OSError, EOFError, RuntimeError, SSHException) as error:
                # A RuntimeError is what a command of the queue said, which may never have worked.
                if not submitted or isinstance(error, RuntimeError) and not succeeded:
                    raise
                reason = one_line(str(error)) or type(error).__name__
                if time.monotonic() > end:
                    raise IpipError(
                        f"{submission.work_base}: no answer from the queue for {PATIENCE / 60:.0f} minutes: {reason}; "
                        "jobs go on, and so does the run if you start it again"
                    ) from error
                dlog.warning(f"ipip: {submission.work_base}: no answer from the queue, asking again: {reason}")
                time.sleep(PAUSE)
            else:
                succeeded = submitted
                return

    return call


@contextmanager
def connections() -> Iterator[None]:
    """Mend what dpdispatcher does wrong over SSH, and say which connection cannot be made or has broken."""
    from dpdispatcher.contexts import ssh_context
    from paramiko import SSHException

    session, context = ssh_context.SSHSession, ssh_context.SSHContext
    connect, reconnect = session.__init__, session._setup_ssh
    call, sha256 = context.block_call, ssh_context.get_sha256

    @functools.wraps(connect)
    def named_connect(self: Any, hostname: str, username: str, *arguments: Any, **options: Any) -> None:
        try:
            connect(self, hostname, username, *arguments, **options)
        except (OSError, EOFError, RuntimeError, SSHException) as error:
            where = f"{username}@{hostname}, port {options.get('port', 22)}"
            raise IpipError(f"no SSH connection to {where}: {error}; see remote_profile in machine.json") from error

    @functools.wraps(reconnect)
    def connection_or_error(self: Any) -> None:
        try:
            reconnect(self)
        except (AssertionError, RuntimeError) as error:
            # dpdispatcher's, when the connection breaks while it is made: not an answer of the queue.
            raise ConnectionError(str(error) or "the SSH connection broke while it was made") from error

    @functools.wraps(call)
    def whole_call(self: Any, command: str) -> Any:
        result = call(self, command)
        if result[0] == -1:  # paramiko's, when the connection ends before the command
            raise ConnectionError(f"the SSH connection broke during {command}")
        return result

    @functools.wraps(sha256)
    def sha256_of_files(path: str) -> str:
        # Files that have not changed are not sent again; a folder, at which dpdispatcher fails, is.
        return "0" * 64 if os.path.isdir(path) else sha256(path)

    session.__init__, session._setup_ssh = named_connect, connection_or_error
    context.block_call, ssh_context.get_sha256 = whole_call, sha256_of_files
    try:
        yield
    except (SSHException, ConnectionError, TimeoutError) as error:
        raise IpipError(f"{error}; jobs go on, and so does the run if you start it again") from error
    finally:
        session.__init__, session._setup_ssh = connect, reconnect
        context.block_call, ssh_context.get_sha256 = call, sha256
