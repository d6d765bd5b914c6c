# SPDX-License-Identifier: LGPL-3.0-or-later
"""One bad frame costs only itself, a labeler that cannot work is an error."""

from __future__ import annotations

import dpdata
import numpy as np
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.labelers import make_labeler
from ipip_dp.labelers.execute import Task, label_task, run_tasks

from .conftest import SW, TYPE_MAP, interleaved, label, mos2, write

LJ = {"type": "ase", "calculator": "ase.calculators.lj:LennardJones", "kwargs": {"sigma": 2.0}}


def test_one_failing_frame_of_a_lammps_chunk_costs_only_itself(monkeypatch):
    system = mos2(n_frames=9)
    driver_class = type(make_labeler(SW, TYPE_MAP))
    original = driver_class.label

    def fails_on_frame_5(self, data):
        if (data["coords"][:, 0] == system["coords"][5, 0]).all(axis=-1).any():
            raise RuntimeError("LAMMPS exited with status 1: ERROR: frame 5")
        return original(self, data)

    monkeypatch.setattr(driver_class, "label", fails_on_frame_5)
    summary = label(write(system))
    assert [(f.frame, f.reason) for f in summary.failures] == [
        (5, "RuntimeError: LAMMPS exited with status 1: ERROR: frame 5")
    ]
    labeled = dpdata.LabeledSystem("labels", fmt="ipip/labels")
    keep = [i for i in range(9) if i != 5]
    np.testing.assert_allclose(labeled["coords"], system["coords"][keep])


def test_setup_errors_are_not_blamed_on_frames():
    write(mos2(n_frames=3))
    with pytest.raises(IpipError, match="nrecognized pair style"):
        label("data", {**SW, "pair_style": "sw/nonsense"})


def tasks(*systems):
    return [Task(number, np.arange(len(system)), system) for number, system in enumerate(systems)]


def labels(outcomes):
    return {
        (outcome.group, frame): values["forces"] for outcome in outcomes for frame, values in outcome.labels.items()
    }


def test_processes_give_the_labels_that_one_gives():
    work = tasks(mos2(n_frames=2, seed=1), mos2(n_frames=3, seed=2))
    one, two = (labels(run_tasks(work, LJ, TYPE_MAP, workers)) for workers in (1, 2))
    assert one.keys() == two.keys() == {(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)}
    for place in one:
        np.testing.assert_array_equal(one[place], two[place])
    assert list(run_tasks([], LJ, TYPE_MAP, 2)) == []


DYING = """
import os
from ase.calculators.calculator import Calculator

class Dying(Calculator):
    implemented_properties = ["energy", "forces"]

    def calculate(self, *arguments, **options):
        os._exit(3)
"""


def test_a_process_that_dies_is_an_error_with_advice(tmp_path, monkeypatch):
    (tmp_path / "dying.py").write_text(DYING)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(IpipError, match="a labelling process died: out of memory, or a crash inside the labeler"):
        list(run_tasks(tasks(mos2(), mos2()), {"type": "ase", "calculator": "dying:Dying"}, TYPE_MAP, 2))


def test_frames_of_unknown_elements_are_not_even_tried():
    labeler = make_labeler(SW, TYPE_MAP)
    oxide = dpdata.System(interleaved(), fmt="ase/structure")
    (outcome,) = (label_task(labeler, task) for task in tasks(oxide))
    assert outcome.reasons == {0: "the labeler does not know O"} and outcome.labels == {}
