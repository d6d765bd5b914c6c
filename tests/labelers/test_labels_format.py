# SPDX-License-Identifier: LGPL-3.0-or-later
"""DP-GEN's fp_style custom reads the results of ``ipip label``."""

from __future__ import annotations

from pathlib import Path

import ase.io
import dpdata
import numpy as np
import pytest
from dpgen.generator.post_fp import post_fp_dpdata

from ipip_dp.data.gate import Gate
from ipip_dp.errors import IpipError
from ipip_dp.labelers import batch, make_labeler

from .conftest import TYPE_MAP, XTB, interleaved, mos2

JDATA = {
    "fp_style": "custom",
    "type_map": TYPE_MAP,
    "fp_params": {"input_fn": "POSCAR", "input_fmt": "vasp/poscar", "output_fn": "labels", "output_fmt": "ipip/labels"},
}


def run_task(name, atoms, gate=None):
    folder = Path("02.fp") / name
    folder.mkdir(parents=True)
    dpdata.System(atoms, fmt="ase/structure").to("vasp/poscar", str(folder / "POSCAR"))  # as DP-GEN does
    batch.label([folder / "POSCAR"], folder / "labels", XTB, type_map=TYPE_MAP, gate=gate or Gate(), min_success=0.0)


def test_good_and_failed_labels_reach_dpgen():
    atoms = interleaved()
    run_task("task.000.000000", atoms)
    run_task("task.000.000001", atoms, Gate(min_distance=5.0))  # rejected
    run_task("task.001.000000", atoms, Gate(max_force=1e-9))  # rejected: nothing left in this system
    assert len(dpdata.LabeledSystem("02.fp/task.001.000000/labels", fmt="ipip/labels")) == 0
    post_fp_dpdata("02.fp", JDATA)

    assert not Path("02.fp/data.001").exists()
    (folder,) = [raw.parent for raw in Path("02.fp/data.000").rglob("type.raw")]
    data = dpdata.LabeledSystem(str(folder), fmt="deepmd/npy")
    assert len(data) == 1 and data["atom_names"] == TYPE_MAP and data.has_virial()
    order = np.argsort([TYPE_MAP.index(s) for s in atoms.get_chemical_symbols()], kind="stable")
    assert [TYPE_MAP[t] for t in data["atom_types"]] == [atoms.get_chemical_symbols()[i] for i in order]
    atoms.calc = make_labeler(XTB, TYPE_MAP).calculator
    np.testing.assert_allclose(data["energies"], atoms.get_potential_energy(), atol=1e-5)
    np.testing.assert_allclose(data["forces"][0], atoms.get_forces()[order], atol=1e-4)
    virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
    np.testing.assert_allclose(data["virials"][0], virial, atol=1e-3)


def test_several_systems_need_multisystems():
    ase.io.write("frames.extxyz", [interleaved(), mos2().to("ase/structure")[0]])
    batch.label([Path("frames.extxyz")], Path("labels"), XTB, type_map=TYPE_MAP, gate=Gate())
    with pytest.raises(IpipError, match="MultiSystems.from_file"):
        dpdata.LabeledSystem("labels", fmt="ipip/labels")
    assert dpdata.MultiSystems.from_file("labels", fmt="ipip/labels").get_nframes() == 2


def test_a_folder_without_marker_is_refused():
    Path("labels").mkdir()
    with pytest.raises(IpipError, match=r"labels has no labels\.json"):
        dpdata.LabeledSystem("labels", fmt="ipip/labels")
