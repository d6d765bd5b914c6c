# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import re
import shutil
import subprocess

import ase
import dpdata
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ipip_dp.errors import IpipError
from ipip_dp.labelers import kind_of, make_labeler

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


REAXFF = {
    "type": "lammps",
    "units": "real",
    "atom_style": "charge",
    "pair_style": "reaxff NULL",
    "pair_coeff": ["* * ffield.reax.rdx O H"],
    "elements": ["O", "H"],
    "after_pair": ["fix charges all qeq/reaxff 1 0.0 10.0 1.0e-8 reaxff"],
}
KCAL = 0.0433641  # eV in kcal/mol


def water():
    """Two molecules in a small, tilted cell."""
    one = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    coords = np.concatenate([one, one @ Rotation.from_rotvec([0.5, 1, 0]).as_matrix() + [0.3, 0.2, 3.1]])
    cell = np.array([[8.0, 0, 0], [1, 8, 0], [0.5, -1, 8]])
    atoms = ase.Atoms("OHHOHH", positions=coords, cell=cell, pbc=True)
    return dpdata.System(atoms, fmt="ase/structure", type_map=["O", "H"])


def test_reaxff_is_what_lammps_says(tmp_path):
    """Typed by hand. Its forces are no exact derivatives: charges and energies know a different e^2, by 0.2%."""
    system = water()
    driver = make_labeler(REAXFF, ["O", "H"])
    labeled = system[[0, 0]].predict(driver=driver)
    system.to("lammps/lmp", tmp_path / "conf.lmp")
    head, _, tail = (tmp_path / "conf.lmp").read_text().partition("Atoms")
    atoms = [line.split() for line in tail.splitlines() if len(line.split()) == 5]
    rows = "\n".join(f"{i} {kind} 0 {' '.join(xyz)}" for i, kind, *xyz in atoms)
    (tmp_path / "conf.lmp").write_text(f"{head}Atoms # charge\n\n{rows}\n")
    commands = [
        *("units real", "atom_style charge", "box tilt large", "read_data conf.lmp", "mass 1 16", "mass 2 1"),
        *("pair_style reaxff NULL", "pair_coeff * * ffield.reax.rdx O H"),
        *("fix 1 all qeq/reaxff 1 0.0 10.0 1.0e-8 reaxff", "dump 1 all custom 1 forces.txt id fx fy fz"),
        *("dump_modify 1 sort id header no", "thermo_style custom step pe pxx", "thermo_modify format float %.10g"),
        "run 0",
    ]
    (tmp_path / "in.lmp").write_text("\n".join(commands) + "\n")
    shutil.copy(next(iter(driver._files.values())), tmp_path / "ffield.reax.rdx")
    done = subprocess.run(["lmp", "-i", "in.lmp"], cwd=tmp_path, capture_output=True, text=True, check=True)
    energy, pressure = map(float, re.findall(r"^ +0 +(-?[\d.]+) +(-?[\d.]+)", done.stdout, re.MULTILINE)[0])
    forces = np.loadtxt(tmp_path / "forces.txt")[:, 1:]
    np.testing.assert_allclose(labeled["energies"], KCAL * energy, rtol=2e-6)
    np.testing.assert_allclose(labeled["forces"][1], KCAL * forces, atol=1e-4)
    volume = np.linalg.det(system["cells"][0])
    assert labeled["virials"][0, 0, 0] == pytest.approx(KCAL * pressure * volume / 68568.415, rel=1e-4)  # nktv2p


def test_elements_in_another_order_than_in_pair_coeff_are_refused():
    (problem,) = kind_of(SW).check({**SW, "elements": ["S", "Mo"]}, here=False)
    assert problem == ("elements", "expected the order in pair_coeff, Mo S, found S Mo")
    assert not list(kind_of(SW).check(SW, here=False))
    assert not list(kind_of(SW).check({**REBOMOS, "elements": ["S", "Mo"]}, here=False)), "its names are its own"


def test_units_real_are_converted():
    """Two atoms of a Lennard-Jones potential: 4 epsilon (r^-12 - r^-6), epsilon in kcal/mol."""
    config = {
        "type": "lammps",
        "units": "real",
        "pair_style": "lj/cut 8.0",
        "pair_coeff": ["1 1 0.5 3.0"],
        "elements": ["Mo"],
    }
    atoms = ase.Atoms("Mo2", positions=[[5, 5, 5], [8.5, 5, 5]], cell=[20, 20, 20], pbc=True)
    system = dpdata.System(atoms, fmt="ase/structure", type_map=["Mo"])
    labeled = system.predict(driver=make_labeler(config, ["Mo"]))
    ratio = (3.0 / 3.5) ** 6
    force = -4 * 0.5 * KCAL * (12 * ratio**2 - 6 * ratio) / 3.5
    assert labeled["energies"][0] == pytest.approx(4 * 0.5 * KCAL * (ratio**2 - ratio), rel=2e-6)
    assert labeled["forces"][0, 0, 0] == pytest.approx(force, rel=2e-6)
    assert labeled["virials"][0, 0, 0] == pytest.approx(-3.5 * force, rel=2e-6)


def test_quotes_are_lammps_own():
    quoted = {**SW, "pair_coeff": ["* * \"tmd.sw.mod\" 'Mo' S"]}
    system = mos2()
    expected, found = (system.predict(driver=make_labeler(config, TYPE_MAP)) for config in (SW, quoted))
    np.testing.assert_array_equal(found["forces"], expected["forces"])
