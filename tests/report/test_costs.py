# SPDX-License-Identifier: LGPL-3.0-or-later
"""Time and core hours are added up by step."""

from __future__ import annotations

import pytest

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.report import costs, run
from ipip_dp.workdir import Iteration


def job(folder, hours, cores, gpus=0):
    return {"folder": str(folder), "seconds": 3600.0 * hours, "cores": cores, "gpus": gpus}


def stage(hours, *jobs):
    return {"seconds": 3600.0 * hours, "dispatched": sum(each["seconds"] for each in jobs), "jobs": [*jobs]}


def test_steps_of_all_iterations_in_their_order(empty):
    for index in (0, 1):
        each = Iteration(index)
        training = stage(3.5, job(each.pretrain, 2, 8, 1), job(each.handover("finetune"), 1, 2))
        audit = stage(1, job(each.on_policy / "audit", 0.5, 4), job(each.fp, 0.5, 10))
        workdir.write_json(each.timing, {"run_fp": audit, "make_train": training})
    found = costs.collect(run.load())
    assert [(cost.step, cost.hours, cost.core_hours, cost.gpu_hours) for cost in found] == [
        ("errors on explored frames", 1, 4, 0),
        ("forgetting, energy bias", 2, 4, 0),
        ("pretraining", 4, 32, 4),
        ("reference labels", 1, 10, 0),
        ("outside jobs", 1, 0, 0),
    ]


def test_stages_without_a_record_of_their_jobs(empty):
    workdir.write_json(Iteration(0).timing, {"run_train": {"seconds": 7200, "dispatched": 3600}})
    training, outside = costs.collect(run.load())
    assert (training.step, training.hours, training.core_hours) == ("fine-tuning", 1, None)
    assert outside.hours == 1


def test_jobs_of_a_real_run_are_known(ended):
    found = {cost.step: cost for cost in costs.collect(run.load())}
    assert {"pretraining", "fine-tuning", "exploration", "reference labels"} <= found.keys()
    assert all(
        cost.core_hours == pytest.approx(2 * cost.hours) for name, cost in found.items() if name == "exploration"
    )
    assert not found.keys() - {*costs.STEPS.values(), costs.OUTSIDE}


def test_nothing_has_finished(empty):
    with pytest.raises(IpipError, match="No stage has finished"):
        costs.collect(run.load())
