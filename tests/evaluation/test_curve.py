# SPDX-License-Identifier: LGPL-3.0-or-later
"""The learning curve is rebuilt from disk; the run stops when the error no longer falls."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.evaluation import curve
from ipip_dp.workdir import Iteration


@pytest.mark.parametrize(
    ("errors", "stops"),
    [
        ([1.0], False),
        ([1.0, 0.9, 0.8], False),
        ([1.0, 0.995], False),  # one iteration without improvement, of two
        ([1.0, 0.995, 0.991], True),
        ([1.0, 1.2, 0.8], False),  # worse once, then better
        ([1.0, 1.2, 1.1], True),
        ([1.0, 0.5, 0.6, 0.499], True),  # compared with the best, not with the one before
        ([1.0, 0.5, 0.6, 0.4], False),
        ([1.0, 0.995, 0.985, 0.98], False),  # slow, but below the best by more than 1 % at the third
        ([1.0, math.nan, math.nan], True),
    ],
)
def test_the_run_stops_when_the_error_no_longer_falls(errors, stops):
    reason = curve.stop_reason(errors, min_improvement=0.01, patience=2)
    assert (reason is not None) == stops


def test_the_reason_names_the_numbers_and_the_key():
    reason = curve.stop_reason([0.5, 0.5], min_improvement=0.05, patience=1)
    assert "5.0%" in reason and "0.5000 eV/Angstrom" in reason and "ipip.stop.patience: 1" in reason


def test_the_best_iteration_is_the_one_with_the_smallest_error():
    assert curve.best_iteration([0.5, 0.3, 0.4]) == 1


def write_iteration(index: int, error: float, counts: dict | None = None):
    group = {"force_rmse": error, "energy_rmse_per_atom_raw": error, "energy_rmse_per_atom_aligned": error / 10}
    value = {
        "pool_frames": 100 + index,
        "reference_frames": 24,
        "teacher": {"force_rmse": 0.4},
        "ensemble": group,
        "students": [{"force_rmse": error}, {"force_rmse": error + 0.2}],
    }
    workdir.write_json(Iteration(index).metrics, value)
    if counts:
        workdir.write_json(Iteration(index).relabel / "summary.json", counts)


def test_the_learning_curve_is_rebuilt_from_the_metrics_on_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_iteration(0, 0.5, {"in_domain": 3, "candidate": 2, "failed": 1, "added": 5})
    write_iteration(1, 0.3)
    (tmp_path / "iter.000002").mkdir()
    Path("learning_curve.csv").write_text("half a li")
    curve.write()
    with open("learning_curve.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["0", "1"]
    assert [float(row["ensemble_force_rmse"]) for row in rows] == [0.5, 0.3]
    assert float(rows[0]["student_force_rmse"]) == pytest.approx(0.6)
    assert [rows[0][name] for name in ("in_domain", "candidate", "failed")] == ["3", "2", "1"]
    assert rows[1]["candidate"] == ""
    before = Path("learning_curve.csv").read_bytes()
    curve.write()
    assert Path("learning_curve.csv").read_bytes() == before
