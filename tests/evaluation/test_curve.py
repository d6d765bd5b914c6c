# SPDX-License-Identifier: LGPL-3.0-or-later
"""The learning curve is rebuilt from disk."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.evaluation import curve
from ipip_dp.workdir import Iteration


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
