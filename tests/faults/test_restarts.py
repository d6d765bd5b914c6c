# SPDX-License-Identifier: LGPL-3.0-or-later
"""`dpgen run` typed again: in a folder that is in use, with a damaged record, with edited input, ..."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from ipip_dp import workdir
from ipip_dp.config import changes
from ipip_dp.dpgen_plugin import restart
from ipip_dp.errors import IpipError
from tests.conftest import DPGEN, ENVIRONMENT, Run, calls, counted, short
from tests.faults.test_kills import Struck, after, kill_all, require_same, when

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

# Holds the run folder as `dpgen run` does, with a forked child that outlives it.
HOLD = """
import os, time
from pathlib import Path
from ipip_dp.dpgen_plugin import restart
restart.claim(Path.cwd())
if os.fork():
    Path("held").touch()
time.sleep(60)
"""


@pytest.fixture
def ended(finished, tmp_path) -> Run:
    """A copy of a run that has come to its end."""
    shutil.copytree(finished.folder, tmp_path / "run", symlinks=True)
    return Run(tmp_path / "run")


def go_on(run: Run, wrappers: Path, *prefix: str) -> subprocess.CompletedProcess[str]:
    """Type `dpgen run` again, which must neither run a job nor fail."""
    before = files(run)
    done = run(*prefix, *DPGEN, **counted(run, wrappers))
    assert done.returncode == 0, done.stdout[-3000:]
    assert calls(run) == []
    assert files(run) == before
    return done


def refused(run: Run, *prefix: str) -> list[str]:
    """What DP-GEN says when it does not start; it must have changed nothing."""
    before = files(run)
    done = run(*prefix, *DPGEN)
    assert done.returncode == 1, done.stdout[-3000:]
    assert "Traceback" not in done.stdout
    assert files(run) == before
    return [line.split("ipip: ", 1)[1] for line in done.stdout.splitlines() if "ipip: " in line]


def files(run: Run) -> dict[str, bytes]:
    """Everything in a run folder but logs, the times of stages and the last sign of life."""
    return {
        str(path.relative_to(run.folder)): path.read_bytes()
        for path in run.folder.rglob("*")
        if path.is_file() and path.suffix not in (".log", ".lock") and path.name not in ("timing.json", "progress.json")
    }


def wait_for(reached: Callable[[], bool], process: subprocess.Popen) -> None:
    while not reached():
        assert process.poll() is None
        time.sleep(0.05)


def hold(run: Run) -> subprocess.Popen:
    process = run.start(sys.executable, "-c", HOLD)
    wait_for((run.folder / "held").exists, process)
    (run.folder / "held").unlink()
    return process


@pytest.mark.fault("a second dpgen run in the folder", "refused with one line that names process and machine")
def test_a_second_run_in_one_folder_is_refused(finished, wrappers, tmp_path):
    run = short(tmp_path / "run")
    first = run.start(*DPGEN)
    try:
        wait_for((run.folder / "iter.000000/00.ipip/seed").is_dir, first)
        second = run(*DPGEN)
        assert first.poll() is None
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    said = [line for line in second.stdout.splitlines() if "ipip: " in line]
    assert second.returncode == 1 and len(said) == 1 and "Traceback" not in second.stdout
    assert f"another dpgen run works here (process {first.pid} on {socket.gethostname()})" in said[0]


@pytest.mark.fault("the dpgen run that held the folder is killed, a child of it lives on", "the next run takes over")
def test_the_lock_of_a_dead_process_is_taken_over(ended, wrappers):
    process = hold(ended)
    try:
        assert "another dpgen run" in refused(ended)[0]
        process.kill()
        process.wait()
        go_on(ended, wrappers)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.fault("a copied folder, with a lock that names a living process of another machine", "the run goes on")
def test_what_a_lock_file_says_does_not_count(ended, wrappers):
    (ended.folder / "ipip.lock").write_text("process 1 on elsewhere\n")
    go_on(ended, wrappers)


RECORD = "".join(f"0 {stage}\n" for stage in range(9)) + "1 0\n1 1\n1 2\n"
RECORDS = {
    "empty": "",
    "half a last line": RECORD[:-3],
    "last line without its end": RECORD[:-1],
    "cut between two lines": RECORD[:24],
    "zeros at its end, as after a power failure": RECORD[:24] + "\0" * 24,
    "missing": None,
}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, marks=pytest.mark.fault(f"record.dpgen: {what}", "the run goes on where it was"), id=what)
        for what, text in RECORDS.items()
    ],
)
def test_a_damaged_record_is_mended(text, ended, monkeypatch, caplog):
    monkeypatch.chdir(ended.folder)
    if text is None:
        workdir.RECORD.unlink()
    else:
        workdir.RECORD.write_text(text)
    restart.restore_record()
    assert workdir.RECORD.read_text() == RECORD
    assert caplog.text.count("ipip: record.dpgen ended with") == 1
    restart.restore_record()
    assert caplog.text.count("ipip: record.dpgen ended with") == 1


def test_a_run_with_half_a_record_does_nothing_twice(ended, wrappers):
    (ended.folder / "record.dpgen").write_text(RECORD[:25])
    before = files(ended)
    done = ended(*DPGEN, **counted(ended, wrappers))
    assert done.returncode == 0, done.stdout[-3000:]
    assert calls(ended) == []
    assert files(ended) == {**before, "record.dpgen": RECORD.encode()}


def test_a_stage_whose_folder_is_removed_is_done_again(ended, monkeypatch):
    monkeypatch.chdir(ended.folder)
    shutil.rmtree("iter.000001")
    restart.restore_record()
    assert workdir.RECORD.read_text() == RECORD[:36]
    shutil.rmtree("iter.000000/02.fp")
    restart.restore_record()
    assert workdir.RECORD.read_text() == RECORD[:24]


@pytest.mark.long
@pytest.mark.fault(
    "the folder of the last training is removed, the learning rate edited", "students are trained and evaluated again"
)
def test_students_trained_anew_are_evaluated_anew(ended):
    last = ended.folder / workdir.Iteration(1).root
    before = json.loads((last / "00.ipip/evaluate/metrics.json").read_text())
    shutil.rmtree(last / "00.train")
    param = ended.param
    param["default_training_param"]["learning_rate"]["start_lr"] *= 2
    ended.param = param
    done = ended(*DPGEN)
    assert done.returncode == 0, done.stdout[-3000:]
    after = json.loads((last / "00.ipip/evaluate/metrics.json").read_text())
    assert after["teacher"] == before["teacher"]
    assert after["ensemble"]["force_rmse"] != before["ensemble"]["force_rmse"]
    curve = (ended.folder / "learning_curve.csv").read_text()
    assert str(after["ensemble"]["force_rmse"]) in curve and str(before["ensemble"]["force_rmse"]) not in curve


# Key path, new value and what the refusal says of the old and the new one.
LATE: dict[str, tuple[Any, str]] = {
    "type_map": (["S", "Mo"], 'type_map: changed from ["Mo", "S"] to ["S", "Mo"]'),
    "numb_models": (3, "numb_models: changed from 2 to 3"),
    "train_backend": ("pytorch", 'train_backend: changed from "tensorflow" to "pytorch"'),
    "default_training_param.model.descriptor.rcut": (7.0, "rcut: changed from 6.0 to 7.0"),
    "default_training_param.model.fitting_net.neuron": ([8], "neuron: changed from [32, 32] to [8]"),
    "ipip.seed": (2, "ipip.seed: changed from 1 to 2"),
    "ipip.teacher.pair_style": ("sw", 'ipip.teacher.pair_style: changed from "sw/mod" to "sw"'),
    "ipip.teacher_md.nsteps": (50, "ipip.teacher_md.nsteps: changed from 100 to 50"),
    "ipip.pretrain.numb_models": (1, "ipip.pretrain.numb_models: changed from null to 1"),
    "ipip.held_out": (["data/train"], 'ipip.held_out: changed from ["data/held_out"] to ["data/train"]'),
    "ipip.reference.kwargs.method": ("GFN2-xTB", 'method: changed from "GFN1-xTB" to "GFN2-xTB"'),
    "fp_style": ("vasp", 'fp_style: changed from "custom" to "vasp"'),
    "sys_configs": ([["other.vasp"]], 'sys_configs: changed from [["mos2_mono27.vasp"]] to [["other.vasp"]]'),
    "model_devi_jobs.0.nsteps": (200, "model_devi_jobs[0].nsteps: changed from 100 to 200"),
    "model_devi_jobs": ([], "model_devi_jobs[0]: changed from {"),
}
# Key path and new value.
ALLOWED: dict[str, Any] = {
    "ipip.check_interval": 0.5,
    "ipip.stop.patience": 5,
    "ipip.stop.min_improvement": 0.1,
    "ipip.relabel.max_candidates": 7,
    "ipip.gate.max_force": 30,
    "ipip.pool.retention": 0.5,
    "ipip.pool.keep_iterations": 0,
    "ipip.pretrain.numb_steps": 50,
    "ipip.forget.method": "none",
    "ipip.teacher.command": "lmp -echo none",
    "ipip.held_out": "data/held_out",
    "default_training_param.learning_rate.start_lr": 0.002,
    "default_training_param.model.descriptor.seed": 5,
    "model_devi_f_trust_lo": 0.2,
    "model_devi_f_trust_hi": 0.7,
    "fp_task_max": 3,
    "init_data_sys": ["data/train", "data/train"],
    "sys_configs": [["mos2_mono27.vasp"], ["other.vasp"]],
}


def edited(param: dict, key: str, value: Any) -> dict:
    param = copy.deepcopy(param)
    place: Any = param
    *path, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in path:
        place = place[part]
    place[last] = value
    return param


@pytest.fixture
def param(ended, monkeypatch) -> dict:
    """The param.json of a run, normalised; in its folder."""
    monkeypatch.chdir(ended.folder)
    return json.loads(workdir.STARTED.read_text())


@pytest.mark.fault("param.json: a key is edited that the run was made with", "refused, with old and new value")
@pytest.mark.parametrize("key", LATE)
def test_late_changes_are_refused(key, param):
    value, expected = LATE[key]
    with pytest.raises(IpipError) as error:
        changes.require_allowed(edited(param, key, value), "param.json")
    (line,) = str(error.value).splitlines()
    assert expected in line and "restore it, or start a new run in another folder" in line


@pytest.mark.fault("param.json: a key is edited that counts from now on", "the run goes on with the new value")
@pytest.mark.parametrize("key", ALLOWED)
def test_other_changes_are_allowed(key, param):
    changes.require_allowed(edited(param, key, ALLOWED[key]), "param.json")


def test_before_a_step_has_finished_its_keys_may_change(param):
    (workdir.Iteration(0).seed_pool / "done").unlink()
    shutil.rmtree(workdir.Iteration(0).pretrain)
    for key in ("ipip.teacher_md.nsteps", "ipip.seed", "numb_models"):
        changes.require_allowed(edited(param, key, LATE[key][0]), "param.json")


def test_dpgen_and_ipip_check_show_every_late_change(ended):
    ended.param = edited(edited(ended.param, "ipip.seed", 2), "default_training_param.model.descriptor.rcut", 5.0)
    said = refused(ended)
    assert [line.split(": changed from")[0] for line in said] == [
        "param.json: ipip.seed",
        "param.json: default_training_param.model.descriptor.rcut",
    ]
    assert ended("ipip", "check").stdout.count(": changed from") == 2


@pytest.mark.full
@pytest.mark.fault("more model_devi_jobs, new trust levels and another machine.json", "the run goes on to its new end")
def test_a_run_that_is_given_more_jobs_goes_on(ended, wrappers, finished, record_property):
    machine = ended.machine
    for section in machine.values():
        if isinstance(section, dict):
            section["resources"].update(group_size=1)
    ended.machine = machine
    new = edited(ended.param, "model_devi_jobs", ended.param["model_devi_jobs"] * 2)
    ended.param = edited(edited(new, "model_devi_f_trust_lo", 0.2), "ipip.check_interval", 0.5)
    before = calls(finished)
    done = ended(*DPGEN, **counted(ended, wrappers))
    assert done.returncode == 0, done.stdout[-3000:]
    assert (ended.folder / "record.dpgen").read_text().splitlines()[-1] == "2 2"
    repeated = set(calls(ended)) & set(before)
    record_property("jobs repeated", len(repeated))
    assert not repeated


# Python's clock, for DP-GEN, dpdispatcher, DeePMD-kit and this package: it jumps by up to a year at every look.
JUMPING = """
import random, time
_time, _random = time.time, random.Random()
time.time = lambda: _time() + _random.uniform(-1, 1) * 3e7
time.time_ns = lambda: int(time.time() * 1e9)
"""


@pytest.mark.full
@pytest.mark.fault(
    "a clock that jumps, and killed runs whose files are from the future or the past", "the same results"
)
def test_a_clock_that_jumps_changes_nothing(finished, wrappers, tmp_path, record_property, monkeypatch):
    (tmp_path / "jumping").mkdir()
    (tmp_path / "jumping/sitecustomize.py").write_text(JUMPING)
    path = os.pathsep.join(filter(None, [str(tmp_path / "jumping"), os.environ.get("PYTHONPATH")]))
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", path)
    struck = Struck(short(tmp_path / "run"), wrappers)
    instants = random.Random(3)
    patterns = ["iter.000000/00.ipip/pretrain/*/ipip.log", "iter.000000/01.model_devi", "iter.000001/00.train"]
    for pattern in patterns:
        assert not struck.go_on(when(struck.run, pattern), kill_all)
        for file in struck.run.folder.rglob("*"):
            seconds = time.time() + instants.uniform(-1, 1) * 3e7
            os.utime(file, (seconds, seconds), follow_symlinks=False)
    assert struck.go_on(after(float("inf")), kill_all)
    require_same(struck, finished, record_property)


@pytest.mark.fault("a read-only run folder", "DP-GEN ends and names the file it cannot write, nothing lost")
def test_a_read_only_folder_is_named(ended):
    if os.geteuid() == 0:  # whom no mode of a folder stops
        mount = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@"'
        prefix = ["unshare", "--mount", "sh", "-c", mount, "sh"]
        if subprocess.run([*prefix, "true"], cwd=ended.folder).returncode != 0:
            pytest.skip("root may not mount here")
    else:
        prefix = []
        ended.folder.chmod(0o555)
    try:
        done = ended(*prefix, *DPGEN)
    finally:
        ended.folder.chmod(0o755)
    assert done.returncode == 1
    # dpdispatcher's own error, when it is imported: before that, dpdata loads this plugin, which may not end a program
    last = done.stdout.strip().splitlines()[-1]
    assert re.search(rf"(Read-only file system|Permission denied): '{ended.folder}/(dpdispatcher|dpgen).log'", last)


@pytest.mark.fault("Ctrl-C while a job runs", "one line says that the run can go on")
def test_ctrl_c_says_how_to_go_on(tmp_path):
    run = short(tmp_path / "run")
    process = run.start(*DPGEN, stdout=subprocess.PIPE)
    wait_for(lambda: any((run.folder / "iter.000000/00.ipip/seed").glob("*/ipip.log")), process)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    os.killpg(process.pid, signal.SIGKILL)  # the job goes on
    assert process.returncode == 130
    assert (
        said.strip()
        .splitlines()[-1]
        .endswith("jobs that were submitted go on, and so does the run if you start it again")
    )
