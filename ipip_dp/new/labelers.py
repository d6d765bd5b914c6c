# SPDX-License-Identifier: LGPL-3.0-or-later
"""Teachers and references by a word: their sections of param.json, and the elements they know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp.config import inputs
from ipip_dp.errors import IpipError
from ipip_dp.labelers import kind_of, labeler_arguments
from ipip_dp.new import templates
from ipip_dp.new.templates import LABELERS, NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTOMATIC = ("chgnet", "sevennet", "xtb", "emt")  # which need nothing but to be installed, the most general first
EMT_METALS = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")  # of ase.calculators.emt those that are not for fun only
NOT_IN_MPTRJ = ("Po", "At", "Rn", "Fr", "Ra")  # up to plutonium; what CHGNet and SevenNet-0 have learnt from


def section(name: str, type_map: Sequence[str], others: Sequence[str] = ()) -> dict[str, Any]:
    """The section of a labeler: one of ``templates.NAMES``, or what is in a JSON file; ``others`` may be meant, too.

    Raises
    ------
    IpipError
        If there is no such labeler, or it does not know an element.
    """
    if name in NAMES:
        _require_known(name, type_map)
        return _section(name, type_map)
    if not Path(name).is_file():
        raise IpipError(f"{name}: expected one of {', '.join([*others, *NAMES])}, or a JSON file of a labeler")
    value = inputs.load(Path(name))
    inputs.require_schema(labeler_arguments("labeler", ""), value, name)
    return value


def default(type_map: Sequence[str], periodic: bool) -> str:
    """The first teacher that is installed here and can label the structures; CHGNet if there is none."""
    for name in AUTOMATIC:
        config = _section(name, type_map)
        kind = kind_of(config)
        usable = periodic or not kind.needs_cell(config)
        if usable and not _unknown(name, type_map) and not any(True for _ in kind.check(config, here=True)):
            return name
    return AUTOMATIC[0]


def _section(name: str, type_map: Sequence[str]) -> dict[str, Any]:
    if name == "emt":
        return {"type": "ase", "calculator": "ase.calculators.emt:EMT"}
    if name == "lammps":
        coefficients = ["* * YOUR-POTENTIAL-FILE", *type_map]
        return {
            "type": "lammps",
            "pair_style": "YOUR-PAIR-STYLE",
            "pair_coeff": [" ".join(coefficients)],
            "elements": list(type_map),
        }
    template, key = LABELERS[name]
    value: dict[str, Any] = templates.param(template)["ipip"][key]
    return value


def _unknown(name: str, type_map: Sequence[str]) -> list[str]:
    from ase.data import atomic_numbers

    def knows(element: str) -> bool:
        if name == "emt":
            return element in EMT_METALS
        if name in ("chgnet", "sevennet"):
            return atomic_numbers[element] <= atomic_numbers["Pu"] and element not in NOT_IN_MPTRJ
        return name != "xtb" or atomic_numbers[element] <= atomic_numbers["Rn"]

    return [element for element in type_map if not knows(element)]


def _require_known(name: str, type_map: Sequence[str]) -> None:
    if unknown := _unknown(name, type_map):
        known = f"; it is for {', '.join(EMT_METALS)}" if name == "emt" else ""
        raise IpipError(f"{name} does not know {', '.join(unknown)}{known}; choose another")
