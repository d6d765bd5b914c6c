# SPDX-License-Identifier: LGPL-3.0-or-later
"""Jobs that outlive the process that submitted them, with the real dpdispatcher and batch system Shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dpdispatcher.utils.record import record

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch

RESOURCES = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 0}
MACHINE = {"batch_type": "Shell", "context_type": "LazyLocalContext", "local_root": "./", "retry_count": 1}
# Notes its start, works for a while and notes its end.
JOB = ["sh", "-c", "echo start >> ../../log; sleep 4; echo end >> ../../log"]
# Submits the job and dies at the given function of dpdispatcher.
DIE = """
import json, os, sys
from pathlib import Path
from dpdispatcher import Submission
from dpdispatcher.contexts.lazy_local_context import LazyLocalContext
from ipip_dp.running import dispatch
mdata, command = json.loads(sys.argv[1])
original = {owner}.{name}
calls = []
def die(*arguments, **options):
    calls.append(arguments)
    if len(calls) == {call}:
        os._exit(9)
    return original(*arguments, **options)
{owner}.{name} = die
with dispatch.submissions(mdata, 0.2):
    dispatch.submit(mdata, "ipip_label", Path("work"), ["one"], command)
"""
# Function of dpdispatcher at which the run dies, and at which of its calls. Four files are written for a
# submission: a note without jobs, two scripts, the job's number; then the note again, with the job.
DEATHS = {
    "before the job's number is written": ("LazyLocalContext", "write_file", 4),
    "before the job is noted": ("LazyLocalContext", "write_file", 5),
    "while the job runs": ("Submission", "update_submission_state", 4),
}


@pytest.fixture(autouse=True)
def run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record, "record_directory", tmp_path)  # not the user's ~/.dpdispatcher
    (tmp_path / "work/one").mkdir(parents=True)
    return tmp_path


def settings(cores: int = 1) -> dict:
    return {"ipip_label": {"machine": MACHINE, "resources": {**RESOURCES, "cpu_per_node": cores}}}


def die(owner: str, name: str, call: int) -> int:
    """Submit the job in a process that dies; the process group, with the job in it."""
    script = DIE.format(owner=owner, name=name, call=call)
    arguments = json.dumps([settings(), JOB])
    process = subprocess.Popen(
        [sys.executable, "-c", script, arguments], stdout=subprocess.DEVNULL, start_new_session=True
    )
    assert process.wait(60) == 9
    return process.pid


def submit(cores: int = 1) -> None:
    with dispatch.submissions(settings(cores), 0.2):
        dispatch.submit(settings(cores), "ipip_label", Path("work"), ["one"], JOB)


def log(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().split() if path.is_file() else []


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.fault("DP-GEN is killed while it submits a job", "the next run waits for this job, submits no second one")
@pytest.mark.parametrize("death", DEATHS)
def test_a_job_is_not_started_twice(death, run_folder):
    die(*DEATHS[death])
    submit()
    assert log(run_folder) == ["start", "end"]


@pytest.mark.fault("DP-GEN is killed and its job ends meanwhile", "the next run takes the result")
def test_a_job_that_ended_meanwhile_does_not_run_again(run_folder):
    die(*DEATHS["before the job is noted"])
    wait_for(lambda: log(run_folder) == ["start", "end"])
    submit()
    assert log(run_folder) == ["start", "end"]


@pytest.mark.fault("the machine restarts, another process now has the job's number", "the job is submitted again")
def test_a_number_that_is_another_process_now_is_no_job(run_folder):
    group = die(*DEATHS["while the job runs"])
    wait_for(lambda: log(run_folder) == ["start"])
    os.killpg(group, signal.SIGKILL)
    (number,) = (run_folder / "work").glob("*_job_id")
    (note,) = (run_folder / "work").glob("*.json")
    old = number.read_text()
    number.write_text(str(os.getpid()))
    assert old in note.read_text()
    note.write_text(note.read_text().replace(old, str(os.getpid())))
    submit()
    assert log(run_folder) == ["start", "start", "end"]


@pytest.mark.fault("machine.json is edited while a job still runs", "refused while it runs; then its result is taken")
def test_no_job_is_submitted_beside_one_with_other_settings(run_folder):
    die(*DEATHS["while the job runs"])
    with pytest.raises(IpipError, match="^work: job [0-9]+, submitted with another machine.json"):
        submit(cores=2)
    wait_for(lambda: log(run_folder) == ["start", "end"])
    submit(cores=2)
    assert log(run_folder) == ["start", "end"]


@pytest.mark.fault("the input of a finished job is edited before its step has ended", "the job runs again with it")
def test_a_finished_job_with_a_new_input_runs_again(run_folder):
    for text in ("old", "old", "new"):
        workdir.write_task(Path("work/one/input.json"), text)
        submit()
    assert log(run_folder) == ["start", "end"] * 2
