# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import pytest

from ipip_dp.new import effort, templates


def steps(name: str) -> dict[str, int]:
    param = templates.param("universal_teacher_ase_reference")
    effort.apply(param, name)
    ipip = param["ipip"]
    return {
        "pretraining": ipip["pretrain"]["numb_steps"],
        "fine-tuning": param["default_training_param"]["training"]["numb_steps"],
        "teacher MD": ipip["teacher_md"]["nsteps"],
        "data": ipip["init"]["train_frames"],
        "MD": sum(job["nsteps"] for job in param["model_devi_jobs"]),
    }


def test_more_effort_is_more_of_everything():
    few, usual, many = (steps(name) for name in ("try", "usual", "thorough"))
    assert all(few[what] < usual[what] < many[what] for what in usual)


def test_more_effort_keeps_fine_tuning_short_where_the_template_does():
    usual, many = (templates.param("dpa4c_student_sevennet_teacher_vasp") for _ in range(2))
    effort.apply(many, "thorough")
    for param in (usual, many):
        pretraining = param["ipip"]["pretrain"]["numb_steps"]
        assert pretraining == 10 * param["default_training_param"]["training"]["numb_steps"]
    assert many["ipip"]["pretrain"]["numb_steps"] > usual["ipip"]["pretrain"]["numb_steps"]


@pytest.mark.parametrize("name", effort.EFFORTS)
def test_frames_are_written(name):
    param = templates.param("universal_teacher_vasp")
    assert "init" not in param["ipip"]
    effort.apply(param, name)
    assert "init" not in param["ipip"]
    assert all(job["nsteps"] >= 20 * job["trj_freq"] for job in param["model_devi_jobs"])
    training = param["default_training_param"]["training"]
    assert 0 < training["disp_freq"] < training["save_freq"] < training["numb_steps"]
