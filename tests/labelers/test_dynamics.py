# SPDX-License-Identifier: LGPL-3.0-or-later
"""Langevin dynamics with a labeler, in LAMMPS and in ASE."""

from __future__ import annotations

import numpy as np
import pytest

from ipip_dp.data.gate import Gate
from ipip_dp.labelers import make_labeler
from ipip_dp.labelers.base import MDSettings
from ipip_dp.labelers.dynamics import run_md, stop_reason

from .conftest import SW, TYPE_MAP, XTB, mos2


@pytest.mark.parametrize("config", [SW, XTB], ids=["lammps", "ase"])
def test_first_femtosecond_is_free_flight_at_the_temperature(config):
    """Catches a wrong unit of time, mass, temperature or friction."""
    system = mos2(size=(3, 3, 1) if config is SW else (2, 1, 1), sigma=0.0)
    start = system["coords"][0]
    masses = np.array([95.95, 32.06])[system["atom_types"]]
    temperatures = []
    for seed in range(3 if config is SW else 6):
        settings = MDSettings(1000.0, 0.1, 10, 10, 1e-4, seed)
        coords = run_md(make_labeler(config, TYPE_MAP), system, settings, Gate()).coords[0]
        moved = coords - start
        fractional = moved @ np.linalg.inv(system["cells"][0])
        velocity = (fractional - np.round(fractional)) @ system["cells"][0]  # Angstrom/fs
        # 1 amu (Angstrom/fs)^2 = 103.6427 eV; 3 degrees of freedom belong to the centre of mass
        kinetic = 0.5 * 103.6427 * (masses[:, None] * velocity**2).sum()
        temperatures.append(2 * kinetic / ((3 * len(masses) - 3) * 8.617333e-5))
    assert np.mean(temperatures) == pytest.approx(1000.0, rel=0.2)


@pytest.mark.parametrize("config", [SW, XTB], ids=["lammps", "ase"])
def test_seed_decides_the_trajectory(config):
    system = mos2()

    def last(seed):
        settings = MDSettings(300.0, 1.0, 4, 4, 0.01, seed)
        return run_md(make_labeler(config, TYPE_MAP), system, settings, Gate()).coords[-1]

    np.testing.assert_allclose(last(1), last(1), atol=1e-9)
    assert np.abs(last(1) - last(2)).max() > 1e-3


def test_the_centre_of_mass_rests():
    system = mos2(size=(2, 1, 1))
    masses = np.array([95.95, 32.06])[system["atom_types"]]
    for config in (SW, XTB):
        settings = MDSettings(1000.0, 1.0, 4, 4, 0.05, 1)
        moved = run_md(make_labeler(config, TYPE_MAP), system, settings, Gate()).coords[-1] - system["coords"][0]
        assert np.abs(moved).max() > 1e-2
        np.testing.assert_allclose(masses @ moved / masses.sum(), 0, atol=1e-4)


def test_the_reason_to_stop_is_the_first_limit_that_is_broken():
    data = mos2().data
    coords, forces = data["coords"][0], np.zeros((3, 3))
    assert stop_reason(coords, forces, data, Gate()) is None
    assert stop_reason(coords, forces + 9, data, Gate(max_force=10)).startswith("MD stopped: max-force: 15.59 eV/A")
    assert stop_reason(coords, forces * np.nan, data, Gate()).startswith("MD stopped: non-finite: forces")
    close = coords.copy()
    close[1] = close[0] + [0.1, 0, 0]
    assert stop_reason(close, forces + 9, data, Gate(max_force=10)).startswith("MD stopped: min-distance: two atoms")
    across = np.array([[0.0, 0, 0], [0, 0, 19.9], [5, 5, 5]])
    box = {**data, "cells": np.diag([20.0, 20.0, 20.0])[None]}
    assert stop_reason(across, forces, box, Gate()).startswith("MD stopped: min-distance")
    assert stop_reason(across, forces, {**box, "nopbc": True}, Gate()) is None
