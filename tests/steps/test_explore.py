# SPDX-License-Identifier: LGPL-3.0-or-later
"""Exploration: damaged tasks are found, and an MD that blows up counts as far as it came."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.steps import explore
from ipip_dp.workdir import Iteration
from tests.steps.test_relabel import STEPS, dump
from tests.steps.test_relabel import explore as write_task

TYPES = [1, 2, 2]
ROW = "{:12d} 0 0 0 0.1 0 0\n"


@pytest.fixture(params=["traj", "merged"])
def task(request, context):
    """A finished task of three atoms."""
    write_task(0, TYPES, merge=request.param == "merged")
    task = Iteration(0).exploration / "task.000.000000"
    (task / "conf.lmp").write_text("\n3 atoms\n2 atom types\n")
    (task / "model_devi.log").write_text("Loop time of 1\n")
    return task


def dump_files(task):
    return [*(task / "traj").glob("30.*"), *task.glob("all.lammpstrj")]


def test_a_whole_task_is_left_alone(context, task):
    assert explore.rows(task) == {step for step, _ in explore.frames(task)} == set(STEPS)
    assert explore.discard_damaged(context) == []
    assert (task / "model_devi.out").is_file()


@pytest.mark.parametrize("keep", [0, 0.3, 0.97])
@pytest.mark.parametrize("what", ["rows", "frames"])
def test_a_truncated_task_is_discarded(context, task, what, keep):
    (path,) = [task / "model_devi.out"] if what == "rows" else dump_files(task)
    text = path.read_text()
    path.write_text(text[: int(len(text) * keep)])
    tag = task / "0123_task_tag_finished"
    tag.touch()
    assert explore.discard_damaged(context) == [task]
    assert sorted(path.name for path in task.iterdir()) == ["conf.lmp", "traj"]
    assert not list((task / "traj").iterdir())
    with pytest.raises(
        IpipError, match=r"task.000.000000: model_devi.out is missing.*has run twice with the same result"
    ):
        explore.require_whole(context, [task])


def test_rows_that_end_before_the_frames_are_truncated_ones(task):
    path = task / "model_devi.out"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))  # each is there twice
    assert explore.damage(task) == f"model_devi.out ends at step {STEPS[-2]}, and frames go on to step {STEPS[-1]}"


def test_a_frame_between_two_rows_does_no_harm(task):
    (path,) = dump_files(task)
    with path.open("a") as file:
        file.write(dump(STEPS[-1] + 5, TYPES))
    assert not explore.damage(task)


def test_frames_that_lost_atoms_are_failed_ones(context, task):
    (path,) = dump_files(task)
    path.write_text(path.read_text().replace(dump(30, TYPES), dump(30, TYPES[:2])))
    table = np.array([[step, 0, 0, 0, 0.1, 0, 0] for step in STEPS])
    log = f"{explore.NOTE}: ERROR: Lost atoms: original 3 current 2 (src/thermo.cpp:494)\n"
    (task / "model_devi.log").write_text(log)
    assert not explore.damage(task)
    marked = explore.mark_unusable(task, table)
    assert marked[:3].tolist() == table[:3].tolist()
    assert (marked[3, 1:] > 1e9).all()


def test_a_deviation_of_nan_is_a_failed_frame(context, task):
    assert explore.mark_unusable(task, np.array([0, 0, 0, 0, np.nan, 0, 0]))[0, 4] > 1e9


@pytest.mark.parametrize(
    ("log", "rows", "code"),
    [
        ("ERROR: Lost atoms: original 27 current 26 (src/thermo.cpp:494)", 3, 0),
        ("ERROR on proc 0: Non-numeric atom coords - simulation unstable", 1, 0),
        ("ERROR: Lost atoms: original 27 current 26 (src/thermo.cpp:494)", 0, 7),
        ("ERROR: Cannot open file x", 3, 7),
        ("WARNING: Lost atoms: original 27 current 26", 3, 7),
    ],
)
def test_only_an_md_that_blew_up_is_accepted(make_context, tmp_path, log, rows, code):
    context = make_context()
    context.mdata["model_devi_command"] = "bash script"
    (tmp_path / "script").write_text(f'echo {log!r} > log.lammps; echo "$@" > arguments; exit 7')
    (tmp_path / "model_devi.out").write_text("# step\n" + "".join(ROW.format(step) for step in range(rows)))
    command = f"{explore.tolerant(context)['model_devi_command']} -i input.lammps -v restart 0"
    done = subprocess.run(["/bin/bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert (explore.NOTE in done.stdout) == (code == 0)
    assert (tmp_path / "arguments").read_text() == "-i input.lammps -v restart 0\n"


def test_a_merged_trajectory_is_split_for_as_long_as_dpgen_reads_it(make_context):
    context = make_context(model_devi_merge_traj=True)
    write_task(0, TYPES, merge=True)
    task = Iteration(0).exploration / "task.000.000000"
    (task / "conf.lmp").write_text("")
    with explore.one_file_per_frame(context) as jdata:
        assert not jdata["model_devi_merge_traj"]
        assert {int(path.stem) for path in (task / "traj").iterdir()} == set(STEPS)
        chosen = Iteration(0).fp / "task.000.000000/conf.dump"
        chosen.parent.mkdir(parents=True)
        chosen.symlink_to((task / "traj/20.lammpstrj").resolve())
    assert [path.name for path in (task / "traj").iterdir()] == ["20.lammpstrj"]
    assert chosen.read_text() == dump(20, TYPES)
