# SPDX-License-Identifier: LGPL-3.0-or-later
"""Single jobs on a real Slurm: what happens to them, and what is said about it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dpdispatcher.utils.record import record

from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch, outage
from tests.conftest import ROOT
from tests.slurm import Slurm, slurm

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm(tmp_path_factory.mktemp("slurm") / "slurm", ["label"]) as cluster:
        yield cluster


@pytest.fixture
def queue(cluster, tmp_path, monkeypatch) -> dict[str, Any]:
    """machine.json for labelling on Slurm, in a run folder with one task."""
    (tmp_path / "record").mkdir()
    monkeypatch.setattr(record, "record_directory", tmp_path / "record")  # not the user's ~/.dpdispatcher
    (tmp_path / "run/work/task").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run")
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    section = json.loads((ROOT / "machines/slurm.json").read_text())["ipip_label"]
    section["machine"]["retry_count"] = 1
    section["resources"].update(queue_name="label", gpu_per_node=0, cpu_per_node=1)
    return {"ipip_label": section}


def submit(queue: dict[str, Any], script: str) -> None:
    with dispatch.submissions(queue, 0.5):
        dispatch.submit(queue, "ipip_label", Path("work"), ["task"], ["sh", "-c", script])


@pytest.mark.fault("a Slurm job is cancelled every time", "the run ends; started again, it has all its tries")
def test_a_job_that_is_always_cancelled(queue, tmp_path):
    count = tmp_path / "count"
    script = f"echo x >> {count}; scancel $SLURM_JOB_ID; sleep 60"
    for attempt in (1, 2):
        with pytest.raises(IpipError, match="failed in work:(?s:.*)failed 2 times"):
            submit(queue, script)
        assert count.read_text() == 2 * attempt * "x\n"


@pytest.mark.fault("squeue says SI of a job that is being sent a signal", "it is asked again; the job runs once")
def test_a_state_dpdispatcher_does_not_know(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(outage, "PAUSE", 0.5)
    said = tmp_path / "said"
    program = tmp_path / "programs/squeue"  # Slurm itself says so too shortly to be caught
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ -f {said} ] && exec {shutil.which("squeue")} "$@"\ntouch {said}\necho JOBID ST; echo 7 SI\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    submit(queue, f"echo x >> {tmp_path / 'count'}")
    assert said.is_file()
    assert (tmp_path / "count").read_text() == "x\n"


def test_what_sbatch_says_is_said(queue):
    queue["ipip_label"]["resources"]["queue_name"] = "no-such-queue"
    with pytest.raises(IpipError, match="invalid partition specified: no-such-queue"):
        submit(queue, "true")
