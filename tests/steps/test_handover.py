# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which checkpoint every training starts from."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ipip_dp.errors import IpipError
from ipip_dp.steps import handover

ONE = {"pretrain": {"numb_models": 1}, "forget": {"at": "both"}}


def test_pretraining_starts_from_the_previous_students(make_context):
    context = make_context(2)
    assert [handover.source(context, "pretrain", member) for member in (0, 1)] == [
        Path("iter.000001/00.train/000"),
        Path("iter.000001/00.train/001"),
    ]


def test_fine_tuning_starts_from_the_pretrained_students(make_context):
    assert [handover.source(make_context(2), "finetune", member) for member in (0, 1)] == [
        Path("iter.000002/00.ipip/pretrain/000"),
        Path("iter.000002/00.ipip/pretrain/001"),
    ]


def test_all_students_start_from_the_only_pretrained_one(make_context):
    context = make_context(1, ipip=ONE, numb_models=4)
    assert {handover.source(context, "finetune", member) for member in range(4)} == {
        Path("iter.000001/00.ipip/pretrain/000")
    }
    assert handover.prepare(context, "pretrain") == ["000"]
    assert handover.prepare(context, "finetune") == ["000", "001", "002", "003"]


def task_seeds(context, stage):
    return [
        json.loads((context.iteration.handover(stage) / task / "seed.json").read_text())
        for task in handover.prepare(context, stage)
    ]


def test_every_student_forgets_with_its_own_seed(make_context):
    found = [seed for k in (1, 2) for stage in ("pretrain", "finetune") for seed in task_seeds(make_context(k), stage)]
    assert len(set(found)) == len(found) == 8
    assert task_seeds(make_context(1), "pretrain") == found[:2]


def test_fine_tuning_gets_the_reference_data_for_its_bias(make_context):
    context = make_context(1)
    new = Path("iter.000000/02.fp/data.000/Mo9S18")
    (new / "set.000").mkdir(parents=True)
    (new / "type.raw").touch()
    handover.prepare(context, "finetune")
    data = context.iteration.handover("finetune") / "data"
    assert [Path(os.path.realpath(path)) for path in sorted(data.iterdir())] == [
        Path("data/train/Mo9S18").resolve(),
        new.resolve(),
    ]
    assert not (context.iteration.handover("pretrain") / "data").exists()


@pytest.mark.parametrize("new_labels", [False, True])
def test_old_and_new_data_are_drawn_as_told_also_without_new_ones(make_context, new_labels, monkeypatch):
    """With ``fp_task_max: 0``, say; DP-GEN's own input for DeePMD-kit, and DeePMD-kit's own draw."""
    from deepmd.utils.data_system import prob_sys_size_ext
    from dpgen.generator import run

    monkeypatch.setattr(run, "_check_empty_iter", lambda *_, **__: False)  # as loop.make_train does
    context = make_context(1, training_reuse_iter=1, training_reuse_old_ratio=0.2, fp_task_min=1)
    if new_labels:
        shutil.copytree("data/train", context.iteration.previous.fp / "data.000")
    for member in context.students:
        handed_over = context.iteration.handover("finetune") / f"{member:03d}"
        before = context.iteration.previous.student(member)
        for folder in (handed_over, before):
            folder.mkdir(parents=True)
            for name in (*context.backend.checkpoint_files, "checkpoint"):
                (folder / name).touch()
    run.make_train_dp(1, handover.fine_tuning(context), {"deepmd_version": "3.2.0"})
    data = json.loads((context.iteration.student(0) / "input.json").read_text())["training"]["training_data"]
    shares = prob_sys_size_ext(data["auto_prob"], len(data["systems"]), [1] * len(data["systems"]))
    assert list(shares) == ([0.2, 0.8] if new_labels else [1.0])


def test_a_checkpoint_that_is_not_there_is_an_error(context):
    folder = context.iteration.handover("finetune") / "000"
    folder.mkdir(parents=True)
    with pytest.raises(IpipError, match=r"000/model.ckpt.meta is missing although"):
        handover.collect(context, "finetune", ["000"])


def test_draws_are_made_where_the_settings_say(make_context):
    settings = {"method": "reinit", "at": "pretrain"}
    params = make_context(ipip={"forget": settings}).params.forget
    assert (params.method_at("pretrain"), params.method_at("finetune")) == ("reinit", "none")
    assert all(make_context(ipip=ONE).params.forget.method_at(s) == "shrink_perturb" for s in ("pretrain", "finetune"))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [({}, "export ATEN_CPU_CAPABILITY=default; true && dp"), ({"train_export_command": "dp"}, "dp")],
)
def test_students_are_compiled_by_a_command_that_compiles(context, given, wanted):
    changed = replace(context, mdata={**context.mdata, "train_command": "true && dp", **given})
    assert handover.exporting(changed)["train_export_command"] == wanted
