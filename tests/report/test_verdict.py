# SPDX-License-Identifier: LGPL-3.0-or-later
"""The verdict says what the numbers say."""

from __future__ import annotations

import pytest

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.report import run, verdict
from ipip_dp.steps.stop import OUT_OF_JOBS
from tests.report.conftest import evaluated


def told():
    return verdict.collect(run.load())


def stopped(iteration, reason=OUT_OF_JOBS):
    workdir.write_json(iteration.stop, {"reason": reason})


def explored(iteration, held, median=None, candidate=2):
    counts = {"accurate": 9, "candidate": candidate, "failed": 1, "md": 10, "blown_up": 1, "held": held}
    workdir.write_json(iteration.explored_counts, counts)
    if median:
        errors = {"force_median": median, "force_median_noise": 0.01}
        workdir.write_json(iteration.on_policy_metrics, {"n_frames": 4, "ensemble": errors, "teacher": errors})


def test_nothing_evaluated(empty):
    with pytest.raises(IpipError, match="No iteration has been evaluated"):
        told()


def test_a_run_under_way(empty):
    evaluated(0, [0.31, 0.29], 0.3)
    found = told()
    assert found.headline.startswith(
        "The students of iteration 0 are at 0.300 ± 0.010 eV/Å on held-out frames, 25% below"
    )
    assert "no trend yet" in found.trend
    assert found.advice[0].startswith("The run has not come to its end: dpgen run param.json machine.json")
    assert any("fp_task_max" in advice for advice in found.advice)
    assert found.model is None


@pytest.mark.parametrize(
    ("now", "trend", "advice"),
    [
        (0.2, "lowered the held-out error by more than its noise", "still improved something"),
        (0.295, "changed the held-out error by less than its noise", "do not tell whether more would help"),
        (0.5, "raised the held-out error by more than its noise", "do not tell whether more would help"),
    ],
)
def test_the_trend_is_that_beyond_noise(empty, now, trend, advice):
    evaluated(0, [0.31, 0.29], 0.3)
    stopped(evaluated(1, [now * 1.03, now * 0.97], now))
    found = told()
    assert trend in found.trend
    assert advice in found.advice[-1]


def test_after_long_without_improvement(make_context):
    job = make_context().jdata["model_devi_jobs"][0]
    workdir.write_json(workdir.STARTED, make_context(model_devi_jobs=[job] * 3).jdata)
    for index in range(3):
        iteration = evaluated(index, [0.31, 0.29], 0.3)
    stopped(iteration)
    assert "More of the same MD promises little" in told().advice[-1]
    stopped(iteration, "it is enough")
    assert "The run ended because it is enough." in told().advice[-1]


def test_md_that_does_not_hold_comes_first(empty):
    iteration = evaluated(0, [0.31, 0.29], 0.3)
    explored(iteration, held=5, median=0.5)
    stopped(iteration)
    found = told()
    assert found.advice[0].startswith("5 of 10 MD runs of iteration 0 did not hold")
    assert [value for _, value, _ in found.figures] == ["0.300 eV/Å", "3.0 meV/atom", "0.500 eV/Å", "5 of 10"]
    explored(iteration, held=10, median=0.5)
    assert not any("did not hold" in advice for advice in told().advice)


def test_md_without_a_candidate(empty):
    iteration = evaluated(0, [0.31, 0.29], 0.3)
    explored(iteration, held=10, candidate=0)
    stopped(iteration)
    found = [advice for advice in told().advice if "lower model_devi_f_trust_lo" in advice]
    assert found and "No frame of MD of iteration 0 lay between the trust levels, 9 below the lower one" in found[0]
    explored(iteration, held=10, candidate=1)
    assert not any("model_devi_f_trust_lo" in advice for advice in told().advice)


def test_small_noise_is_shown_to_two_digits(empty):
    evaluated(0, [0.0240, 0.0228], 0.0234)
    stopped(evaluated(1, [0.0222, 0.0212], 0.0217))
    assert "lowered the held-out error by more than its noise" in told().trend
    assert "from 0.02340 ± 0.00057 at best before to 0.02170 ± 0.00053 eV/Å" in told().trend


def test_students_worse_than_the_teacher(empty):
    evaluated(0, [0.6, 0.5], 0.5)
    found = told()
    assert "25% above the teacher's 0.400" in found.headline
    assert any("no better than the teacher" in advice for advice in found.advice)


def test_virials_that_nothing_learns(empty):
    iteration = evaluated(0, [0.31, 0.29], 0.3)
    errors = workdir.read_json(iteration.metrics)
    errors["ensemble"]["virial_rmse_per_atom"] = 0.25
    workdir.write_json(iteration.metrics, errors)
    found = told()
    assert ("virial RMSE, held-out frames", "250.0 meV/atom", "the teacher has none") in found.figures
    assert any("constant volume only" in advice for advice in found.advice)


def test_one_model_and_the_ensemble_beside_it(empty):
    iteration = evaluated(0, [0.31, 0.29, float("nan")], 0.3)
    for member in range(3):
        workdir.write_text(iteration.train / f"graph.{member:03d}.pb", "")
    model = told().model
    assert str(model.model) == "iter.000000/00.train/graph.001.pb"
    assert model.force_rmse == 0.29
    assert len(model.ensemble) == 3
