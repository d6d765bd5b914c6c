# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import dpdata
import numpy as np
import pytest
from ase.build import bulk
from ase.cell import Cell
from ase.io import write

from ipip_dp.data.distances import image_distances
from ipip_dp.errors import IpipError
from ipip_dp.new import structures

if TYPE_CHECKING:
    from ase import Atoms


def heights(atoms: Atoms) -> np.ndarray:
    return atoms.get_volume() / np.array([np.linalg.norm(np.cross(*np.delete(atoms.cell, i, 0))) for i in range(3)])


def test_cells_become_large_enough_and_periodic(structure_files):
    for name, file in structure_files.items():
        (start,) = structures.read([file], shortest=8.0)
        assert start.atoms.pbc.all() and min(heights(start.atoms)) >= 8.0 - 1e-6, name
    (salt,) = structures.read([structure_files["salt"]], shortest=0.0)
    assert len(salt.atoms) == 2 and salt.changes == ""


def test_vacuum_is_where_a_structure_is_not_periodic(structure_files):
    (slab,) = structures.read([structure_files["slab"]], shortest=8.0)
    thick = np.ptp(slab.atoms.positions[:, 2])
    assert heights(slab.atoms)[2] == pytest.approx(thick + 10)
    assert slab.changes == "10 A of vacuum where it was not periodic, repeated 3 x 3 x 1"
    (water,) = structures.read([structure_files["water"]], shortest=100.0)
    assert len(water.atoms) == 3  # a molecule is never repeated


def test_the_last_structure_of_a_file_or_all_of_them(structure_files):
    write("two.xyz", [bulk("Cu", cubic=True), bulk("Al", cubic=True)])
    (last,) = structures.read(["two.xyz"], 0)
    assert set(last.atoms.get_chemical_symbols()) == {"Al"}
    both = structures.read(["two.xyz@:"], 0)
    assert [start.name for start in both] == ["two.vasp", "two_2.vasp"]


def test_dpdata_reads_what_is_written(structure_files, tmp_path):
    starts = structures.read(list(structure_files.values()), 8.0)
    structures.write(starts, tmp_path / "starts")
    for start in starts:
        system = dpdata.System(str(tmp_path / "starts" / start.name), fmt="vasp/poscar")
        assert Cell(system["cells"][0]).cellpar() == pytest.approx(start.atoms.cell.cellpar())  # dpdata rotates it
        numbers = dict(zip(system["atom_names"], system["atom_numbs"], strict=True))
        assert numbers == start.atoms.symbols.formula.count()


@pytest.mark.parametrize("name", ["copper", "slab", "water", "salt"])
def test_neighbours_are_those_within_the_cutoff(structure_files, name):
    (start,) = structures.read([structure_files[name]], 8.0)
    symbols = np.array(start.atoms.get_chemical_symbols())
    type_map = sorted(set(symbols))
    near = sum(
        (distances < 5.0 + structures.SKIN).astype(int)
        for distances in image_distances(start.atoms.positions, start.atoms.cell.array, 5.0 + structures.SKIN)
    )
    for element, sel in zip(type_map, structures.neighbours([start.atoms], type_map, 5.0), strict=True):
        most = near[:, symbols == element].sum(axis=1).max()
        assert sel % 4 == 0 and max(1, most) <= sel <= 1.1 * most + 4


def test_what_is_no_structure(structure_files, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "x.xyz").write_text("1\n\nX 0 0 0\n")
    (tmp_path / "POSCAR_flat").write_text("flat\n1.0\n1 0 0\n2 0 0\n0 0 5\nCu\n1\nDirect\n0 0 0\n")
    for name, message in {
        "POSCAR_flat": "POSCAR_flat: expected a cell that has a volume",
        "nothing.cif": "nothing.cif: does not exist",
        "notes.txt": "notes.txt: ASE cannot read a structure from it",
        "x.xyz": "x.xyz: expected atoms of known elements",
        "x.xyz@1:2": "x.xyz@1:2: has no such structure",
    }.items():
        with pytest.raises(IpipError, match=message):
            structures.read([name], 0)
    with pytest.raises(IpipError, match="Cu.cif: .* atoms with --min-length 500; give a smaller one"):
        structures.read(["Cu.cif"], 500)
