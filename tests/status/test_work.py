# SPDX-License-Identifier: LGPL-3.0-or-later
"""What tasks have done, of real submissions and from the files of DeePMD-kit, LAMMPS and our own commands."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch
from ipip_dp.status import work

SHELL = {"batch_type": "Shell", "context_type": "LazyLocalContext", "local_root": "./", "retry_count": 0}
RESOURCES = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}
MACHINE = {"ipip_label": {"machine": SHELL, "resources": RESOURCES}}
TASKS = ("000", "001")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    from dpdispatcher.utils.record import record

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record, "record_directory", tmp_path)  # not the user's ~/.dpdispatcher
    for task in TASKS:
        Path("work", task).mkdir(parents=True)
    return Path("work")


def submit(*words: str) -> None:
    with dispatch.submissions(MACHINE, 0.1):
        dispatch.submit(MACHINE, "ipip_label", Path("work"), TASKS, words)


def done(folder: Path) -> tuple[int, int, str]:
    found = work.read(folder)
    return found.done, found.total, found.unit


def test_tasks_are_counted_as_they_finish_and_fail(folder):
    assert work.read(folder) is None
    with pytest.raises(IpipError):
        submit("sh", "-c", "echo working; [ $(basename $PWD) = 000 ]")
    found = work.read(folder)
    assert (found.tasks, found.finished, found.failed, found.started) == (2, 1, 1, 0)
    assert found.describe() == "1 of 2 tasks finished, 1 failed"
    submit("echo", "another command")  # what finished before was another task
    found = work.read(folder)
    assert (found.tasks, found.finished, found.failed) == (2, 2, 0)
    assert found.written >= (folder / "001/ipip.log").stat().st_mtime


def test_a_task_at_work_has_begun(folder):
    submit("true")
    for tag in folder.glob("001/*_task_tag_finished"):
        tag.unlink()
    assert (work.read(folder).finished, work.read(folder).started) == (1, 1)
    log = folder / "001/ipip.log"
    log.write_text("of an earlier try")
    os.utime(log, (1, 1))
    assert work.read(folder).started == 0


def training(task: Path, **settings) -> None:
    (task / "input.json").write_text(json.dumps({"training": settings}))


def test_steps_of_trainings(folder):
    for task in TASKS:
        training(folder / task, numb_steps=50_000)
        (folder / task / "lcurve.out").write_text("# step rmse\n      0 1e1\n  20500 1e0\n  21000 1e")
    submit("true")
    assert done(folder) == (100_000, 100_000, "steps")  # finished ones count as a whole
    for tag in folder.glob("*/*_task_tag_finished"):
        tag.unlink()
    assert done(folder) == (41_000, 100_000, "steps")
    text = "41,000 of 100,000 steps, 12 min left, 0 of 2 tasks finished, 2 begun"
    assert work.read(folder).describe(720) == text
    training(folder / "001", stop_batch=1000, disp_file="curve")
    assert done(folder) == (20_500, 51_000, "steps")
    (folder / "001/input.json").write_text("{")  # just being written
    assert done(folder) == (0, 2, "tasks")


def test_trainings_that_freeze_their_models(folder):
    for task in TASKS:
        training(folder / task, numb_steps=500)
        (folder / task / "lcurve.out").write_text("    500 1e0\n")
    submit("true")
    assert work.read(folder).describe() == "1,000 of 1,000 steps, 2 of 2 tasks finished"
    for tag in folder.glob("*/*_task_tag_finished"):
        tag.unlink()
    text = "1,000 of 1,000 steps, models being saved or frozen, 0 of 2 tasks finished, 2 begun"
    assert work.read(folder).describe() == text


@pytest.mark.parametrize(
    ("script", "total"),
    [("variable        NSTEPS          equal 500\nrun ${NSTEPS} upto\n", 500), ("run 60\nrun   40\n", 100)],
)
def test_steps_of_md_with_model_deviation(folder, script, total):
    for task in TASKS:
        (folder / task / "input.lammps").write_text(script)
    (folder / "000/model_devi.out").write_text("#  step max_devi_v\n  0 1e-1\n  50 9e-1\n")
    submit("true")
    (tag,) = folder.glob("000/*_task_tag_finished")
    tag.unlink()
    assert done(folder) == (total + 50, 2 * total, "MD steps")


def test_steps_of_teacher_md_at_one_temperature_after_the_other(folder):
    for task in TASKS:
        workdir.write_json(folder / task / "md.json", {"nsteps": 5000, "temperatures": [300, 800.5]})
    submit("true")
    for tag in folder.glob("*/*_task_tag_finished"):
        tag.unlink()
    assert done(folder) == (0, 20_000, "MD steps")
    workdir.write_json(folder / "000/labels/300K/md.json", {})
    (folder / "000/ipip.log").write_text("13:00:01 MD at 300 K: 4,900 of 5,000 steps, 1 s left\n")
    assert done(folder) == (5000, 20_000, "MD steps")
    with (folder / "000/ipip.log").open("a") as log:
        log.write("13:00:02 labels/300K: 250 of 250 frames labelled\n13:00:12 MD at 800.5 K: 1,200 of 5,000 steps\n")
    assert done(folder) == (6200, 20_000, "MD steps")


def test_frames_of_our_commands(folder):
    submit("sh", "-c", "echo 13:00:01 labelling: 1,200 of 5,000 frames, 3 min left")
    for tag in folder.glob("*/*_task_tag_finished"):
        tag.unlink()
    assert done(folder) == (2400, 10_000, "frames")
