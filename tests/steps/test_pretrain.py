# SPDX-License-Identifier: LGPL-3.0-or-later
"""Training inputs and learning curves."""

from __future__ import annotations

import copy
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch
from ipip_dp.steps import pretrain

SYSTEMS = ["../pool/Mo9S18"]
FIRST_WORDS = {"tensorflow": "train", "pytorch": "--pt", "pytorch-exportable": "--pt-expt"}


NO_ENERGIES = {"start_pref_e": 0, "limit_pref_e": 0}
ONLY_FORCES = {"start_pref_f": 1, "limit_pref_f": 1}
WITHOUT = {"start_pref_f": 0, "limit_pref_f": 0}


@pytest.mark.parametrize(
    ("fine_tuning", "own", "changed"),
    [
        ({}, None, {}),
        ({"start_pref_f": 1000, "limit_pref_f": 1, "start_pref_v": 0.02, "limit_pref_v": 1}, None, {}),
        ({"limit_pref_v": 1}, {"start_pref_v": 3, "limit_pref_v": 0}, {"start_pref_v": 3, "limit_pref_v": 0}),
        (WITHOUT, None, ONLY_FORCES),
        ({"limit_pref_f": 0}, None, {}),
    ],
)
def test_what_is_left_without_energies_is_weighed_as_in_fine_tuning(fine_tuning, own, changed):
    template = {"type": "ener", "start_pref_e": 1, **fine_tuning}
    assert pretrain.loss(template, own) == {**template, **NO_ENERGIES, **changed}


def test_the_default_input_is_trained_without_energies(context):
    found = pretrain.training_input(context, 0, SYSTEMS)
    default = context.jdata["default_training_param"]
    assert found["loss"] == {**default["loss"], **NO_ENERGIES}
    assert found["learning_rate"] == default["learning_rate"]
    assert found["training"]["training_data"] == {"systems": SYSTEMS, "batch_size": "auto"}
    assert found["training"]["numb_steps"] == 600
    assert found["model"]["type_map"] == ["Mo", "S"]
    assert found["model"]["fitting_net"]["neuron"] == default["model"]["fitting_net"]["neuron"]


def test_pretraining_may_have_a_learning_rate_of_its_own(make_context):
    rate = {"type": "cosine", "start_lr": 0.003, "stop_lr": 1e-6}
    context = make_context(ipip={"pretrain": {"learning_rate": rate}})
    assert pretrain.training_input(context, 0, SYSTEMS)["learning_rate"] == rate
    assert context.jdata["default_training_param"]["learning_rate"] != rate


def test_an_own_input_keeps_its_loss(make_context):
    own = copy.deepcopy(make_context().jdata["default_training_param"])
    own["loss"]["start_pref_e"] = 0.5
    own["training"] |= {
        "stop_batch": 7,
        "validation_data": {"systems": ["elsewhere"]},
        "training_data": {"systems": ["elsewhere"], "batch_size": "mixed:64"},
        "disp_file": "own.out",
        "save_ckpt": "own.ckpt",
    }
    context = make_context(ipip={"pretrain": {"numb_steps": 50, "training_param": own}})
    found = pretrain.training_input(context, 0, SYSTEMS)
    assert found["loss"] == own["loss"]
    training = found["training"]
    assert training["training_data"] == {"systems": SYSTEMS, "batch_size": "mixed:64"}
    assert training["numb_steps"] == 50
    assert "stop_batch" not in training and "validation_data" not in training
    assert (training["disp_file"], training["save_ckpt"]) == ("lcurve.out", "model.ckpt")


def test_a_list_of_batch_sizes_cannot_fit_the_pool(make_context):
    own = copy.deepcopy(make_context().jdata["default_training_param"])
    own["training"]["training_data"] = {"systems": ["a", "b"], "batch_size": [1, 2]}
    context = make_context(ipip={"pretrain": {"training_param": own}})
    assert pretrain.training_input(context, 0, SYSTEMS)["training"]["training_data"]["batch_size"] == "auto"


def seeds(found):
    model = found["model"]
    descriptor = model["descriptor"]
    parts = [part["seed"] for part in descriptor.get("list", [descriptor])]
    return [*parts, model["fitting_net"]["seed"], found["training"]["seed"]]


def test_every_student_and_every_iteration_has_its_own_seeds(make_context):
    first, again = (pretrain.training_input(make_context(), 0, SYSTEMS) for _ in range(2))
    other = pretrain.training_input(make_context(), 1, SYSTEMS)
    later = pretrain.training_input(make_context(1), 0, SYSTEMS)
    assert first == again
    found = [*seeds(first), *seeds(other), *seeds(later)]
    assert len(set(found)) == len(found) == 9


def test_the_parts_of_a_hybrid_descriptor_have_their_own_seeds(make_context):
    own = copy.deepcopy(make_context().jdata["default_training_param"])
    part = own["model"]["descriptor"]
    own["model"]["descriptor"] = {"type": "hybrid", "list": [part, {**part, "rcut": 4.0}]}
    found = seeds(pretrain.training_input(make_context(default_training_param=own), 0, SYSTEMS))
    assert len(set(found)) == len(found) == 4


def test_a_list_of_inputs_is_one_per_student(make_context):
    default = make_context().jdata["default_training_param"]
    inputs = [copy.deepcopy(default) for _ in range(2)]
    inputs[1]["model"]["descriptor"]["neuron"] = [4, 8]
    context = make_context(default_training_param=inputs)
    neurons = [pretrain.training_input(context, i, SYSTEMS)["model"]["descriptor"]["neuron"] for i in (0, 1)]
    assert neurons == [default["model"]["descriptor"]["neuron"], [4, 8]]


def test_one_student_may_be_pretrained_for_all(make_context):
    context = make_context(ipip={"pretrain": {"numb_models": 1}, "forget": {"at": "both"}})
    assert context.students == [0, 1]
    assert context.pretrained_students == [0]


def typed(context, folder):
    """What the training command of a task gives to dp."""
    dp = folder.parent.resolve() / "dp"
    dp.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    dp.chmod(0o755)
    environment = {"PATH": f"{dp.parent}:/usr/bin:/bin"}
    shell = shlex.join(pretrain.command(context))
    return subprocess.check_output(["sh", "-c", shell], cwd=folder, env=environment, text=True).splitlines()


@pytest.mark.parametrize("backend", FIRST_WORDS)
def test_an_interrupted_training_goes_on_from_its_checkpoint(make_context, tmp_path, backend):
    machine = dispatch.dp_command(make_context().mdata)
    assert machine == "dp"
    context, task = make_context(1, train_backend=backend), tmp_path / "task"
    task.mkdir()
    assert typed(context, task)[-2:] == ["--init-model", "init/model.ckpt"]
    (task / context.backend.restart_file).touch()
    assert typed(context, task)[-2:] == ["--restart", "model.ckpt"]
    assert typed(context, task)[0] == FIRST_WORDS[backend]


def test_a_training_killed_while_it_links_its_checkpoint_goes_on_from_the_last_whole_one(make_context, tmp_path):
    context, task = make_context(1), tmp_path / "task"
    task.mkdir()
    names = ("data-00000-of-00001", "index", "meta")
    for number, step in enumerate((10, 20, 30)):
        for name in names[: 2 if step == 30 else 3]:  # .meta is written last
            (task / f"model.ckpt-{step}.{name}").touch()
            os.utime(task / f"model.ckpt-{step}.{name}", (number, number))
    assert typed(context, task)[-2:] == ["--init-model", "init/model.ckpt"]  # saves of an input that has changed since
    (task / "model.ckpt.index").symlink_to("model.ckpt-20.index")
    (task / "model.ckpt.data-00000-of-00001").symlink_to("model.ckpt-10.data-00000-of-00001")
    assert typed(context, task)[-2:] == ["--restart", "model.ckpt"]
    assert [str((task / f"model.ckpt.{name}").readlink()) for name in names] == [f"model.ckpt-20.{n}" for n in names]
    (task / "model.ckpt.index").unlink()
    assert typed(context, task)[-2:] == ["--restart", "model.ckpt"]


@pytest.mark.parametrize("backend", FIRST_WORDS)
def test_a_training_whose_links_lead_nowhere_begins_anew(make_context, tmp_path, backend):
    """As when max_ckpt_keep is 1, and it is killed between the removal of the old save and the end of the new one."""
    context, task = make_context(1, train_backend=backend), tmp_path / "task"
    task.mkdir()
    for name in context.backend.checkpoint_files:
        (task / name).symlink_to(name.replace("model.ckpt", "model.ckpt-10"))
    assert typed(context, task)[-2:] == ["--init-model", "init/model.ckpt"]


def test_the_first_training_starts_from_a_pretrained_model(make_context):
    init_from = {"model": "data/dpa.pt", "branch": "Omat 24's"}
    context = make_context(train_backend="pytorch")
    (context.iteration.pool / "Mo9S18").mkdir(parents=True)
    with_model = replace(context.params, pretrain=replace(context.params.pretrain, init_from=init_from))
    context = replace(context, params=with_model)
    Path("data/dpa.pt").touch()
    pretrain.prepare(context)
    assert (context.iteration.pretrain / "001/init/pretrained.pt").resolve() == Path("data/dpa.pt").resolve()
    wanted = ["--finetune", "init/pretrained.pt", "--model-branch", "Omat 24's"]
    assert typed(context, context.iteration.pretrain)[-4:] == wanted
    later = replace(make_context(1, train_backend="pytorch"), params=with_model)
    assert "--finetune" not in pretrain.command(later)[2]


def test_tasks_link_the_pool_and_the_forgotten_checkpoints(make_context):
    context = make_context(1)
    (context.iteration.pool / "Mo9S18" / "set.000000").mkdir(parents=True)
    (context.iteration.pool / "Mo9S18" / "type.raw").touch()
    assert pretrain.prepare(context) == ["000", "001"]
    work_path = context.iteration.pretrain
    assert (work_path / "pool").resolve() == context.iteration.pool.resolve()
    start = work_path / "001" / "init" / "model.ckpt.meta"
    assert (
        Path(start.parent, start.readlink()).resolve()
        == (context.iteration.handover("pretrain") / "001" / "model.ckpt.meta").resolve()
    )


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_training_that_diverged_is_an_error(tmp_path, value):
    curve = tmp_path / "lcurve.out"
    curve.write_text(f"# step rmse_val rmse_trn lr\n0 1.0 1.0 1e-3\n10 1.0 {value} 1e-4\n")
    with pytest.raises(IpipError, match=r"lcurve.out: the training diverged \(NaN at step 10\)"):
        pretrain.check_learning_curve(curve)


def test_a_training_that_converged_is_not(tmp_path):
    curve = tmp_path / "lcurve.out"
    curve.write_text("# step rmse_trn rmse_v_trn lr\n# a note\n0 nan nan 1e-3\n10 1.0 nan 1e-4\n")  # no virials
    pretrain.check_learning_curve(curve)
    curve.write_text("# step rmse_trn lr\n")
    pretrain.check_learning_curve(curve)
