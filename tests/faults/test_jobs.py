# SPDX-License-Identifier: LGPL-3.0-or-later
"""Jobs that fail: killed trainings, exploding MD, labels that do not come or are absurd."""

from __future__ import annotations

import json
import os
import shutil

import dpdata
import numpy as np
import pytest

from ipip_dp.data.gate import OF_FRAMES
from tests.conftest import ENVIRONMENT, short
from tests.faults import stages

pytestmark = pytest.mark.slow


def failing(share, how):
    return {
        "type": "ase",
        "calculator": "tests.faults.failing:Failing",
        "kwargs": {"share": share, "how": how},
    }


def change(run, **ipip):
    """Change the ipip section of param.json."""
    param = run.param
    param["ipip"].update(ipip)
    run.param = param


N_EXPLORED = 11
WITHOUT_THEM = "the run goes on without them; they are counted"


def n_frames(folder):
    """Frames of the deepmd/npy systems below a folder."""
    return sum(len(np.load(path)) for path in folder.rglob("coord.npy"))


# ---- labels


@pytest.mark.fault("30% of the frames of a labelling job fail", "the others are labelled, these listed with the reason")
@pytest.mark.parametrize("how", ["raise", "nan", "huge"])
def test_frames_that_fail_are_listed(finished, tmp_path, how):
    (tmp_path / "labeler.json").write_text(json.dumps(failing(0.3, how)))
    source = finished.folder / "iter.000000/00.ipip/pool"
    command = ["ipip", "label", str(source), str(tmp_path / "labels"), "--type-map", "Mo,S"]
    command += ["--labeler", str(tmp_path / "labeler.json")]
    done = finished(*command, PYTHONPATH=stages.PYTHONPATH)
    assert done.returncode == 0, done.stdout
    failures = json.loads((tmp_path / "labels/failed.json").read_text())
    labels = dpdata.LabeledSystem(str(tmp_path / "labels/Mo9S18"), fmt="deepmd/npy")
    assert 0 < len(failures) < n_frames(source) / 2
    assert len(labels) + len(failures) == n_frames(source)
    assert np.abs(labels["forces"]).max() < 100
    reason = {"raise": "SCF not converged", "nan": "non-finite: forces NaN", "huge": "max-force: 1e+06 eV/A"}[how]
    assert all(reason in failure["reason"] for failure in failures)
    assert f"{len(failures)} failed" in done.stdout


def relabelling(finished, folder, share, how):
    """A run before relabelling whose teacher fails; what the students labelled, and errors, are there."""
    run = stages.rewind(finished, folder, "0 8")
    relabel = "iter.000000/00.ipip/relabel"
    for path in run.folder.glob(f"{relabel}/teacher/*_task_tag_finished"):
        path.unlink()
    shutil.rmtree(run.folder / relabel / "teacher/labels")
    shutil.rmtree(run.folder / "iter.000001/00.ipip/pool")
    (run.folder / stages.RELABELLED).unlink()
    change(run, teacher=failing(share, how))
    return run


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(0.5, marks=pytest.mark.fault("the teacher fails on 30% of the candidates", WITHOUT_THEM)),
        pytest.param(
            1.0, marks=[pytest.mark.full, pytest.mark.fault("the gate refuses all labels of the teacher", WITHOUT_THEM)]
        ),
    ],
)
def test_a_teacher_whose_forces_are_absurd(finished, tmp_path, share):
    run = relabelling(finished, tmp_path / "run", share, "huge")
    stages.start_until_exists(run, stages.RELABELLED)
    summary = json.loads((run.folder / "iter.000000/00.ipip/relabel/summary.json").read_text())
    failures = json.loads((run.folder / "iter.000000/00.ipip/relabel/teacher/labels/failed.json").read_text())
    asked = N_EXPLORED - summary["labelled"]["students"]
    assert 0 < len(failures) < asked or share == 1 and len(failures) == asked
    assert summary["rejected"] == len(failures)
    assert summary["added"] == sum(summary["labelled"].values()) == N_EXPLORED - len(failures)
    forces = [np.load(path) for path in run.folder.glob("iter.000001/00.ipip/pool/*/set.*/force.npy")]
    assert max(np.abs(array).max() for array in forces) < 100


@pytest.mark.full
@pytest.mark.parametrize("how", ["raise", "nan"])
@pytest.mark.fault("the teacher fails on every candidate", "one line; with a mended teacher the run goes on")
def test_a_teacher_that_fails_on_every_candidate(finished, tmp_path, how):
    run = relabelling(finished, tmp_path / "run", 1.0, how)
    message = stages.one_line(stages.start(run))
    assert "relabel/teacher: 0 of " in message and "ipip.relabel.max_candidates: 0" in message
    assert not (run.folder / "iter.000001/00.ipip/pool").exists()
    stages.start_until_exists(run, stages.RELABELLED, MENDED="yes")
    summary = json.loads((run.folder / "iter.000000/00.ipip/relabel/summary.json").read_text())
    failures = json.loads((run.folder / "iter.000000/00.ipip/relabel/teacher/labels/failed.json").read_text())
    assert summary["labelled"]["teacher"] > 0
    assert all(
        failure["reason"].startswith(OF_FRAMES) for failure in failures
    )  # nothing that the teacher is to blame for
    assert summary["rejected"] == len(failures)
    assert summary["added"] == sum(summary["labelled"].values()) == N_EXPLORED - len(failures)


@pytest.mark.fault("the reference fails on some frames", "up to ratio_failed the run goes on; they are listed")
def test_a_reference_that_fails_on_some_frames(finished, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "0 6")
    tasks = sorted((run.folder / "iter.000000/02.fp").glob("task.*"))
    assert len(tasks) == 2
    change(run, reference=failing(share_of_one(tasks), "raise"))
    said = stages.start_until(run, "0 8")
    failed = json.loads((run.folder / "iter.000000/00.ipip/reference_failed.json").read_text())
    assert len(failed) == 1 and "SCF not converged" in next(iter(failed.values()))
    assert "1 of 2 frames got no reference labels" in said
    assert n_frames(run.folder / "iter.000000/02.fp/data.000") == 1


def share_of_one(tasks):
    """The share at which :class:`Failing` fails on exactly one of two frames."""
    from ase.io import read

    from tests.faults.failing import position_in_order

    return float(np.mean([position_in_order(read(task / "POSCAR")) for task in tasks]))


@pytest.mark.fault("the reference fails on every frame", "one line; with a mended reference the run goes on")
def test_a_reference_that_fails_on_every_frame(finished, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "0 6")
    change(run, reference=failing(1.0, "raise"))
    message = stages.one_line(stages.start(run))
    assert "iter.000000/02.fp: 2 of 2 frames got no reference labels" in message
    assert "SCF not converged" in message and "ratio_failed (0.5)" in message
    stages.start_until(run, "0 8", MENDED="yes")
    assert n_frames(run.folder / "iter.000000/02.fp/data.000") == 2
    assert json.loads((run.folder / "iter.000000/00.ipip/reference_failed.json").read_text()) == {}


# ---- MD


@pytest.mark.fault("LAMMPS loses atoms in an exploration", "its frames before are used; counted; the run goes on")
def test_an_exploration_that_blows_up(finished, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "0 2")
    param = run.param
    param.update(model_devi_dt=0.1)
    param["model_devi_jobs"][0].update(temps=[20000], nsteps=400, trj_freq=1)
    run.param = param
    stages.start_until(run, "0 6")
    task = run.folder / "iter.000000/01.model_devi/task.000.000000"
    log = (task / "model_devi.log").read_text()
    assert log.count("ipip: the MD blew up: ERROR: Lost atoms") == 1
    explored = len((task / "model_devi.out").read_text().splitlines()) - 1
    assert 0 < explored < 401
    counts = json.loads((run.folder / "iter.000000/00.ipip/relabel/explored.json").read_text())
    assert (counts["md"], counts["blown_up"], counts["held"]) == (1, 1, 0)
    assert counts["accurate"] + counts["candidate"] + counts["failed"] == explored
    assert counts["failed"] > 0
    lists = (run.folder / "iter.000000/02.fp").glob("*.shuffled.000.out")
    last = f"{task.relative_to(run.folder)} {explored - 1}"  # LAMMPS gave a deviation, but no frame
    assert [path.name for path in lists if last in path.read_text().splitlines()] == ["rest_failed.shuffled.000.out"]


# ---- trainings


KILLER = """#!/bin/bash
# Stands in for dp: kills the real one once its first checkpoint is there, as often as this file has lines.
{dp} "$@" &
pid=$!
if [ "$1" = train ] && [ -s {tries}/${{PWD##*/}} ]; then
  echo "$*" >> {tries}/calls
  sed -i 1d {tries}/${{PWD##*/}}
  while kill -0 $pid 2>/dev/null && [ ! {when} ]; do sleep 0.05; done
  kill -{signal} $pid
  {{ wait $pid; }} 2> /dev/null
  kill -{signal} $$
fi
echo "$*" >> {tries}/calls
wait $pid
"""


def killer(folder, tries, signal="KILL", when="-f model.ckpt.index"):
    """The environment with a dp whose trainings of students 000 and 001 are killed so many times."""
    dp = shutil.which("dp", path=ENVIRONMENT["PATH"])
    folder.mkdir()
    (folder / "dp").write_text(KILLER.format(dp=dp, tries=folder, signal=signal, when=when))
    (folder / "dp").chmod(0o755)
    for member, count in zip(("000", "001"), tries, strict=True):
        (folder / member).write_text("x\n" * count)
    return {"PATH": f"{folder}{os.pathsep}{ENVIRONMENT['PATH']}"}


def longer(run, stage):
    """Trainings that save in between."""
    param = run.param
    param["default_training_param"]["training"].update(disp_freq=10, save_freq=10)
    param["ipip"]["pretrain"]["numb_steps"] = 200
    param["default_training_param"]["training"]["numb_steps"] = 200 if stage == "finetune" else 40
    run.param = param


@pytest.mark.fault("pretraining is killed as by a lack of memory, once", "it goes on from its checkpoint")
def test_a_pretraining_killed_once_goes_on(finished, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "")
    longer(run, "pretrain")
    environment = killer(tmp_path / "wrapper", (1, 0))
    folder = run.folder / "iter.000000/00.ipip/pretrain"
    stages.start_until_exists(run, "iter.000000/00.ipip/pretrain/done", **environment)
    calls = (tmp_path / "wrapper/calls").read_text().splitlines()
    assert sorted("--restart" in call for call in calls) == [False, False, True]
    shown = np.loadtxt(folder / "000/lcurve.out")[:, 0]
    assert shown[0] == 0 and shown[-1] == 200
    assert np.diff(shown).min() >= -10  # a row may have been shown after the last checkpoint
    assert np.count_nonzero(shown == 0) == 1


@pytest.mark.fault("a training is killed whenever it runs", "four tries, then one line that says so")
def test_a_training_that_is_always_killed(finished, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "")
    environment = killer(tmp_path / "wrapper", (9, 9), when="1")
    message = stages.one_line(stages.start(run, **environment))
    assert "failed in iter.000000/00.ipip/pretrain" in message
    assert "ends with: Killed (from outside: out of memory, or out of time?)" in message
    assert len((tmp_path / "wrapper/calls").read_text().splitlines()) == 8  # 2 students, dpdispatcher tries 4 times
    assert not (run.folder / "iter.000000/00.ipip/pretrain/done").exists()


@pytest.mark.full
@pytest.mark.parametrize("signal", ["TERM", "KILL"])
@pytest.mark.fault("fine-tuning is killed at its time limit", "it goes on from its checkpoint")
def test_a_fine_tuning_killed_once_goes_on(finished, tmp_path, signal):
    run = stages.rewind(finished, tmp_path / "run", "")
    for name in ("pretrain", "forgotten"):
        folder = f"iter.000000/00.ipip/{name}"
        shutil.copytree(finished.folder / folder, run.folder / folder, symlinks=True)
    longer(run, "finetune")
    change(run, pretrain=finished.param["ipip"]["pretrain"])
    environment = killer(tmp_path / "wrapper", (1, 1), signal=signal)
    stages.start_until(run, "0 1", **environment)
    calls = (tmp_path / "wrapper/calls").read_text().splitlines()
    trains = [call for call in calls if call.startswith("train")]
    assert sum("--restart model.ckpt" in call for call in trains) == 2
    assert sum("--init-model old/model.ckpt" in call for call in trains) == 2
    for member in ("000", "001"):
        curve = np.loadtxt(run.folder / "iter.000000/00.train" / member / "lcurve.out")
        assert curve[-1, 0] == 200


@pytest.mark.full
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.fault("a training diverges to NaN", "one line; with another learning rate it starts anew")
def test_a_training_that_diverges(finished, tmp_path, stage):
    run = stages.rewind(finished, tmp_path / "run", "")
    if stage == "finetune":
        for name in ("pretrain", "forgotten"):
            folder = f"iter.000000/00.ipip/{name}"
            shutil.copytree(finished.folder / folder, run.folder / folder, symlinks=True)
    param = run.param
    param["default_training_param"]["learning_rate"].update(start_lr=1e300, stop_lr=1e299)
    run.param = param
    message = stages.one_line(stages.start(run))
    where = {"pretrain": "iter.000000/00.ipip/pretrain", "finetune": "iter.000000/00.train"}[stage]
    assert where in message and "lower learning_rate.start_lr" in message
    run.param = finished.param
    stages.start_until(run, "0 1")
    curves = "iter.000000/00.train/*/lcurve.out"
    assert [path.read_bytes() for path in sorted(run.folder.glob(curves))] == [
        path.read_bytes() for path in sorted(finished.folder.glob(curves))
    ]


# ---- tasks


@pytest.mark.parametrize(("dying", "wanted"), [(26, "goes on"), pytest.param(27, "stops", marks=pytest.mark.full)])
@pytest.mark.fault("teacher MD of some structures dies three times", "with half of them or more the run goes on")
def test_structures_whose_teacher_md_dies(tmp_path, dying, wanted):
    run = short(tmp_path / "run")
    start = dpdata.System(str(run.folder / "structures/mos2_mono27.vasp"), fmt="vasp/poscar")
    (run.folder / "structures/mos2_mono27.vasp").unlink()
    start.to("vasp/poscar", str(run.folder / "structures/a.vasp"))
    start.data["coords"][0, 0, 2] += 0.1
    start.to("vasp/poscar", str(run.folder / "structures/b.vasp"))
    start.pick_atom_idx(slice(0, 26)).to("vasp/poscar", str(run.folder / "structures/c.vasp"))
    param = run.param
    param["sys_configs"] = [["*.vasp"]]
    param["ipip"].update(
        teacher={**failing(1.0, "die"), "kwargs": {"share": 1.0, "how": "die", "n_atoms": dying}},
        teacher_md={"temperatures": [300], "nsteps": 20, "interval": 10},
    )
    run.param = param
    seed = run.folder / "iter.000000/00.ipip/seed"
    if wanted == "stops":
        message = stages.one_line(stages.start(run))
        assert "ipip md start labels" in message
        assert not (seed / "done").exists()
        return
    said = stages.start_until_exists(run, "iter.000000/00.ipip/seed/done")
    assert "going on without 1 of 3 tasks" in said
    assert list(json.loads((seed / "failed.json").read_text())) == ["task.000.0002"]
    assert n_frames(run.folder / "iter.000000/00.ipip/pool") == 4
