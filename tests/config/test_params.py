# SPDX-License-Identifier: LGPL-3.0-or-later
"""Every key of the ``ipip`` section with a value it cannot have."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipip_dp.config.params import Params, ipip_argument, param_json_argument
from tests.checks.conftest import REMOVED, found

TEMPERATURES = "expected a list of temperatures in K, all greater than 0"


# Key path, value, what is said about it.
WRONG_VALUES = [
    ("ipip", REMOVED, "missing; expected an object {...}"),
    ("ipip", [], "expected an object {...}, found []"),
    ("ipip.pool", 3, "expected an object {...}, found 3"),
    ("ipip.pool.retention", 2, "expected a number between 0 and 1, found 2"),
    ("ipip.pool.retention", "0.5", 'expected a number between 0 and 1, found "0.5"'),
    ("ipip.pool.retention", True, "expected a number between 0 and 1, found true"),
    ("ipip.pool.retention", float("nan"), "expected a number between 0 and 1, found NaN"),
    ("ipip.pool.keep_iterations", -1, "expected an integer of 0 or more, found -1"),
    ("ipip.pool.keep_iterations", 1.5, "expected an integer of 0 or more, found 1.5"),
    ("ipip.seed", -1, "expected an integer of 0 or more, found -1"),
    ("ipip.seed", True, "expected an integer of 0 or more, found true"),
    ("ipip.check_interval", 0, "expected a number greater than 0, found 0"),
    ("ipip.stop.patience", 0, "expected an integer greater than 0, found 0"),
    ("ipip.pretrain.numb_steps", True, "expected an integer greater than 0, found true"),
    ("ipip.pretrain.numb_steps", None, "expected an integer greater than 0, found null"),
    ("ipip.pretrain.numb_models", 2, "expected 1 or null, found 2"),
    ("ipip.pretrain.numb_models", True, "expected 1 or null, found true"),
    ("ipip.pretrain.learning_rate", 0.005, "expected an object {...} or null, found 0.005"),
    ("ipip.pretrain.learning_rate.start_lr", -1, "expected a number greater than 0, found -1"),
    ("ipip.pretrain.training_param", "input.json", 'expected an object {...} or null, found "input.json"'),
    ("ipip.forget.method", "reinti", 'expected one of reinit, shrink_perturb, none, found "reinti"'),
    ("ipip.forget.at", "both ", 'expected one of pretrain, finetune, both, found "both "'),
    ("ipip.forget.scope", "layer2",
     'expected fitting_net, or layers joined by commas as in layer_2,final_layer, found "layer2"'),
    ("ipip.relabel.max_candidates", -5, "expected an integer of 0 or more, found -5"),
    ("ipip.gate.max_force", -1.0, "expected a number greater than 0 or null, found -1.0"),
    ("ipip.teacher_md.temperatures", [], f"{TEMPERATURES}, found []"),
    ("ipip.teacher_md.temperatures", 300, f"{TEMPERATURES}, found 300"),
    ("ipip.teacher_md.temperatures", [300, "600"], f'{TEMPERATURES}, found [300, "600"]'),
    ("ipip.init.temperatures", [300, -600], f"{TEMPERATURES}, found [300, -600]"),
    ("ipip.init.train_frames", 0, "expected an integer greater than 0, found 0"),
    ("ipip.held_out", REMOVED, "missing; expected a list of strings or a string"),
    ("ipip.held_out", [], "expected at least one data folder, found []"),
    ("ipip.held_out", "", 'expected at least one data folder, found ""'),
    ("ipip.held_out", [7], "expected at least one data folder, found [7]"),
    ("ipip.held_out", {"a": "b"}, 'expected at least one data folder, found {"a": "b"}'),
    ("ipip.teacher", REMOVED, "missing; expected an object {...}"),
    ("ipip.teacher.type", REMOVED, "missing; expected one of ase, dp, lammps"),
    ("ipip.teacher.type", "lamps", 'expected one of ase, dp, lammps, found "lamps"; did you mean lammps?'),
    ("ipip.teacher.type", 3, "expected one of ase, dp, lammps, found 3"),
    ("ipip.teacher.elements", [], "expected at least one element, found []"),
    ("ipip.teacher.elements", "Mo S", 'expected at least one element, found "Mo S"'),
    ("ipip.teacher.pair_style", ["sw/mod"],
     "expected the arguments of one LAMMPS command, without any of $ & # ; `, and with every quote closed, "
     'found ["sw/mod"]'),
    ("ipip.teacher.command", " ", 'expected a command, found " "'),
    ("ipip.reference.calculator", "tblite.ase",
     'expected "module:Class", for example "tblite.ase:TBLite", found "tblite.ase"'),
    ("ipip.reference.kwargs", "GFN1-xTB", 'expected an object {...}, found "GFN1-xTB"'),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "text"), WRONG_VALUES)
def test_wrong_value(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {key}: {text}"]


def test_every_default_is_an_allowed_value(run):
    section = ipip_argument().normalize_value({key: run.param["ipip"][key] for key in ("held_out", "teacher")})
    assert found(run, {"ipip": {**section, "reference": run.param["ipip"]["reference"]}}) == []


def params(run, **changes):
    return Params.from_jdata({"ipip": ipip_argument().normalize_value({**run.param["ipip"], **changes})})


def test_one_held_out_folder_needs_no_list(run):
    assert params(run, held_out="data/held_out").held_out == (Path("data/held_out"),)
    assert params(run, held_out=["a", "b"]).held_out == (Path("a"), Path("b"))


def test_init_has_the_temperatures_of_the_teacher_unless_it_has_its_own(run):
    assert params(run, init={}).init.temperatures == (300, 800)
    assert params(run, init={"temperatures": [50]}).init.temperatures == (50,)


def test_the_section_is_needed_for_a_run_of_ours_only():
    assert ipip_argument(optional=True).optional and not ipip_argument().optional
    assert param_json_argument().sub_fields["ipip"].optional, "stock DP-GEN has none"
