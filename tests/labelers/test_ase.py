# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import importlib.util

import dpdata
import numpy as np
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.labelers import make_labeler

from .conftest import TYPE_MAP, XTB, interleaved, mos2


def direct(atoms):
    from tblite.ase import TBLite

    atoms = atoms.copy()
    atoms.calc = TBLite(**XTB["kwargs"])
    stress = atoms.get_stress(voigt=False) if atoms.pbc.all() else None
    return atoms.get_potential_energy(), atoms.get_forces(), stress


def test_interleaved_atoms_get_their_own_forces():
    atoms = interleaved()
    system = dpdata.System(atoms, fmt="ase/structure", type_map=TYPE_MAP)
    labeled = system.predict(driver="ipip/ase", calculator=XTB["calculator"], kwargs=XTB["kwargs"])
    energy, forces, stress = direct(atoms)
    np.testing.assert_allclose(labeled["energies"], [energy], atol=1e-8)
    np.testing.assert_allclose(labeled["forces"][0], forces, atol=1e-8)
    np.testing.assert_allclose(labeled["virials"][0], -stress * atoms.get_volume(), atol=1e-8)
    assert [TYPE_MAP[t] for t in labeled["atom_types"]] == atoms.get_chemical_symbols()


def test_labels_do_not_depend_on_the_frame_before():
    system = mos2(n_frames=3, sigma=0.15)
    driver = make_labeler(XTB, TYPE_MAP)
    together = system.predict(driver=driver)
    alone = system[2].predict(driver=make_labeler(XTB, TYPE_MAP))
    np.testing.assert_array_equal(together["forces"][2], alone["forces"][0])


def test_isolated_system_has_no_virial():
    atoms = interleaved()
    atoms.pbc = False
    labeled = dpdata.System(atoms, fmt="ase/structure").predict(driver=make_labeler(XTB, TYPE_MAP))
    assert "virials" not in labeled.data
    np.testing.assert_allclose(labeled["forces"][0], direct(atoms)[1], atol=1e-8)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nopackage:X", "'nopackage:X' cannot be imported: no package nopackage"),
        ("tblite.nomodule:X", "No module named 'tblite.nomodule'"),
        ("tblite.ase:NoClass", "NoClass"),
        ("tblite.ase", 'expected "module:Class"'),
        ("tblite.ase:TBLite.nothing", "TBLite has no class method nothing"),
        ("tblite.ase:TBLite.reset", "TBLite has no class method reset"),
        ("tblite.ase:TBLite.reset.x", 'expected "module:Class"'),
    ],
)
def test_import_errors_name_the_path(path, message):
    with pytest.raises(IpipError, match=message):
        make_labeler({"type": "ase", "calculator": path}, TYPE_MAP)


@pytest.mark.parametrize(("package", "extra"), [("chgnet", "chgnet"), ("sevenn", "sevennet"), ("tblite", "xtb")])
def test_missing_package_names_our_extra(package, extra, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(IpipError, match=rf'no package {package}; install it with: pip install "ipip-dp\[{extra}\]"'):
        make_labeler({"type": "ase", "calculator": f"{package}.x:X"}, TYPE_MAP)


@pytest.mark.slow
def test_a_class_method_makes_the_calculator(tmp_path):
    """CHGNet from a file, its weights changed as fine-tuning would."""
    import torch
    from chgnet.model import CHGNet

    model = CHGNet.load(verbose=False)
    with torch.no_grad():
        model.composition_model.fc.weight += 1
    torch.save({"model": model.as_dict()}, tmp_path / "tuned.pth")
    module = "chgnet.model.dynamics:CHGNetCalculator"
    tuned = {"calculator": f"{module}.from_file", "kwargs": {"path": str(tmp_path / "tuned.pth"), "use_device": "cpu"}}
    system = mos2()
    energies = [
        system.predict(driver=make_labeler({"type": "ase", **config}, TYPE_MAP))["energies"][0]
        for config in ({"calculator": module, "kwargs": {"use_device": "cpu"}}, tuned)
    ]
    assert energies[1] - energies[0] == pytest.approx(system.get_natoms(), rel=1e-3)


def test_wrong_keyword_of_the_calculator():
    config = {"type": "ase", "calculator": "ase.calculators.harmonic:HarmonicCalculator", "kwargs": {"nonsense": 1}}
    with pytest.raises(IpipError, match="HarmonicCalculator' cannot be made from kwargs.*nonsense"):
        make_labeler(config, TYPE_MAP)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("calculator", "kwargs"),
    [
        ("chgnet.model.dynamics:CHGNetCalculator", {"use_device": "cpu"}),
        ("sevenn.calculator:SevenNetCalculator", {"model": "7net-0", "device": "cpu"}),
    ],
)
def test_stress_of_universal_potentials(calculator, kwargs):
    driver = make_labeler({"type": "ase", "calculator": calculator, "kwargs": kwargs}, TYPE_MAP)
    system = mos2(sigma=0.1)
    delta = 0.01
    strained = system[[0, 0, 0]]
    for i, sign in ((1, 1), (2, -1)):
        strain = np.diag([1 + sign * delta, 1, 1])
        strained.data["cells"][i] = system["cells"][0] @ strain
        strained.data["coords"][i] = system["coords"][0] @ strain
    labeled = strained.predict(driver=driver)
    energies = labeled["energies"]
    assert labeled["virials"][0, 0, 0] == pytest.approx(-(energies[1] - energies[2]) / (2 * delta), rel=0.05, abs=0.05)
