# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip status` of a real run, asked while it runs, after a kill and at its end, against what truly happens."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from ipip_dp import workdir
from tests.conftest import DPGEN, Run, short

# What a job of a step calls -> the steps that may do so.
CALLS = {"ipip md": "seed", "ipip forget": "forget, hand over", "lmp": "explore"}


def asked(run: Run) -> dict:
    done = run("ipip", "status", "--json")
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def last_finished(run: Run) -> tuple[int, int]:
    record = run.folder / "record.dpgen"
    words = record.read_text().split() if record.is_file() else []
    return (int(words[-2]), int(words[-1])) if words else (0, -1)


def folders_at_work(run: Run) -> set[str]:
    """Where processes of jobs work, below the run folder."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            folder = Path(os.readlink(process / "cwd"))
        except OSError:
            continue
        if run.folder in folder.parents:
            found.add(str(folder.relative_to(run.folder)))
    return found


def steps_done(folder: Path) -> int:
    """The sum of the last steps in the learning curves below a folder."""
    tables = [path.read_text().rpartition("\n")[0].splitlines() for path in folder.glob("*/lcurve.out")]
    return sum(int(table[-1].split()[0]) for table in tables if table and table[-1].split()[0] != "#")


def check_against_the_truth(run: Run) -> dict:
    """Ask a run that is alive; everything it says must be true before or after."""
    before, steps_before = last_finished(run), {path: steps_done(path) for path in run.folder.glob("iter.*/*/")}
    at_work_before = folders_at_work(run)
    said = asked(run)
    after, at_work_after = last_finished(run), folders_at_work(run)
    if said["state"] == "finished":
        return said
    assert said["state"] == "running", said
    stage = said["stage"]
    under_way = stage["iteration"] * 9 + stage["task"]
    assert before[0] * 9 + before[1] < under_way <= after[0] * 9 + after[1] + 1
    if before == after and at_work_before == at_work_after and len(at_work_before) > 0:
        assert all(folder.startswith(stage["folder"]) for folder in at_work_before), (at_work_before, stage)
        assert said["work"]["tasks"] > said["work"]["finished"]
    if said["work"] and said["work"]["unit"] == "steps":
        folder = run.folder / stage["folder"]
        assert steps_before.get(folder, 0) <= said["work"]["done"] <= max(steps_done(folder), said["work"]["finished"])
    return said


@pytest.mark.slow
def test_a_run_from_before_its_start_to_its_end_with_a_kill_between(tmp_path):
    run = short(tmp_path / "run")
    assert asked(run)["state"] == "not started"
    seen = []
    for kill_after in ((0, 1), None):
        process = run.start(*DPGEN)
        while process.poll() is None:
            if not seen or seen[-1]["state"] != "not started" or workdir.STARTED.is_file():
                if asked(run)["state"] in ("running", "finished"):
                    seen.append(check_against_the_truth(run))
            if kill_after is not None and last_finished(run) >= kill_after:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                said = asked(run)
                assert (said["state"], said["command"]) == ("stopped", "dpgen run param.json machine.json")
                assert (said["stage"]["iteration"], said["stage"]["task"]) == (0, 2)
            time.sleep(1)
    said = asked(run)
    assert (said["state"], said["stage"]) == ("finished", None)
    steps = {each["stage"]["step"] for each in seen if each["stage"]}
    assert steps >= {"seed", "pretrain", "fine-tune", "evaluate"}
