# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import molecule
from dpgen.generator.run import make_fp_calculation

from ipip_dp.checks import fp
from ipip_dp.new import codes, folder

# The input that DP-GEN writes for a frame, and what must stand in it.
INPUTS = {
    "vasp": ("INCAR", ["KSPACING = 0.25", "ENCUT = 520"]),
    "cp2k": ("input.inp", ["&KIND H", "&KIND O", "POTENTIAL GTH-PBE", "&SMEAR ON", "A 20", "&XC_FUNCTIONAL PBE"]),
    "abacus": ("INPUT", ["ecutwfc 100", "cal_force 1", "basis_type pw"]),
    "pwscf": ("input", ["tprnfor=.TRUE.", "ecutwfc=60", "ATOMIC_SPECIES", "O.upf", "K_POINTS"]),
    "gaussian": ("input", ["force b3lyp/6-31g**", "%nproc="]),
    "custom": ("POSCAR", ["O"]),
}


@pytest.mark.parametrize("name", codes.CODES)
def test_dpgen_writes_an_input(name, choose, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    param, mdata = folder.inputs(choose(reference=name, teacher="xtb"), ["H", "O"], [4, 4], ["water.vasp"])
    task = Path("iter.000000/02.fp/task.000.000000")
    task.mkdir(parents=True)
    water = molecule("H2O", pbc=True)
    water.cell = [20, 20, 20]
    water.write(task / "POSCAR", format="vasp", sort=True)
    for pseudopotential in param.get("fp_pp_files", ()):
        Path(param["fp_pp_path"]).mkdir(exist_ok=True)
        (Path(param["fp_pp_path"]) / pseudopotential).write_text(f"{pseudopotential}\n")
    for file, text in codes.CODES[name].files.items():
        Path(file).write_text(text)
    make_fp_calculation(0, {**param, **fp.LEFT_OUT.get(name, {})}, mdata)
    file, expected = INPUTS[name]
    text = (task / file).read_text()
    assert all(words in text for words in expected), text
