# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import dpdata
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ipip_dp.errors import IpipError
from ipip_dp.labelers import make_labeler

from .conftest import SW, TYPE_MAP, mos2

REBOMOS = {**SW, "pair_style": "rebomos", "pair_coeff": ["* * MoS.rebomos M S"]}


def displaced(system, delta):
    """Base frame, then every coordinate +-delta, then every strain component +-delta."""
    cell, coords = system["cells"][0], system["coords"][0]
    cells, frames = [cell], [coords]
    for atom in range(len(coords)):
        for axis in range(3):
            for sign in (1, -1):
                moved = coords.copy()
                moved[atom, axis] += sign * delta
                cells.append(cell)
                frames.append(moved)
    for a in range(3):
        for b in range(3):
            for sign in (1, -1):
                strain = np.eye(3)
                strain[a, b] += sign * delta
                cells.append(cell @ strain)
                frames.append(coords @ strain)
    result = system[np.zeros(len(frames), dtype=int)]
    result.data.update(cells=np.array(cells), coords=np.array(frames))
    return result


@pytest.mark.parametrize("config", [SW, REBOMOS], ids=["sw", "rebomos"])
def test_forces_and_virials_are_energy_derivatives_in_a_rotated_triclinic_cell(config):
    system = mos2(size=(2, 1, 1), sigma=0.1)
    turn = Rotation.from_rotvec([0.4, -0.7, 1.1]).as_matrix()
    system.data["cells"] = system["cells"] @ turn
    # some atoms far outside of the cell
    system.data["coords"] = system["coords"] @ turn + np.array([[3], [0], [-2], [0], [1], [0]]) * system["cells"][0, 0]
    delta = 1e-4
    frames = displaced(system, delta)
    labeled = frames.predict(driver="ipip/lammps", **{k: v for k, v in config.items() if k != "type"})
    energies = labeled["energies"]
    gradient = (energies[1::2] - energies[2::2]) / (2 * delta)
    n = 3 * system.get_natoms()
    np.testing.assert_allclose(-gradient[:n].reshape(-1, 3), labeled["forces"][0], atol=2e-6)
    np.testing.assert_allclose(-gradient[n:].reshape(3, 3), labeled["virials"][0], atol=2e-5)
    assert np.abs(labeled["virials"][0][~np.eye(3, dtype=bool)]).max() > 0.01  # worth the comparison
    np.testing.assert_array_equal(labeled["coords"], frames["coords"])


def test_equivalent_cells_and_boxes_give_equal_labels():
    driver = make_labeler(SW, TYPE_MAP)
    system = mos2(size=(2, 2, 1))
    labeled = system.predict(driver=driver)
    left_handed = system.copy()
    left_handed.data["cells"] = system["cells"][:, [1, 0, 2]]
    mirrored = left_handed.predict(driver=driver)
    for name in ("energies", "forces", "virials"):
        np.testing.assert_allclose(mirrored[name], labeled[name], atol=1e-10)

    isolated = system.copy()
    isolated.data.update(nopbc=True, cells=np.zeros((1, 3, 3)))
    boxed = system.copy()
    boxed.data["cells"] = 40.0 * np.eye(3)[None]
    free, in_box = isolated.predict(driver=driver), boxed.predict(driver=driver)
    np.testing.assert_allclose(free["energies"], in_box["energies"], atol=1e-10)
    np.testing.assert_allclose(free["forces"], in_box["forces"], atol=1e-10)
    assert "virials" not in free.data and "virials" in in_box.data


def test_atoms_are_matched_by_element_name():
    driver = make_labeler({**SW, "elements": ["S", "Mo"], "pair_coeff": ["* * tmd.sw.mod S Mo"]}, TYPE_MAP)
    system = mos2()
    order = [1, 0, 2]
    shuffled = dpdata.System(
        data={
            **system.data,
            "atom_names": ["O", "S", "Mo"],
            "atom_numbs": [0, 2, 1],
            "atom_types": np.array([1, 2, 1]),
            "coords": system["coords"][:, order],
        }
    )
    expected = system.predict(driver=make_labeler(SW, TYPE_MAP))
    labeled = shuffled.predict(driver=driver)
    np.testing.assert_allclose(labeled["energies"], expected["energies"], atol=1e-10)
    np.testing.assert_allclose(labeled["forces"], expected["forces"][:, order], atol=1e-10)


def test_default_command():
    config = {key: value for key, value in SW.items() if key not in ("type", "command")}
    system = mos2()
    labeled = system.predict(driver="ipip/lammps", **config)
    expected = system.predict(driver=make_labeler(SW, TYPE_MAP))
    np.testing.assert_allclose(labeled["energies"], expected["energies"], atol=1e-10)


def test_unknown_element():
    system = dpdata.System(
        data={**mos2().data, "atom_names": ["Mo", "O"], "atom_numbs": [1, 2], "atom_types": np.array([0, 1, 1])}
    )
    with pytest.raises(IpipError, match="does not know O: it knows Mo S"):
        system.predict(driver=make_labeler(SW, TYPE_MAP))


def test_wrong_pair_style_is_a_setup_error_with_lammps_own_words():
    driver = make_labeler({**SW, "pair_style": "sw/nonsense"}, TYPE_MAP)
    with pytest.raises(IpipError, match="nrecognized pair style 'sw/nonsense'"):
        mos2().predict(driver=driver)


def test_missing_command():
    driver = make_labeler({**SW, "command": "no-such-lmp -v x 1"}, TYPE_MAP)
    with pytest.raises(IpipError, match="no-such-lmp.*command"):
        mos2().predict(driver=driver)
