# SPDX-License-Identifier: LGPL-3.0-or-later
"""What atoms a deepmd/npy system has: ``type.raw`` and ``type_map.raw``, and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def read_types(system: Path, type_map: Sequence[str] | None = None) -> dict[str, Any]:
    """Read atom_names, atom_numbs and atom_types of a system, as they are on disk.

    Parameters
    ----------
    system : Path
        Its folder.
    type_map : sequence of str, optional
        The elements of a system without ``type_map.raw``, which is what DeePMD-kit takes them for.

    Raises
    ------
    IpipError
        If ``type_map.raw`` is missing and no ``type_map`` given, or a file is malformed.
    """
    raw = system / "type_map.raw"
    if not raw.exists() and type_map is None:
        raise IpipError(f"{raw}: missing; without it the elements of this data are unknown")
    try:
        names = raw.read_text().split() if raw.is_file() else list(type_map or ())
    except (OSError, ValueError) as error:
        raise IpipError(f"{raw}: expected the names of the elements: {error}") from None
    types = atom_types(system)
    for found in (types.min(initial=0), types.max(initial=0)):
        if len(types) and not 0 <= found < len(names):
            raise IpipError(
                f"{system / 'type.raw'}: expected types from 0 to {len(names) - 1} for {names}, found {found}"
            )
    return {
        "atom_names": names,
        "atom_numbs": [int(np.sum(types == number)) for number in range(len(names))],
        "atom_types": types,
    }


def atom_types(system: Path) -> np.ndarray:
    """Read the type of every atom, shape (n_atoms,).

    Raises
    ------
    IpipError
        If ``type.raw`` is missing or malformed.
    """
    raw = system / "type.raw"
    try:
        return np.array([int(word) for word in raw.read_text().split()], dtype=int)
    except (OSError, ValueError, OverflowError) as error:
        raise IpipError(f"{raw}: expected the type of every atom, an integer from 0 on: {error}") from None


def renamed(types: dict[str, Any], elements: Sequence[str]) -> dict[str, Any]:
    """The types of :func:`read_types` in terms of another list of elements, which has all of theirs."""
    place = np.array([list(elements).index(name) for name in types["atom_names"]], dtype=int)
    atoms = place[types["atom_types"]]
    numbers = [int(np.sum(atoms == number)) for number in range(len(elements))]
    return {"atom_names": list(elements), "atom_numbs": numbers, "atom_types": atoms}


def require_same_elements(systems: Sequence[Path], expected: Sequence[str] | None = None) -> None:
    """Check that systems have the same type_map, that of the first one by default.

    Raises
    ------
    IpipError
        If elements or their order differ.
    """
    for system in systems:
        found = read_types(system)["atom_names"]
        expected = expected or found
        if found != list(expected):
            raise IpipError(
                f"{system / 'type_map.raw'}: type_map is {found}, but other data of this run have {list(expected)}; "
                "all need the type_map of param.json, in its order"
            )
