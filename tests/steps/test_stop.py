# SPDX-License-Identifier: LGPL-3.0-or-later
"""The run ends when the error no longer falls, and says with which models."""

from __future__ import annotations

import json

from ipip_dp import loop, workdir
from ipip_dp.steps import stop
from ipip_dp.workdir import Iteration


def evaluated(*errors: float) -> None:
    """Iterations on disk with these errors and two models each."""
    for index, error in enumerate(errors):
        iteration = Iteration(index)
        group = {"force_rmse": error, "energy_rmse_per_atom": 0.01}
        found = {"pool_frames": 9, "reference_frames": 9, "teacher": group, "ensemble": group, "students": [group]}
        workdir.write_json(iteration.metrics, found)
        iteration.train.mkdir()
        for member in (0, 1):
            (iteration.train / f"graph.{member:03d}.pb").touch()


def test_the_settings_decide_when_the_error_has_stopped_falling(make_context):
    one, two = ({"stop": {"min_improvement": 0.2, "patience": patience}} for patience in (1, 2))
    contexts = make_context(1, ipip=one), make_context(1, ipip=two)
    evaluated(0.5, 0.45)
    assert stop.reason(contexts[0]) is not None
    assert stop.reason(contexts[1]) is None
    assert stop.reason(make_context(1, ipip={"stop": {"min_improvement": 0.01, "patience": 1}})) is None


def test_later_iterations_of_an_earlier_run_do_not_count(make_context):
    context = make_context(1, ipip={"stop": {"min_improvement": 0.1, "patience": 1}})
    evaluated(0.5, 0.3, 0.3, 0.1)
    assert stop.reason(context) is None
    stop.record(context, stop.OUT_OF_JOBS)
    found = json.loads(context.iteration.stop.read_text())
    assert (found["best_iteration"], found["reason"]) == (1, stop.OUT_OF_JOBS)


def test_what_dpgen_writes_into_jobs_with_a_template_does_not_reach_the_stop_test(make_context):
    """It does so in the process that explores alone, so that the stop test would tell restarts apart."""
    from dpgen.generator.run import parse_cur_job_revmat

    context = make_context()
    evaluated(0.5)
    job = {**context.jdata["model_devi_jobs"][0], "template": {"lmp": "input.lammps"}}
    context.jdata["model_devi_jobs"] = [job]

    def stage(jdata):
        return bool(parse_cur_job_revmat(jdata["model_devi_jobs"][0]))

    assert loop.make_model_devi(stage, context)
    assert "rev_mat" not in job


def test_the_models_are_those_of_the_best_iteration(make_context):
    context = make_context(2)
    evaluated(0.5, 0.3, 0.4)
    stop.record(context, "it is enough")
    assert json.loads(context.iteration.stop.read_text()) == {
        "reason": "it is enough",
        "best_iteration": 1,
        "models": ["iter.000001/00.train/graph.000.pb", "iter.000001/00.train/graph.001.pb"],
    }


def test_a_run_that_goes_on_has_not_ended(make_context):
    context = make_context(0)
    evaluated(0.5)
    stop.record(context, "it is enough")
    stop.record(context, None)
    assert not context.iteration.stop.exists()
    stop.record(context, None)
