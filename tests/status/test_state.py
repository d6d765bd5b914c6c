# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip status` of a real run, asked while it runs, after a kill and at its end, against what truly happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.status import state
from ipip_dp.workdir import Iteration
from tests.conftest import DPGEN, Run, short
from tests.status.conftest import evaluated


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


def test_a_run_whose_jobs_all_wait_waits(hold):
    folder = str(Iteration(0).seed_pool)
    hold(folder=folder, jobs={"waiting": 3}, retried=1)
    found = state.read()
    assert (found.state, found.stage.step, found.jobs, found.retried) == ("waiting", "seed", {"waiting": 3}, 1)


def test_the_end_is_expected_from_the_work_since_it_began_to_show(hold):
    folder = Iteration(0).pretrain
    workdir.mark_done(Iteration(0).seed_pool)
    job = {"job_task_list": [{"task_work_path": "000", "outlog": "ipip.log"}]}
    workdir.write_json(folder / f"{'0' * 40}.json", {"belonging_jobs": [{"job": job}]})
    workdir.write_json(folder / "000/input.json", {"training": {"numb_steps": 1000}})
    workdir.write_text(folder / "000/lcurve.out", "400 0.1\n")
    workdir.write_text(folder / "000/ipip.log", "at work")  # what dpdispatcher says of its job is out of date
    hold(folder=str(folder), jobs={"waiting": 1}, since=[time.time() - 600, 100])
    found = state.read()
    assert (found.state, found.work.done, found.work.total) == ("running", 400, 1000)
    assert found.left == pytest.approx(1200, rel=0.05)


def test_a_damaged_param_json_does_not_hide_a_run(run_folder):
    (run_folder / "param.json").write_text("{")
    assert state.read().state == "stopped"


def test_nothing_heavy_is_imported(run_folder):
    evaluated(0, 0.5, 0.6)
    code = (
        "import sys; from ipip_dp import cli; from pathlib import Path; from ipip_dp.status import show, state;"
        "show.renderables(state.read(), Path()); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"dpgen", "dpdata", "dpdispatcher", "deepmd", "tensorflow", "torch", "ase"} & {*loaded}


def test_thousands_of_tasks_take_less_than_two_seconds(run_folder):
    folder = Iteration(0).seed_pool
    tasks = [f"task.000.{number:04d}" for number in range(2000)]
    for task in tasks:
        workdir.write_json(folder / task / "md.json", {"nsteps": 1000, "temperatures": [300]})
        workdir.write_text(folder / task / "ipip.log", "MD at 300 K: 500 of 1,000 steps\n")
    jobs = [{task: {"job_task_list": [{"task_work_path": task, "outlog": "ipip.log"}]}} for task in tasks]
    workdir.write_json(folder / f"{'0' * 40}.json", {"belonging_jobs": jobs})
    start = time.process_time()
    assert state.read().work.done == 1_000_000
    assert time.process_time() - start < 2


@pytest.mark.long
@pytest.mark.slow
def test_a_run_from_before_its_start_to_its_end_with_a_kill_between(tmp_path):
    run = short(tmp_path / "run")
    assert asked(run)["state"] == "not started"
    seen = []
    for kill_after in ((0, 1), None):
        process = run.start(*DPGEN)
        while asked(run)["state"] in ("not started", "stopped"):
            assert process.poll() is None
        while process.poll() is None and (kill_after is None or last_finished(run) < kill_after):
            seen.append(check_against_the_truth(run))
            time.sleep(1)
        if kill_after is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            said = asked(run)
            assert (said["state"], said["command"]) == ("stopped", "dpgen run param.json machine.json")
            assert (said["stage"]["iteration"], said["stage"]["task"]) == (0, 2)
    said = asked(run)
    assert (said["state"], said["stage"]) == ("finished", None)
    steps = {each["stage"]["step"] for each in seen if each["stage"]}
    assert steps >= {"seed", "pretrain", "fine-tune", "evaluate"}
