# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.labelers.read import read_frames, write_open_poscar

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


DUMP = (
    "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS {edges}\n0 4\n0 4\n0 5\nITEM: ATOMS id type x y z\n"
    "1 {types[0]} 2 2 2.5\n2 {types[1]} 0.8 -0.5 1.3\n3 2 3.2 3.2 3.7\n"
)


def test_every_frame_of_a_dump_has_its_own_atoms_and_boundaries():
    frames = [("pp pp pp", "12"), ("pp pp pp", "21"), ("ff ff ff", "12")]
    Path("a.lammpstrj").write_text("".join(DUMP.format(i, edges=e, types=t) for i, (e, t) in enumerate(frames)))
    groups = read_frames([Path("a.lammpstrj")], TYPE_MAP)
    found = [(group.system["atom_types"].tolist(), group.system.nopbc, group.sources) for group in groups]
    assert found == [
        ([0, 1, 1], False, (("a.lammpstrj", 0),)),
        ([1, 0, 1], False, (("a.lammpstrj", 1),)),
        ([0, 1, 1], True, (("a.lammpstrj", 2),)),
    ]
    assert groups[2].system["coords"][0, 1].tolist() == [0.8, -0.5, 1.3]  # not wrapped


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.lammpstrj", DUMP.format(0, edges="pp pp ff", types="12"), "periodic in some directions only"),
        ("a.lammpstrj", DUMP.format(0, edges="pp pp pp", types="12")[:-9], "not whole"),
        ("a.lammpstrj", "", "no frames"),
        ("a.xyz", '1\npbc="T T F" Lattice="9 0 0 0 9 0 0 0 9"\nMo 0 0 0\n', "periodic in some directions only"),
        ("a.vasp", "left-handed\n1\n0 6 0\n6 0 0\n0 0 6\nMo\n1\nDirect\n0 0 0\n", "AssertionError of: assert"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(name, text, message):
    Path(name).write_text(text)
    with pytest.raises(IpipError, match=f"{name} cannot be read.*{message}"):
        read_frames([Path(name)], TYPE_MAP)


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


def test_an_open_poscar_comes_back_open(tmp_path):
    """A flat molecule, in no cell that it could be in."""
    molecule = ase.Atoms("MoS2", positions=[[0, 0, 0], [2.2, 1, 0], [-2.2, 1, 0]])
    ase.io.write("a.xyz", molecule, format="extxyz")
    (group,) = read_frames([Path("a.xyz")], TYPE_MAP)
    write_open_poscar(group.system, tmp_path / "POSCAR")
    (again,) = read_frames([tmp_path / "POSCAR"], TYPE_MAP)
    assert again.system.nopbc
    moved = again.system["coords"] - group.system["coords"]
    np.testing.assert_allclose(moved - moved[:, :1], 0, atol=1e-9)
    assert ase.io.read(tmp_path / "POSCAR").get_all_distances(mic=True).max() == pytest.approx(
        4.4
    )  # no image is nearer
