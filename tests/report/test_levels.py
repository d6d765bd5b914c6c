# SPDX-License-Identifier: LGPL-3.0-or-later
"""Measured trust levels, their picture, and when there are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.report import levels
from ipip_dp.steps import on_policy
from ipip_dp.workdir import Iteration
from tests.report.conftest import evaluated


def labelled(n_frames, upper=4.0, held_out=0.2):
    """Errors are as large as deviations."""
    rows = [
        {"system": "MoS2", "trust_class": "candidate", "deviation": value, "ensemble": value, "teacher": 1.0}
        for value in np.linspace(0.05, upper, n_frames)
    ]
    workdir.write_csv(Iteration(0).on_policy / "frames.csv", rows)
    workdir.write_json(Iteration(0).job, {})
    evaluated(0, [held_out, held_out], held_out)


def test_lines_for_param_json_and_a_picture(empty):
    labelled(60)
    found = levels.write(Path("report/trust"))
    values = json.loads("{" + " ".join(found.lines).rstrip(",") + "}")
    assert values["model_devi_f_trust_lo"] == pytest.approx(0.3, abs=0.08)
    assert 0.3 < values["model_devi_f_trust_hi"] < 4
    assert "60 explored frames" in found.notes[0]
    assert found.notes[1:] == []
    counts = {row[0]: int(row[2]) for row in found.table.rows}
    assert sum(counts[f"measured: {name}"] for name in ("accurate", "candidate", "failed")) == 60
    assert counts["now: accurate"] == 2  # 0.05 and 0.12, below 0.15
    assert sorted(path.name for path in Path("report").iterdir()) == ["trust.png", "trust.svg"]


def test_levels_only_as_far_as_labels_go(empty):
    labelled(20, upper=0.6)
    assert "largest deviation" in levels.write(Path("trust")).notes[1]


@pytest.mark.parametrize(
    ("n_frames", "upper", "held_out", "words"),
    [
        (9, 4.0, 0.2, "9 explored frames with reference labels tell no trust levels, expected 10 or more"),
        (20, 0.1, 0.2, "all 20 labelled frames are accurate"),
        (20, 4.0, 5.0, "is more than the forces themselves"),
    ],
)
def test_why_there_are_none(empty, n_frames, upper, held_out, words):
    labelled(n_frames, upper, held_out)
    with pytest.raises(IpipError, match=words):
        levels.write(Path("trust"))


def test_frames_that_have_all_failed(empty):
    labelled(20, 40.0)
    rows = [row for row in on_policy.read_rows(Iteration(0)) if row["deviation"] > 10]
    workdir.write_csv(Iteration(0).on_policy / "frames.csv", rows)
    with pytest.raises(IpipError, match="all 15 labelled frames have failed"):
        levels.write(Path("trust"))
