# SPDX-License-Identifier: LGPL-3.0-or-later
"""The model to use."""

from __future__ import annotations

import math

from ipip_dp import workdir
from ipip_dp.status import models
from ipip_dp.workdir import Iteration
from tests.status.conftest import PARAM, evaluated


def test_the_best_student_of_the_best_iteration(run_folder):
    assert models.best(PARAM) is None
    evaluated(0, 0.3, math.nan, 0.35, 0.33)
    evaluated(1, 0.9, 0.95, 1.0, 0.1)
    best = models.best(PARAM)
    folder = Iteration(0).train
    assert (best.iteration, best.model, best.force_rmse) == (0, folder / "graph.002.pb", 0.33)
    assert best.ensemble == tuple(folder / f"graph.{member:03d}.pb" for member in range(3))
    assert (best.ensemble_force_rmse, best.teacher_force_rmse, best.energy_rmse_per_atom) == (0.3, 0.4, 0.01)
    assert best.lammps([str(best.model)]) == [f"pair_style deepmd {folder}/graph.002.pb", "pair_coeff * * Mo S"]


def test_a_model_whose_pressures_mean_nothing(run_folder):
    iteration = evaluated(0, 0.3, 0.3)
    assert not models.best(PARAM).ignores_virials, "the reference has none"
    errors = workdir.read_json(iteration.metrics)
    errors["ensemble"]["virial_rmse_per_atom"] = 0.1
    workdir.write_json(iteration.metrics, errors)
    assert models.best(PARAM).ignores_virials
    for loss, ignored in (({"limit_pref_v": 1}, False), ({"start_pref_v": 0, "limit_pref_v": 0}, True)):
        assert models.best({**PARAM, "default_training_param": {"loss": loss}}).ignores_virials == ignored
    both = [{"loss": {"start_pref_v": 0.02}}, {}]
    assert models.best({**PARAM, "default_training_param": both}).ignores_virials


def test_exported_models_need_an_atom_map(run_folder):
    iteration = evaluated(0, 0.3, 0.3)
    (iteration.train / "graph.000.pb").rename(iteration.train / "graph.000.pt2")
    assert models.best(PARAM).lammps(["m.pt2"])[0].startswith("atom_modify map yes")


def test_models_that_were_removed_are_not_named(run_folder):
    iteration = evaluated(0, 0.3, 0.3, 0.4)
    workdir.write_json(iteration.stop, {"reason": "", "best_iteration": 0, "models": []})
    (iteration.train / "graph.001.pb").unlink()
    assert models.best(PARAM) is None
