# SPDX-License-Identifier: LGPL-3.0-or-later
"""Langevin dynamics in LAMMPS."""

from __future__ import annotations

import dpdata
import numpy as np
import pytest

from ipip_dp.data.gate import Gate
from ipip_dp.labelers import make_labeler
from ipip_dp.labelers.base import MDSettings
from ipip_dp.labelers.dynamics import run_md

from .conftest import SW, TYPE_MAP, drive
from .test_lammps import REAXFF, water

pytestmark = pytest.mark.usefixtures("poscar")


def test_strong_friction_keeps_the_temperature_up():
    """Langevin noise and damping of LAMMPS balance: cold atoms are heated within 1/friction."""
    drive(SW, nsteps=4000, interval=20, friction=0.05, temperature=300.0)
    labeled = dpdata.LabeledSystem("labels", fmt="ipip/labels")
    energies = labeled["energies"][50:]
    minimum = dpdata.System("POSCAR", type_map=TYPE_MAP).predict(driver=make_labeler(SW, TYPE_MAP))["energies"][0]
    per_mode = (energies.mean() - minimum) / (1.5 * 12 * 8.617333e-5)  # harmonic: kT/2 per coordinate
    assert 150 < per_mode < 450


def test_time_and_charges_of_units_real():
    """Labels on the way are those of the frames, and atoms move as far as they do at 300 K in 5 fs."""
    system = water()
    settings = MDSettings(300.0, timestep=0.25, nsteps=200, interval=20, friction=1e-9, seed=1)
    driver = make_labeler(REAXFF, ["O", "H"])
    trajectory = run_md(driver, system, settings, Gate())
    assert trajectory.stopped is None and len(trajectory.coords) == 10
    frames = system[np.zeros(10, dtype=int)]
    frames.data["coords"] = trajectory.coords
    again = frames.predict(driver=make_labeler(REAXFF, ["O", "H"]))
    np.testing.assert_allclose(trajectory.labels["energies"], again["energies"], atol=1e-3)
    np.testing.assert_allclose(
        trajectory.labels["forces"], again["forces"], atol=2e-2
    )  # charges start from those before
    moved = np.linalg.norm(np.diff(trajectory.coords, axis=0), axis=-1)  # 5 fs at 300 K
    assert 0.01 < np.sqrt(np.mean(moved**2)) < 0.3


def test_lammps_that_dies_keeps_the_frames_before():
    summary = drive(SW, temperature=300.0, timestep=1000.0, nsteps=2000, interval=1, gate=Gate(1e-6, 1e30))
    assert summary.failures and "MD stopped" in summary.failures[-1].reason


def test_lammps_that_dies_before_the_first_frame_gives_none():
    summary = drive(SW, temperature=300.0, timestep=1000.0, nsteps=2000, interval=2000, gate=Gate(1e-6, 1e30))
    assert summary.labelled == 0
    (failure,) = summary.failures
    assert failure.reason.startswith("MD stopped: LAMMPS exited with status")
