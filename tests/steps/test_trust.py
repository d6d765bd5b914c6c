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


def jobs(make_context):
    return [{**make_context().jdata["model_devi_jobs"][0], "model_devi_f_trust_lo": 9}] * 2


def test_levels_are_where_errors_are_those_of_held_out_frames_and_of_forces(make_context):
    context = make_context(1, ipip=AUTO, model_devi_jobs=jobs(make_context))
    measured(0)
    found = trust.levels(context)["model_devi_jobs"]
    assert found[0] == context.jdata["model_devi_jobs"][0]
    assert found[1]["model_devi_f_trust_lo"] == pytest.approx(0.3, abs=0.08)
    assert found[1]["model_devi_f_trust_hi"] == pytest.approx(trust._root_mean_square_force(context), abs=0.08)
    assert found[1]["sys_idx"] == [0]


def test_those_of_param_json_count_without_measurements_or_if_they_are_to(make_context):
    context = make_context(1, ipip=AUTO, model_devi_jobs=jobs(make_context))
    measured(0, n_frames=9)
    assert trust.levels(context) == {}
    measured(0)
    assert trust.levels(context)
    assert trust.levels(make_context(1)) == {}
    workdir.write_json(Iteration(0).metrics, {"ensemble": {"force_rmse": 0.2}})
    assert trust.levels(make_context(0, ipip=AUTO)) == {}, "nothing has been explored before"
