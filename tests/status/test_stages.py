# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which step is under way, by its folder; that a real run does them in this order is in test_state.py."""

from __future__ import annotations

import pytest

from ipip_dp import workdir
from ipip_dp.status import stages
from ipip_dp.workdir import Iteration
from tests.status.conftest import PARAM

FIRST, SECOND = Iteration(0), Iteration(1)
LEARNS = {**PARAM, "ipip": {**PARAM["ipip"], "teacher_fine_tune": {"command": "train"}}}


def now(param=PARAM, folder=None):
    stage = stages.under_way(param, folder)
    return stage.iteration, stage.name, stage.step


def after(index: int, task: int) -> None:
    for iteration in range(index + 1):
        for folder in ("00.train", "01.model_devi", "02.fp"):
            (Iteration(iteration).root / folder).mkdir(parents=True, exist_ok=True)
    lines = [f"{n // 9} {n % 9}\n" for n in range(index * 9 + task + 1)]
    workdir.RECORD.write_text("".join(lines))


def test_before_the_first_training_come_seed_and_pretraining(run_folder):
    assert now() == (0, "make_train", "seed")
    workdir.mark_done(FIRST.seed_pool)
    assert now() == (0, "make_train", "pretrain")
    assert now(LEARNS) == (0, "make_train", "fine-tune the teacher")
    workdir.mark_done(FIRST.pretrain)
    assert now() == (0, "make_train", "hand over")
    workdir.mark_done(FIRST.handover("finetune"))
    assert now() == (0, "make_train", "fine-tune")


def test_before_a_later_one_what_has_been_explored_is_measured_and_labelled(run_folder):
    after(0, 8)
    for folder, step in [
        (FIRST.on_policy, "measure"),
        (FIRST.relabel, "relabel"),
        (SECOND.handover("pretrain"), "forget"),
        (SECOND.pretrain, "pretrain"),
    ]:
        assert now() == now(LEARNS) == (1, "make_train", step)
        assert stages.under_way(PARAM, None).folder == folder
        workdir.mark_done(folder)


@pytest.mark.parametrize(
    ("task", "name", "step"),
    [
        (0, "run_train", "fine-tune"),
        (1, "post_train", "evaluate"),
        (2, "make_model_devi", "explore"),
        (3, "run_model_devi", "explore"),
        (5, "make_fp", "reference"),
        (6, "run_fp", "reference"),
    ],
)
def test_the_stage_follows_the_last_in_the_record(run_folder, task, name, step):
    after(1, task)
    assert now() == (1, name, step)
    assert now({}) == (1, name, "train" if task < 2 else step)


def test_where_the_run_waits_for_jobs_decides(run_folder):
    after(0, 8)
    assert now(folder="iter.000000/00.ipip/on_policy/audit") == (1, "make_train", "measure")
    assert now(folder="iter.000000/00.ipip/evaluate") == (1, "make_train", "evaluate")
    assert now(folder="init/train") == (1, "make_train", "measure")
