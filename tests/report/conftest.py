# SPDX-License-Identifier: LGPL-3.0-or-later
"""A finished run to read, a copy of it to break, and a run of which nothing but errors is on disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from ipip_dp import workdir
from ipip_dp.workdir import Iteration
from tests.conftest import Run
from tests.steps.conftest import make_context  # noqa: F401  (a fixture)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ended(finished: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The finished run as the working directory, not to be changed."""
    monkeypatch.chdir(finished.folder)
    return finished


@pytest.fixture
def copy(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the finished run as the working directory."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    return Run(tmp_path / "copy")


@pytest.fixture
def empty(make_context):  # noqa: F811  (the fixture)
    """A run of the quick example that has just begun, as the working directory, and its context."""
    context = make_context()
    workdir.write_json(workdir.STARTED, context.jdata)
    return context


def evaluated(index: int, students: list[float], ensemble: float, teacher: float = 0.4, **changes) -> Iteration:
    """An iteration on disk with its held-out errors."""

    def errors(rmse: float) -> dict[str, float]:
        return {"force_rmse": rmse, "energy_rmse_per_atom_aligned": rmse / 100, "n_frames": 24}

    iteration = Iteration(index)
    found = {
        "ensemble": errors(ensemble),
        "teacher": errors(teacher),
        "students": [errors(rmse) for rmse in students],
        "pool_frames": 100,
        "pool_labels": {"teacher": {"0": 100}},
        "reference_frames": 24,
    }
    workdir.write_json(iteration.metrics, {**found, **changes})
    return iteration
