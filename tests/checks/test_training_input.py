# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a training input may hold, by DeePMD-kit's names and by what pseudo-labels can serve."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.checks.conftest import REMOVED, found

INPUT = "default_training_param"
STEPS = f"{INPUT}.training.numb_steps"
MODEL = f"{INPUT}.model"


@pytest.mark.parametrize(
    "changes",
    [
        *({STEPS: REMOVED, f"{INPUT}.training.{name}": 400} for name in ("stop_batch", "num_steps", "num_step")),
        {f"{MODEL}.descriptor.type": "se_a"},
        {f"{MODEL}.descriptor.axis_neuron": REMOVED, f"{MODEL}.descriptor.n_axis_neuron": 4},
        {f"{INPUT}.training.validation_data": {"systems": ["../data.init/data/train"]}},
        {f"{INPUT}.training.validation_data": {"systems": "../../../data/held_out"}},
    ],
)
def test_what_deepmd_kit_takes_is_taken(run, changes):
    assert found(run, changes) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({STEPS: REMOVED, f"{INPUT}.training.num_epoch": 2},
         "training.num_epoch: trainings of an IPIP run are counted in steps: give numb_steps, found 2"),
        ({STEPS: REMOVED, f"{INPUT}.training.stop_batch": 0},
         "training.stop_batch: expected an integer greater than 0, found 0"),
        ({f"{INPUT}.training.num_steps": 400},
         "training.num_steps: another name of numb_steps, which is there, too; remove one of the two"),
        ({f"{INPUT}.training.disp_file": "curve.txt"},
         "training.disp_file: expected lcurve.out, where DP-GEN looks for it, found curve.txt"),
        ({f"{INPUT}.training.save_ckpt": "ckpt"},
         "training.save_ckpt: expected model.ckpt, where DP-GEN looks for it, found ckpt"),
        ({f"{MODEL}.descriptor.type": "se_a", f"{MODEL}.descriptor.sel": [40]},
         'model.descriptor.sel: expected a number for each of ["Mo", "S"], found [40]'),
        ({f"{MODEL}.fitting_net.numb_fparam": 1},
         "model.fitting_net.numb_fparam: pseudo-labels have no frame or atomic parameters; remove the key, found 1"),
        ({f"{MODEL}.fitting_net.type": "dipole", f"{MODEL}.fitting_net.sel_type": [0]},
         'model.fitting_net.type: expected "ener": pseudo-labels are energies, forces and virials, found "dipole"'),
        ({f"{MODEL}.spin": {"use_spin": ["Mo"], "virtual_scale": [0.3]}, "train_backend": "pytorch"},
         "model.spin: pseudo-labels have no spins; remove the key, found "),
        ({f"{INPUT}.training.validation_data": {"systems": ["data/held_out"]}},
         "training.validation_data.systems: expected folders that the training finds: "),
        ({f"{INPUT}.training.validation_data": {"systems": ["/no/such/folder"]}},
         "training.validation_data.systems: expected folders that the training finds: "),
    ],
)  # fmt: skip
def test_what_a_run_cannot_use_is_refused(run, changes, line):
    (message,) = found(run, changes)
    assert message.startswith(f"param.json: {INPUT}.{line}")


def test_validation_data_of_a_machine_that_copies_are_those_it_gets(run):
    local = {
        "train.machine": {"batch_type": "Shell", "context_type": "LocalContext", "local_root": "./", "remote_root": "."}
    }
    shutil.copytree("data/held_out", "data/other")
    for name, taken in {
        "../../../data/held_out": False,
        "../data.init/data/other": False,
        str(Path.cwd()): True,
    }.items():
        changes = {f"{INPUT}.training.validation_data": {"systems": [name]}}
        assert bool(found(run, changes, local)) != taken
