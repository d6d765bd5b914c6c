# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from ipip_dp.data.gate import SEARCH, Gate, check_geometry, check_labels, measured, shortest_distance

CUBE = 10.0 * np.eye(3)


def brute_force(coords, cell, reach=4):
    """Shortest distance over a generous block of images."""
    steps = np.array(np.meshgrid(*[range(-reach, reach + 1)] * 3)).reshape(3, -1).T
    best = np.inf
    for i, a in enumerate(coords):
        for j, b in enumerate(coords):
            d = np.linalg.norm(b - a + steps @ cell, axis=1)
            if i == j:
                d = d[np.any(steps != 0, axis=1)]
            best = min(best, d.min())
    return best


@pytest.mark.parametrize("seed", range(20))
def test_shortest_distance_of_random_skewed_small_cells(seed):
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * 2 + np.diag([4.0, 4.0, 4.0])
    coords = rng.uniform(-2, 3, (4, 3)) @ cell  # also far outside the cell
    wrapped = coords - np.floor(coords @ np.linalg.inv(cell)) @ cell
    expected = brute_force(wrapped, cell)
    assert shortest_distance(coords, cell, expected * 1.5) == pytest.approx(expected)
    assert shortest_distance(coords, cell, expected * 0.9) == np.inf


def test_an_atom_meets_its_own_image():
    cell = np.diag([0.4, 10.0, 10.0])
    assert shortest_distance(np.zeros((1, 3)), cell, 1.0) == pytest.approx(0.4)


def test_atoms_meet_across_the_boundary_only_if_periodic():
    coords = np.array([[0.1, 5, 5], [9.9, 5, 5]])
    assert shortest_distance(coords, CUBE, 0.5) == pytest.approx(0.2)
    assert shortest_distance(coords, None, 0.5) == np.inf


def test_geometry_reasons_name_check_value_and_limit():
    good = np.array([[0.0, 0, 0], [2.0, 0, 0]])
    close = np.array([[0.0, 0, 0], [0.3, 0, 0]])
    nan = np.array([[0.0, 0, 0], [np.nan, 0, 0]])
    coords = np.array([good, close, nan, good])
    cells = np.array([CUBE, CUBE, CUBE, np.zeros((3, 3))])
    reasons = check_geometry(coords, cells, Gate(min_distance=0.5))
    assert reasons[0] is None
    assert reasons[1].startswith("min-distance") and "0.300" in reasons[1]
    assert "0.5" in reasons[1]
    assert reasons[2].startswith("non-finite")
    assert reasons[3].startswith("cell")
    assert check_geometry(coords[3:], None, Gate()) == [None]


def test_label_reasons():
    forces = np.zeros((4, 2, 3))
    forces[1, 0] = [90.0, 90.0, 0.0]  # each component is below the limit
    forces[2, 1, 1] = np.nan
    energies = np.array([0.0, 0.0, 0.0, np.inf])
    reasons = check_labels(energies, forces, None, Gate(max_force=100.0))
    assert reasons[0] is None
    assert reasons[1].startswith("max-force: 127.3 eV/A") and "100" in reasons[1]
    assert reasons[2].startswith("non-finite: forces")
    assert reasons[3].startswith("non-finite: energy")
    virials = np.full((4, 3, 3), np.nan)
    assert check_labels(energies, forces, virials, Gate())[0].startswith("non-finite")


def test_isolated_atoms() -> None:
    cell = 20 * np.eye(3)
    coords = np.array([[[5, 5, 5], [6.5, 6.5, 6.5], [15.0, 15, 15]], [[5, 5, 5], [6.5, 6.5, 6.5], [1, 5, 5]]])
    cells = np.array([cell, cell])
    assert check_geometry(coords, cells, Gate()) == [None, None]
    reasons = check_geometry(coords, cells, Gate(max_neighbor_distance=6))
    assert reasons == ["isolated: atom 2 has no other within 6 A", None]
    across = np.array([[[0.5, 5, 5], [19.5, 5, 5]]])
    assert check_geometry(across, cells[:1], Gate(max_neighbor_distance=2)) == [None]
    (reason,) = check_geometry(across, None, Gate(max_neighbor_distance=2))
    assert reason == "isolated: atom 0 has no other within 2 A"
    alone_in_a_small_cell = np.array([[[0.0, 0, 0]]])
    assert check_geometry(alone_in_a_small_cell, 3 * np.eye(3)[None], Gate(max_neighbor_distance=3.5)) == [None]


def test_measured_distances_bound_no_more_than_bonds_can_be():
    """Noble gas has no pair near the search radius: what it has not seen closer may still come closer."""
    frames = {"coords": np.array([[[0.0, 0, 0], [3.8, 0, 0]]]), "cells": CUBE[None], "forces": np.ones((1, 2, 3))}
    assert measured([frames]).min_distance == pytest.approx(0.85 * SEARCH)
