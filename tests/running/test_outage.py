# SPDX-License-Identifier: LGPL-3.0-or-later
"""A queue that does not answer is asked again as long as jobs of ours may be in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from dpdispatcher import Machine, Resources, Submission, Task
from dpdispatcher.contexts import ssh_context

from ipip_dp.errors import IpipError
from ipip_dp.running import outage

MACHINE = {"batch_type": "Shell", "context_type": "LazyLocalContext", "local_root": "./"}
RESOURCES = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}


@pytest.fixture
def submission(tmp_path, monkeypatch) -> Submission:
    """A submission of one job, which has a number; the queue is asked again at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outage, "PAUSE", 0.0)
    Path("work/one").mkdir(parents=True)
    task = Task(command="true", task_work_path="one")
    machine, resources = Machine.load_from_dict(MACHINE), Resources.load_from_dict(RESOURCES)
    made = Submission("work", machine, resources, task_list=[task])
    made.generate_jobs()
    made.belonging_jobs[0].job_id = "7"
    return made


def answers(submission: Submission, *errors: Exception | None) -> list[Exception | None]:
    """Let the queue answer with these errors, None for an answer; what it has still to say."""
    left = list(errors)

    def ask() -> None:
        if (error := left.pop(0)) is not None:
            raise error

    submission.update_submission_state = ask
    outage.wait_out(submission)
    return left


def test_a_queue_that_is_away_for_a_while_is_waited_for(submission):
    left = answers(submission, OSError("socket is closed"), EOFError(), OSError("timed out"), None, None)
    submission.update_submission_state()
    assert left == [None]


def test_before_a_job_has_been_submitted_nothing_is_waited_for(submission):
    submission.belonging_jobs[0].job_id = ""
    left = answers(submission, OSError("no route to host"), None)
    with pytest.raises(OSError, match="no route to host"):
        submission.update_submission_state()
    assert left == [None]


def test_a_queue_that_has_never_worked_is_not_asked_again(submission):
    answers(submission, RuntimeError("squeue: command not found"), None)
    with pytest.raises(RuntimeError, match="command not found"):
        submission.update_submission_state()


def test_a_queue_that_has_worked_may_fail_for_a_while(submission):
    left = answers(submission, None, RuntimeError("slurm_load_jobs error: timeout"), None)
    submission.update_submission_state()
    submission.update_submission_state()
    assert left == []


def test_patience_ends_with_what_the_queue_said(submission, monkeypatch):
    monkeypatch.setattr(outage, "PATIENCE", 0.0)
    answers(submission, *[OSError("socket\nis closed")] * 9)
    with pytest.raises(IpipError, match=r"^work: no answer from the queue .*: socket is closed; jobs go on"):
        submission.update_submission_state()


def test_a_state_that_dpdispatcher_does_not_know_is_asked_for_again(submission):
    from dpdispatcher.utils.job_status import JobStatus

    states = [JobStatus.unknown, JobStatus.unknown, JobStatus.running]

    def ask() -> None:
        submission.belonging_jobs[0].job_state = states.pop(0)

    submission.update_submission_state = ask
    outage.wait_out(submission)
    submission.update_submission_state()
    assert states == []


def test_errors_of_our_own_are_not_waited_out(submission):
    answers(submission, KeyError("a bug"), None)
    with pytest.raises(KeyError):
        submission.update_submission_state()


def test_a_machine_that_cannot_be_reached_is_named(monkeypatch):
    def refuse(self):
        raise RuntimeError("cannot connect")

    monkeypatch.setattr(ssh_context.SSHSession, "_setup_ssh", refuse)
    expected = r"no SSH connection to me@far\.away, port 2222: .*cannot connect; see remote_profile in machine\.json"
    with outage.connections(), pytest.raises(IpipError, match=expected):
        ssh_context.SSHSession("far.away", "me", port=2222)


def test_a_connection_that_breaks_is_told_and_dpdispatcher_left_as_it_was():
    names = [(ssh_context.SSHSession, "__init__"), (ssh_context.SSHSession, "_setup_ssh"),
             (ssh_context.SSHContext, "block_call"), (ssh_context, "get_sha256")]  # fmt: skip
    before = [getattr(owner, name) for owner, name in names]
    with pytest.raises(IpipError, match="broken pipe; jobs go on, and so does the run"), outage.connections():
        assert [getattr(owner, name) for owner, name in names] != before
        raise ConnectionError("broken pipe")
    assert [getattr(owner, name) for owner, name in names] == before


def test_folders_are_always_sent(tmp_path):
    (tmp_path / "file").write_text("x")
    with outage.connections():
        assert ssh_context.get_sha256(str(tmp_path)) == "0" * 64
        known = ssh_context.get_sha256(str(tmp_path / "file"))
    assert known == ssh_context.get_sha256(str(tmp_path / "file")) != "0" * 64
