# SPDX-License-Identifier: LGPL-3.0-or-later
"""The trainings, and what forgetting and the hand-over between them rely on."""

from __future__ import annotations

import pytest

from tests.checks.conftest import REMOVED, found

WRONG_VALUES = [
    ("numb_models", 0, "expected an integer of at least 2, found 0"),
    ("numb_models", -2, "expected an integer of at least 2, found -2"),
    ("numb_models", 1, "expected an integer of at least 2, found 1"),
    ("train_backend", "jax", 'expected tensorflow or pytorch or pytorch-exportable, which can forget; found "jax"'),
    ("training_finetune_model", ["a.pb"], "an IPIP run starts every training from its own checkpoints; remove the key"),
    ("default_training_param.model.descriptor", REMOVED,
     "missing; expected a DeePMD-kit training input with its model"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "text"), WRONG_VALUES)
def test_wrong_value(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {key}: {text}"]


CONFLICTS = [
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
    ("init_data_prefix", REMOVED, 'init_data_prefix: missing; DP-GEN needs it: "." is the run folder'),
    (
        "model_format",
        "pth",
        "train_backend, model_format: The model format pth is not available for backend tensorflow. "
        "Supported formats are: 'pb'.",
    ),
    ("training_reuse_old_ratio", 1.5, "training_reuse_old_ratio: expected a number between 0 and 1, found 1.5"),
    (
        "training_reuse_old_ratio",
        "auto:0",
        'training_reuse_old_ratio: expected a number, auto or auto:NUMBER, found "auto:0"',
    ),
    ("init_batch_size", [0], 'init_batch_size: expected a list of integers greater than 0 or "auto", found [0]'),
    (
        "sys_batch_size",
        ["auto:32"],
        'sys_batch_size: expected a list of integers greater than 0 or "auto", found ["auto:32"]',
    ),
    ("init_batch_size", [], "init_batch_size: expected a size for each of the 1 entries of init_data_sys, found 0"),
    (
        "default_training_param.training.disp_freq",
        0,
        "default_training_param.training.disp_freq: expected an integer greater than 0, found 0",
    ),
    (
        "default_training_param.model.descriptor.sel",
        [24],
        'default_training_param.model.descriptor.sel: expected a number for each of ["Mo", "S"], found [24]',
    ),
    (
        "default_training_param.model.descriptor.rcutt",
        6.0,
        "default_training_param.model.descriptor.rcutt: unknown key; did you mean rcut?",
    ),
    (
        "default_training_param.model.descriptor.rcut_smth",
        6.5,
        "default_training_param.model.descriptor.rcut_smth: expected at most rcut, 6.0, found 6.5",
    ),
    (
        "ipip.pretrain.learning_rate",
        {"type": "exp", "start_lr": 0.0},
        "ipip.pretrain.learning_rate.start_lr: expected a number greater than 0, found 0.0",
    ),
]


@pytest.mark.parametrize(("key", "value", "text"), CONFLICTS)
def test_conflict(run, key, value, text):
    renamed = {"default_training_param.model.descriptor.rcut": REMOVED} if key.endswith(".rcutt") else {}
    assert found(run, {**renamed, key: value}) == [f"param.json: {text.format(folder=run.folder)}"]


FORCES = {"start_pref_f": 10, "start_pref_e": 0, "limit_pref_e": 0}


def test_pretraining_on_energies_of_two_zeros_is_refused(run):
    """In the pool are labels of the teacher and of students, unless the teacher labels every frame."""
    training = {**run.param["default_training_param"], "loss": {**FORCES, "start_pref_e": 0.02}}
    (line,) = found(run, {"ipip.pretrain.training_param": training})
    assert line.startswith("param.json: ipip.pretrain.training_param.loss.start_pref_e: expected 0, found 0.02; ")
    del training["loss"]  # DeePMD-kit's own default has one, too
    assert len(found(run, {"ipip.pretrain.training_param": training})) == 2
    assert found(run, {"ipip.pretrain.training_param": training, "ipip.relabel.max_in_domain": 0}) == []


@pytest.mark.parametrize("part", ["descriptor", "fitting_net"])
def test_pretraining_another_model_cannot_be_fine_tuned(run, part):
    training = {**run.param["default_training_param"], "loss": FORCES}
    training["model"][part]["neuron"] = [4, 4]
    (line,) = found(run, {"ipip.pretrain.training_param": training})
    path = f"training_param.model.{part}.neuron: "
    assert line.startswith(f"param.json: ipip.pretrain.{path}[4, 4] differs from default_{path}")


def test_pretraining_may_have_another_loss_and_other_seeds(run):
    training = run.param["default_training_param"]
    training["loss"] = FORCES
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
    training = {**run.param["default_training_param"], "loss": FORCES}
    rate = {"type": "exp", "start_lr": 0.001}
    (line,) = found(run, {"ipip.pretrain.training_param": training, "ipip.pretrain.learning_rate": rate})
    assert line.endswith("learning_rate: ipip.pretrain.training_param has one of its own; remove one of the two")


def test_a_training_input_per_student_needs_one_each(run):
    training = run.param["default_training_param"]
    (line,) = found(run, {"default_training_param": [training]})
    assert line == "param.json: default_training_param: expected numb_models = 2 entries, found 1"


def test_no_exploration_needs_no_second_student(run):
    assert found(run, {"numb_models": 1, "model_devi_jobs": []}) == []


def test_compression_needs_statistics_only_with_a_backend_that_takes_them(run):
    pytorch = {"train_backend": "pytorch", "dp_compress": True, "dp_train_skip_neighbor_stat": True}
    assert found(run, pytorch) == []


@pytest.mark.parametrize(
    "changes",
    [{"training_reuse_old_ratio": "auto:3"}, {"init_batch_size": ["auto"]}, {"sys_batch_size": []}],
    ids=str,
)
def test_values_that_dpgen_knows_are_no_problem(run, changes):
    assert found(run, changes) == []


DPA4C = {"type": "dpa4c", "rcut": 6.0, "channels": 8, "precision": "float32"}
DPA4 = {"type": "dpa4", "descriptor": {"rcut": 6.0, "channels": 8}, "fitting_net": {"neuron": [0]}}
DPA4C_STUDENTS = {"train_backend": "pt-expt", "default_training_param.model.descriptor": DPA4C}
DPA4_STUDENTS = {"train_backend": "pytorch", "model_format": "pt2", "default_training_param.model": DPA4}


@pytest.mark.parametrize("students", [DPA4_STUDENTS, DPA4C_STUDENTS, {"train_backend": "pytorch-exportable"}])
def test_what_dp_gen_compiles_is_accepted(run, students):
    assert found(run, students) == []


@pytest.mark.parametrize(
    ("param", "machine", "message"),
    [
        ({**DPA4_STUDENTS, "model_format": "pth"}, {}, "DPA4 LAMMPS model deviation requires model_format='pt2'"),
        ({**DPA4C_STUDENTS, "train_backend": "pytorch"}, {}, "DPA4C training requires train_backend='pytorch-expor"),
        ({**DPA4_STUDENTS, "dp_compress": True}, {}, "dp_compress: DeePMD-kit's pytorch backend cannot compress a pt2"),
        ({**DPA4C_STUDENTS, "dp_compress": True}, {}, "precision are the same; found float32 and float64"),
        ({**DPA4C_STUDENTS, "model_format": "pte"}, {}, "The pte model format is not supported by LAMMPS"),
        (DPA4C_STUDENTS, {"deepmd_version": "3.1.0"}, "pt2 needs DeePMD-kit 3.2 or later; machine.json has"),
    ],
)  # fmt: skip
def test_backend_format_and_model_go_together(run, param, machine, message):
    (line,) = found(run, param, machine)
    assert message in line


def test_a_compiler_is_needed_where_students_are_compiled(run, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    (line,) = found(run, DPA4C_STUDENTS)
    assert "there is no C++ compiler no-such-compiler on this machine" in line
    elsewhere = {"model_devi.resources.source_list": ["env.sh"]}
    assert found(run, DPA4C_STUDENTS, elsewhere) == []


def pretrained(folder, heads=("Omat24", "Oc20"), type_map=("Mo", "S"), **changes):
    """A checkpoint with heads, as far as a check reads it."""
    torch = pytest.importorskip("torch")
    descriptor = {"type": "se_e2_a", "sel": [24, 40], "rcut_smth": 0.5, "rcut": 6.0, "neuron": [8, 16], "seed": 7}
    descriptor = {**descriptor, "axis_neuron": 4, "type_one_side": True, **changes}
    branch = {"type_map": list(type_map), "descriptor": descriptor, "fitting_net": {"neuron": [32, 32]}}
    model = {"model_dict": dict.fromkeys(heads, branch)} if heads else branch
    state = {"_extra_state": {"model_params": model}, "layer.matrix": torch.zeros(1)}
    torch.save({"model": state}, folder / "dpa.pt")


START = {"train_backend": "pytorch", "ipip.pretrain.init_from.model": "dpa.pt"}


def test_a_pretrained_model_of_the_same_architecture_is_accepted(run):
    pretrained(run.folder)
    assert found(run, {**START, "ipip.pretrain.init_from.branch": "omat24"}) == []
    assert found(run, {**START, "ipip.pretrain.init_from.branch": "RANDOM"}) == []
    pretrained(run.folder, heads=())
    assert found(run, START) == []


@pytest.mark.parametrize(
    ("param", "checkpoint", "message"),
    [
        ({"ipip.pretrain.init_from.branch": "Omol"}, {}, 'expected a branch of dpa.pt, Omat24, Oc20; found "Omol"'),
        ({"ipip.pretrain.init_from.branch": None}, {}, "branch: expected a branch of dpa.pt, Omat24, Oc20; missing"),
        ({"ipip.pretrain.init_from.model": "dpa.pb"}, {}, 'expected a checkpoint .pt that exists, found "dpa.pb"'),
        ({"train_backend": "tensorflow"}, {}, "expected train_backend pytorch or pytorch-exportable"),
        ({"train_backend": "pt-expt"}, {}, "dpa.pt was trained with dp --pt, but train_backend is pytorch-exportable"),
        ({}, {"type_map": ("S", "Mo")}, 'dpa.pt has type_map ["S", "Mo"]; DeePMD-kit maps only that of'),
        ({}, {"rcut": 5.0}, "descriptor.rcut of dpa.pt is 5.0, that of default_training_param is 6.0"),
        ({"default_training_param.model.fitting_net.neuron": [8]}, {}, "fitting_net.neuron of dpa.pt is [32, 32]"),
    ],
)  # fmt: skip
def test_another_pretrained_model_is_refused(run, param, checkpoint, message):
    pretrained(run.folder, **checkpoint)
    (line,) = found(run, {**START, "ipip.pretrain.init_from.branch": "Omat24", **param})
    assert line.startswith("param.json: ipip.pretrain.init_from") and message in line


def test_no_checkpoint_is_no_pretrained_model(run):
    pytest.importorskip("torch")
    (run.folder / "dpa.pt").write_text("not a checkpoint")
    (line,) = found(run, START)
    assert "init_from.model: dpa.pt is no checkpoint of DeePMD-kit's PyTorch backends" in line


def test_the_head_of_a_teacher_is_one_of_its_checkpoint(run):
    pretrained(run.folder)
    teacher = {"type": "dp", "models": ["dpa.pt"], "head": "Omat24"}
    assert found(run, {"ipip.teacher": teacher}) == []
    (line,) = found(run, {"ipip.teacher": {**teacher, "head": "Omol"}})
    assert line == 'param.json: ipip.teacher.head: expected a branch of dpa.pt, Omat24, Oc20; found "Omol"'


def test_an_energy_prefactor_of_pretraining_counts_from_two_zeros(run):
    (line,) = found(run, {"ipip.pretrain.loss": {"limit_pref_e": 1}})
    assert line.startswith("param.json: ipip.pretrain.loss.limit_pref_e: expected 0, found 1; energies in the pool")
    assert found(run, {"ipip.pretrain.loss": {"limit_pref_e": 1}, "ipip.relabel.max_in_domain": 0}) == []
    (line,) = found(run, {"ipip.pretrain.loss": {"limit_pref_w": 1}})
    assert "ipip.pretrain.loss.limit_pref_w: unknown key" in line
