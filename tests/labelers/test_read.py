# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.labelers.read import read_frames

from .conftest import TYPE_MAP, interleaved, mos2


@pytest.mark.parametrize("name", ["POSCAR", "start.vasp", "CONTCAR.7", "a.extxyz", "a.xyz", "a.traj"])
def test_formats_by_name(name):
    atoms = interleaved()
    fmt = "vasp" if "traj" not in name and "xyz" not in name else name.split(".")[-1].replace("xyz", "xyz")
    ase.io.write(name, atoms, format={"xyz": "extxyz"}.get(fmt, fmt))
    (group,) = read_frames([Path(name)], TYPE_MAP)
    assert group.system["atom_names"] == TYPE_MAP
    assert group.sources == ((name, 0),)
    read = [TYPE_MAP[t] for t in group.system["atom_types"]]
    for symbol in set(read):
        mine = group.system["coords"][0][[s == symbol for s in read]]
        np.testing.assert_allclose(mine, atoms.positions[atoms.symbols == symbol], atol=1e-6)


def test_lammps_dump():
    mos2(n_frames=1).to("lammps/dump", "a.lammpstrj")
    (group,) = read_frames([Path("a.lammpstrj")], TYPE_MAP)
    assert [TYPE_MAP[t] for t in group.system["atom_types"]] == ["Mo", "S", "S"]


def test_folders_are_searched_and_equal_atoms_are_one_group():
    mos2(n_frames=2, seed=1).to("deepmd/npy", "data/a/x")
    mos2(n_frames=3, seed=2).to("deepmd/npy", "data/b")
    (group,) = read_frames([Path("data")], TYPE_MAP)
    assert group.sources == (("data/a/x", 0), ("data/a/x", 1), ("data/b", 0), ("data/b", 1), ("data/b", 2))
    assert group.system["coords"].shape == (5, 3, 3)


def test_errors_name_the_input():
    with pytest.raises(IpipError, match="nothere does not exist"):
        read_frames([Path("nothere")], TYPE_MAP)
    Path("empty").mkdir()
    with pytest.raises(IpipError, match="empty holds no deepmd/npy system"):
        read_frames([Path("empty")], TYPE_MAP)
    Path("frames.dat").write_text("")
    with pytest.raises(IpipError, match="frames.dat is not clear.*--format"):
        read_frames([Path("frames.dat")], TYPE_MAP)
    Path("POSCAR").write_text("garbage")
    with pytest.raises(IpipError, match="POSCAR cannot be read as vasp/poscar"):
        read_frames([Path("POSCAR")], TYPE_MAP)
    ase.io.write("POSCAR", interleaved())
    with pytest.raises(IpipError, match="POSCAR.*'O'.*not in provided type_map"):
        read_frames([Path("POSCAR")], ["Mo", "S"])
