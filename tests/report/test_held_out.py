# SPDX-License-Identifier: LGPL-3.0-or-later
"""Points and errors of held-out frames, against the errors that the run has measured itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ipip_dp.report import held_out, run


def test_errors_are_those_of_the_run_whatever_is_shown(ended, monkeypatch):
    monkeypatch.setattr(held_out, "POINTS", 50)
    found = run.load()
    iteration = found.evaluated[-1]
    data = held_out.collect(found, iteration)
    errors = json.loads(iteration.metrics.read_text())["systems"]["Mo9S18"]
    assert data.systems["Mo9S18"].rmse == pytest.approx(
        [errors[model]["force_rmse"] for model in ("ensemble", "teacher")]
    )
    assert data.energies["Mo9S18"].rmse == pytest.approx(
        [errors[model]["energy_rmse_per_atom_aligned"] for model in ("ensemble", "teacher")]
    )
    number = 3 * 27 * errors["ensemble"]["n_frames"]
    assert list(data.elements) == ["Mo", "S"]
    for clouds in (data.systems, data.elements, data.magnitudes):
        assert sum(cloud.number for cloud in clouds.values()) == number
        squares = sum(cloud.number * cloud.rmse[0] ** 2 for cloud in clouds.values())
        assert (squares / number) ** 0.5 == pytest.approx(errors["ensemble"]["force_rmse"])
        assert all(len(cloud.points) <= 50 for cloud in clouds.values())
    assert data.spread.shape == (errors["ensemble"]["n_frames"], 2)


def test_points_are_drawn_evenly_from_all_blocks(monkeypatch):
    monkeypatch.setattr(held_out, "POINTS", 300)
    collector = held_out._Collector(1)
    for block in range(30):
        collector.add(np.full((1000, 3), float(block)))
    cloud = collector.cloud()
    assert len(cloud.points) == 300 and cloud.number == 30000
    counts = np.bincount(cloud.points[:, 0].astype(int), minlength=30)
    assert counts.min() >= 1 and counts.max() <= 25


def test_frames_that_the_teacher_cannot_label_count_for_the_students(monkeypatch):
    collector = held_out._Collector(1)
    collector.add(np.array([[1.0, 1.5, np.nan], [1.0, 1.0, 2.0]]))
    assert collector.cloud().rmse == pytest.approx((0.125**0.5, 1.0))
