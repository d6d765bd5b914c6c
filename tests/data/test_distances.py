# SPDX-License-Identifier: LGPL-3.0-or-later
"""Distances between atoms and their images, held against ASE's neighbour list."""

from __future__ import annotations

import ase.build
import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from ipip_dp.data.distances import image_distances


@pytest.mark.parametrize("cutoff", [2.5, 6.0])
@pytest.mark.parametrize("periodic", [True, False])
def test_the_same_as_ases_neighbour_list(cutoff, periodic):
    atoms = ase.build.mx2("MoS2", a=3.18, thickness=3.19, size=(2, 1, 1), vacuum=3)
    atoms.pbc = periodic
    atoms.cell[2] += [1.0, 2.0, 0.0]
    atoms.rattle(0.1, seed=0)
    atoms.positions[0] += 3 * atoms.cell[0] if periodic else 0
    expected = np.sort(neighbor_list("d", atoms, cutoff))
    found = list(image_distances(atoms.positions, atoms.cell.array if periodic else None, cutoff))
    distances = np.concatenate([block[block < cutoff] for block in found])
    np.testing.assert_allclose(np.sort(distances), expected)


def test_wide_cells_have_one_image():
    assert len(list(image_distances(np.zeros((2, 3)), 20.0 * np.eye(3), 6.0))) == 1
