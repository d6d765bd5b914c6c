# SPDX-License-Identifier: LGPL-3.0-or-later
"""Real labelers and small Mo-S-O structures."""

from __future__ import annotations

import os
from pathlib import Path

import dpdata
import numpy as np
import pytest
from ase import Atoms
from ase.build import mx2

from ipip_dp.data import systems as on_disk
from ipip_dp.data.gate import Gate
from ipip_dp.labelers import batch
from ipip_dp.labelers.md import md

TYPE_MAP = ["Mo", "S", "O"]


SW = {
    "type": "lammps",
    "pair_style": "sw/mod",
    "pair_coeff": ["* * tmd.sw.mod Mo S"],
    "elements": ["Mo", "S"],
    "command": "lmp",
}
XTB = {
    "type": "ase",
    "calculator": "tblite.ase:TBLite",
    "kwargs": {"method": "GFN1-xTB", "electronic_temperature": 3000.0, "verbosity": 0, "cache_api": False},
}


@pytest.fixture(autouse=True)
def inside_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def mos2(n_frames=1, sigma=0.05, seed=0, size=(1, 1, 1)):
    """Rattled frames of a skewed MoS2 cell, shape (n_frames, 3 * prod(size), 3)."""
    rng = np.random.default_rng(seed)
    atoms = mx2("MoS2", size=size, vacuum=8)
    atoms.cell[2] = [0.3, 1.0, 20.0]
    atoms.pbc = True
    system = dpdata.System(atoms, fmt="ase/structure")
    system.data["cells"] = np.repeat(system["cells"], n_frames, axis=0)
    system.data["coords"] = system["coords"] + rng.normal(0, sigma, (n_frames, len(atoms), 3))
    return system


def interleaved():
    """Return a small Mo-S-O cluster in a box, elements interleaved."""
    positions = [[0, 0, 0], [2.3, 0, 0], [0, 1.7, 0], [-2.3, 0.2, 0], [0, -1.7, 0.3], [0.1, 0, 2.4]]
    return Atoms("MoSOSOS", np.array(positions) + 6, cell=[12, 13, 14], pbc=True)


@pytest.fixture
def poscar():
    """A start structure for MD in the working directory."""
    mos2(size=(2, 2, 1), sigma=0.0).to("vasp/poscar", "POSCAR")


MD_SETTINGS = {"temperature": 300.0, "timestep": 1.0, "nsteps": 40, "interval": 10, "friction": 0.01, "seed": 7}


def drive(config=SW, output="labels", gate=None, **changes):
    """MD from POSCAR with a labeler."""
    return md(
        Path("POSCAR"), Path(output), config, type_map=TYPE_MAP, gate=gate or Gate(), **{**MD_SETTINGS, **changes}
    )


def counting(**kwargs):
    """An ASE labeler that notes its calls, see counting.py; needs the fixture counting_calculator."""
    return {
        "type": "ase",
        "calculator": "counting:CountingTBLite",
        "kwargs": {**XTB["kwargs"], "log": "calls.txt", **kwargs},
    }


@pytest.fixture
def counting_calculator(monkeypatch):
    here = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv("PYTHONPATH", here, prepend=os.pathsep)


def calls():
    return Path("calls.txt").read_text().splitlines() if Path("calls.txt").exists() else []


def label(inputs, config=SW, output="labels", **kwargs):
    kwargs = {"type_map": TYPE_MAP, "gate": Gate(), **kwargs}
    return batch.label([Path(name) for name in np.atleast_1d(inputs)], Path(output), config, **kwargs)


def write(system, name="data"):
    system.apply_type_map(TYPE_MAP)
    on_disk.write(system, Path(name))
    return name
