# SPDX-License-Identifier: LGPL-3.0-or-later
"""``param_templates/`` and ``machines/``: beside the package in a clone, in it where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipip_dp
from ipip_dp.config import inputs

PACKAGE = Path(ipip_dp.__file__).parent
# Labelers by a word: the template, and the section in it.
LABELERS = {
    "chgnet": ("universal_teacher_vasp", "teacher"),
    "sevennet": ("dpa4c_student_sevennet_teacher_vasp", "teacher"),
    "xtb": ("universal_teacher_ase_reference", "reference"),
    "dp": ("dpa3_student_dpa_teacher_vasp", "teacher"),
}
NAMES = (*LABELERS, "emt", "lammps")


def folder(name: str) -> Path:
    """``param_templates`` or ``machines``."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def param(name: str) -> dict[str, Any]:
    """A template for param.json."""
    return inputs.load(folder("param_templates") / f"{name}.json")


def machines() -> list[str]:
    """The names of the templates for machine.json."""
    return sorted(path.stem for path in folder("machines").glob("*.json"))


def machine(name: str) -> dict[str, Any]:
    """A template for machine.json."""
    return inputs.load(folder("machines") / f"{name}.json")
