# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import dpdata
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ipip_dp.data import labelled
from ipip_dp.errors import IpipError
from ipip_dp.new import data
from tests.conftest import EXAMPLES


@pytest.fixture
def labelled_file(tmp_path):
    """An extxyz file of two compositions, ten frames of one and one of the other, with labels."""
    frames = []
    for number in range(11):
        atoms = bulk("Cu", cubic=True) if number < 10 else molecule("H2O", vacuum=4)
        atoms.pbc = number < 10
        atoms.rattle(0.05, seed=number)
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    write(tmp_path / "labels.extxyz", frames)
    return tmp_path / "labels.extxyz", frames


def test_frames_of_ase_keep_their_labels(labelled_file, tmp_path):
    path, frames = labelled_file
    named = data.grouped(data.read([path]), ["O", "H", "Cu"])
    assert sorted(len(group.system) for group in named.values()) == [1, 10]
    assert data.write(named, tmp_path / "train", tmp_path / "held_out") == (9, 2)
    (held_out,) = (tmp_path / "held_out").iterdir()
    (block,) = labelled.read(held_out, ["O", "H", "Cu"])
    assert block["forces"] == pytest.approx(np.array([atoms.get_forces() for atoms in frames[8:10]]), abs=1e-6)
    (water,) = (path for path in (tmp_path / "train").iterdir() if "O1H2" in path.name)
    (block,) = labelled.read(water, ["O", "H", "Cu"])
    assert block.nopbc and list(block["atom_types"]) == [0, 1, 1]


def test_systems_on_disk_get_the_order_of_the_new_type_map(tmp_path):
    folder = EXAMPLES / "mo_s_quick/data/train"
    read = data.read([folder])
    assert data.elements(read[0][0]) == ["Mo", "S"]
    train, held_out = data.write(data.grouped(read, ["S", "Mo"]), tmp_path / "train", tmp_path / "held_out")
    known = dpdata.LabeledSystem(str(folder / "Mo9S18"), fmt="deepmd/npy")
    assert (train, held_out) == (len(known) - len(known) // 5, len(known) // 5)
    (system,) = (tmp_path / "train").iterdir()
    (block,) = labelled.read(system, ["S", "Mo"])
    rows = np.argsort(1 - known["atom_types"], kind="stable")
    assert block["forces"] == pytest.approx(known["forces"][:train][:, rows])


def test_what_is_no_labelled_data(labelled_file, tmp_path):
    bulk("Cu").write(tmp_path / "bare.extxyz")
    (tmp_path / "OUTCAR").write_text("nothing")
    for name, message in {
        "nowhere": "nowhere: does not exist",
        "bare.extxyz": "cannot be read as labelled frames",
        "OUTCAR": "cannot be read as labelled frames .*--data-format",
    }.items():
        with pytest.raises(IpipError, match=f"--data .*{message}"):
            data.read([tmp_path / name])
    write(tmp_path / "one.extxyz", labelled_file[1][0])
    with pytest.raises(IpipError, match="at least two frames"):
        data.write(data.grouped(data.read([tmp_path / "one.extxyz"]), ["Cu"]), tmp_path / "a", tmp_path / "b")


def test_every_file_has_its_share_of_held_out_frames(tmp_path):
    """Else the last temperature alone would be tested on; of files of a frame or two the last are taken."""
    for temperature, n_frames in ((300, 20), (600, 10), (900, 2), (1200, 3)):
        frames = []
        for number in range(n_frames):
            atoms = bulk("Cu", cubic=True)
            atoms.rattle(0.05, seed=number)
            atoms.calc = EMT()
            atoms.get_forces()
            frames.append(atoms)
        write(tmp_path / f"{temperature}.extxyz", frames)
    read = data.read([tmp_path / f"{temperature}.extxyz" for temperature in (300, 600, 900, 1200)])
    (group,) = data.grouped(read, ["Cu"]).values()
    assert list(group.held_out().nonzero()[0]) == [16, 17, 18, 19, 28, 29, 34]


@pytest.mark.parametrize("pbc", [(True, True, False), False])
def test_open_boundaries_are_what_they_are(tmp_path, pbc):
    atoms = bulk("Cu", cubic=True)
    atoms.pbc = pbc
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((4, 3)), stress=np.ones(6))
    write(tmp_path / "labels.extxyz", [atoms, atoms])
    if not pbc:
        ((first, _),) = data.read([tmp_path / "labels.extxyz"])
        assert first.nopbc and "virials" not in first.data
        return
    with pytest.raises(IpipError, match="periodic in some directions only"):
        data.read([tmp_path / "labels.extxyz"])
