# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether there is a run, and which of its models is best."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.report import run
from ipip_dp.workdir import Iteration
from tests.report.conftest import evaluated


def test_no_run_and_a_run_of_dpgen_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IpipError, match="no run here"):
        run.load()
    Path("iter.000000/00.train").mkdir(parents=True)
    with pytest.raises(IpipError, match="a run of DP-GEN alone"):
        run.load()


def test_parameters_that_are_missing_or_damaged(empty):
    workdir.STARTED.write_text("{")
    with pytest.raises(IpipError, match="param.json is missing"):
        run.load().context(Iteration(0))


def test_the_best_iteration(empty):
    evaluated(0, [0.21, 0.19], 0.2)
    evaluated(1, [0.41, 0.39], 0.4)
    found = run.load()
    assert found.best.index == 0
