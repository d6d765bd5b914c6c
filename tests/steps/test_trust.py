# SPDX-License-Identifier: LGPL-3.0-or-later
"""Trust levels that come from measured errors."""

from __future__ import annotations

import numpy as np
import pytest

from ipip_dp import workdir
from ipip_dp.steps import trust
from ipip_dp.workdir import Iteration

AUTO = {"trust": "auto"}


def measured(index, held_out=0.2, n_frames=40):
    """Errors grow with the deviation: 0.3 eV/Angstrom at 0.3, 3 at 3."""
    rows = [
        {"system": "MoS2", "trust_class": "candidate", "deviation": value, "ensemble": value, "teacher": 1.0}
        for value in np.linspace(0.05, 3, n_frames)
    ]
    workdir.write_csv(Iteration(index).on_policy / "frames.csv", rows)
    workdir.write_json(Iteration(index + 1).metrics, {"ensemble": {"force_rmse": held_out}})


def explored(context):
    """MD of iteration 1 as DP-GEN leaves it: its copy of the job, and one deviation above the other."""
    iteration = Iteration(1)
    workdir.write_json(iteration.job, context.jdata["model_devi_jobs"][1])
    rows = [f"{step} 0 0 0 {deviation} 0 0" for step, deviation in enumerate(np.linspace(0.01, 3, 300))]
    workdir.write_text(iteration.exploration / "task.000.000000" / "model_devi.out", "\n".join(rows) + "\n")
    return iteration


def sorted_frames(context):
    """How many frames DP-GEN takes for accurate, candidate and failed."""
    from dpgen.generator import run

    run._make_fp_vasp_configs(1, {**context.jdata, "fp_task_max": 0, "detailed_report_make_fp": True})
    names = ("rest_accurate", "candidate", "rest_failed")
    return [len((Iteration(1).fp / f"{name}.shuffled.000.out").read_text().splitlines()) for name in names]


@pytest.mark.parametrize("own", [{}, {"model_devi_f_trust_lo": 9, "model_devi_f_trust_hi": 10}])
def test_dpgen_sorts_by_levels_where_errors_are_those_of_held_out_frames_and_of_forces(make_context, own):
    job = make_context().jdata["model_devi_jobs"][0]
    context = make_context(1, ipip=AUTO, model_devi_jobs=[job, {**job, **own}])
    iteration = explored(context)
    measured(0)
    trust.apply(context)
    lower, upper = trust.used(iteration, context.jdata)
    assert lower == pytest.approx(0.3, abs=0.08)
    assert upper == pytest.approx(trust._root_mean_square_force(context), abs=0.08)
    assert sorted_frames(context) == pytest.approx([100 * lower, 100 * (upper - lower), 300 - 100 * upper], abs=2)


def test_those_of_param_json_count_without_measurements_or_if_they_are_to(make_context):
    job = make_context().jdata["model_devi_jobs"][0]
    context = make_context(1, ipip=AUTO, model_devi_jobs=[job, job])
    given = (context.jdata["model_devi_f_trust_lo"], context.jdata["model_devi_f_trust_hi"])
    iteration = explored(context)
    measured(0, n_frames=9)
    trust.apply(context)
    assert trust.used(iteration, context.jdata) == given
    measured(0)
    trust.apply(make_context(1))
    assert trust.used(iteration, context.jdata) == given
    workdir.write_json(Iteration(0).metrics, {"ensemble": {"force_rmse": 0.2}})
    trust.apply(make_context(0, ipip=AUTO))  # nothing has been explored before


def test_levels_of_systems_are_shown_by_the_outermost():
    levels = {"model_devi_f_trust_lo": [0.1, 0.2], "model_devi_f_trust_hi": {"0": 0.5, "1": 0.7}}
    assert trust.used(Iteration(0), levels) == (0.1, 0.7)
