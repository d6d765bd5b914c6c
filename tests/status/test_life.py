# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether a run is alive."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.pace import Pace
from ipip_dp.status.life import Beat, life
from tests.status.conftest import HOLD


def test_who_holds_the_lock_is_alive_until_it_is_killed(hold):
    holder = hold(stage="make_train")
    found = life()
    assert (found.alive, found.why) == (True, f"process {holder.pid} on {socket.gethostname()}")
    assert found.beat.stage == "make_train"
    holder.kill()
    holder.wait()
    found = life()
    assert (found.alive, found.why) == (False, "no process holds ipip.lock")
    assert found.beat.stage == "make_train"


def test_asking_takes_nothing_and_needs_no_permission_to_write(hold):
    hold(stage="make_train")
    before = workdir.LOCK.stat().st_mtime_ns
    workdir.LOCK.chmod(0o444)
    assert life().alive
    again = subprocess.run([sys.executable, "-c", HOLD, "{}"], capture_output=True, text=True)
    assert "another dpgen run works here" in again.stderr
    assert workdir.LOCK.stat().st_mtime_ns == before


def test_signs_of_an_earlier_start_are_not_those_of_a_live_run(hold):
    hold(stage="make_train")
    Beat("run_fp", "iter.000000/02.fp", process="process 1 on elsewhere").write()
    assert life().beat is None


@pytest.mark.parametrize(("age", "alive"), [(5, True), (3600, False)])
def test_on_another_host_the_last_sign_of_life_decides(run_folder, age, alive):
    process = "process 1 on elsewhere"
    workdir.LOCK.write_text(f"{process}\n")
    Beat("make_train", process=process, time=time.time() - age).write()
    found = life()
    assert found.alive is alive
    assert found.why.startswith(f"{process}; its last sign of life is ")


def test_a_run_of_another_host_that_left_no_sign(run_folder):
    workdir.LOCK.write_text("process 1 on elsewhere\n")
    assert not life().alive
    workdir.LOCK.unlink()
    assert not life().alive


def test_a_sign_of_life_is_read_as_it_was_written(run_folder):
    beat = Beat("run_train", "iter.000000/00.train", {"running": 2}, 1, Pace(1.0, 40))
    beat.write()
    assert life().beat == beat
    assert beat.process == f"process {os.getpid()} on {socket.gethostname()}"
    workdir.PROGRESS.write_text("{")
    assert life().beat is None


def test_without_a_run_no_sign_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Beat("init").write()
    assert not list(Path().iterdir())


def test_a_full_disk_is_for_others_to_report(run_folder):
    workdir.PROGRESS.mkdir()  # cannot be replaced by a file, root or not
    replace(Beat("make_train")).write()
