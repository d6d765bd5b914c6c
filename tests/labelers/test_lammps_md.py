# SPDX-License-Identifier: LGPL-3.0-or-later
"""Langevin dynamics in LAMMPS."""

from __future__ import annotations

import dpdata
import pytest

from ipip_dp.data.gate import Gate
from ipip_dp.labelers import make_labeler

from .conftest import SW, TYPE_MAP, drive

pytestmark = pytest.mark.usefixtures("poscar")


def test_strong_friction_keeps_the_temperature_up():
    """Langevin noise and damping of LAMMPS balance: cold atoms are heated within 1/friction."""
    drive(SW, nsteps=4000, interval=20, friction=0.05, temperature=300.0)
    labeled = dpdata.LabeledSystem("labels", fmt="ipip/labels")
    energies = labeled["energies"][50:]
    minimum = dpdata.System("POSCAR", type_map=TYPE_MAP).predict(driver=make_labeler(SW, TYPE_MAP))["energies"][0]
    per_mode = (energies.mean() - minimum) / (1.5 * 12 * 8.617333e-5)  # harmonic: kT/2 per coordinate
    assert 150 < per_mode < 450


def test_lammps_that_dies_keeps_the_frames_before():
    summary = drive(SW, temperature=300.0, timestep=1000.0, nsteps=2000, interval=1, gate=Gate(1e-6, 1e30))
    assert summary.failures and "MD stopped" in summary.failures[-1].reason


def test_lammps_that_dies_before_the_first_frame_gives_none():
    summary = drive(SW, temperature=300.0, timestep=1000.0, nsteps=2000, interval=2000, gate=Gate(1e-6, 1e30))
    assert summary.labelled == 0
    (failure,) = summary.failures
    assert failure.reason.startswith("MD stopped: LAMMPS exited with status")
