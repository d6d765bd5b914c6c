# SPDX-License-Identifier: LGPL-3.0-or-later
"""Small helpers on dpdata's frame dictionaries, shared by the drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.labelers.base import LabelerError

if TYPE_CHECKING:
    from collections.abc import Sequence


def symbols(data: dict[str, Any]) -> list[str]:
    """Return the element of every atom of a dpdata data dictionary."""
    return [data["atom_names"][t] for t in data["atom_types"]]


def unknown_elements(data: dict[str, Any], elements: Sequence[str] | None) -> list[str]:
    """Return the elements in the frames that a labeler does not know (none if it cannot tell)."""
    return [] if elements is None else sorted(set(symbols(data)) - set(elements))


def element_indices(data: dict[str, Any], elements: Sequence[str], owner: str) -> np.ndarray:
    """Map the atoms by element name to positions in another list of elements.

    Parameters
    ----------
    data : dict
        dpdata data dictionary.
    elements : sequence of str
        The other list.
    owner : str
        Whose list it is, for the error message.

    Returns
    -------
    ndarray of int, shape (n_atoms,)

    Raises
    ------
    LabelerError
        If an element of the frames is not in the list.
    """
    unknown = unknown_elements(data, elements)
    if unknown:
        raise LabelerError(f"{owner} does not know {' '.join(unknown)}: it knows {' '.join(elements)}")
    return np.array([list(elements).index(symbol) for symbol in symbols(data)])


def periodic_cells(data: dict[str, Any]) -> np.ndarray | None:
    """Return the cells, shape (n_frames, 3, 3) in Angstrom, or None without periodic boundaries."""
    return None if data.get("nopbc", False) else data["cells"]
