# SPDX-License-Identifier: LGPL-3.0-or-later
"""Structure files, and choices for `ipip new`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from ase.build import bulk, molecule, mx2

from ipip_dp.new.folder import Choices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def structure_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files of several formats in the working directory: a primitive cell, a slab, a molecule, a salt."""
    monkeypatch.chdir(tmp_path)
    files = {"copper": "Cu.cif", "slab": "slab.xyz", "water": "water.xyz", "salt": "POSCAR_LiF"}
    bulk("Cu").write(files["copper"])
    mx2("MoS2").write(files["slab"])
    molecule("H2O").write(files["water"])
    bulk("LiF", "rocksalt", a=4.03).write(files["salt"], format="vasp")
    return files


@pytest.fixture
def choose() -> Callable[..., Choices]:
    """Choices that differ from the usual ones in some."""
    usual = Choices(
        structures=["Cu.cif"],
        data=[],
        data_format="auto",
        teacher="emt",
        reference="xtb",
        machine="local_cpu",
        effort="usual",
        temperatures=[300, 600],
        rcut=6.0,
        shortest=8.0,
    )

    def make(**changes: Any) -> Choices:
        return dataclasses.replace(usual, **changes)

    return make
