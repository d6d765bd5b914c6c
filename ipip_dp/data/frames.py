# SPDX-License-Identifier: LGPL-3.0-or-later
"""Frames in memory, as systems of dpdata: take some, sort their atoms, join those of equal atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.data import provenance

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dpdata
    from dpdata.data_type import DataType


def frame_types() -> list[DataType]:
    """The kinds of data of which a system may have one row per frame."""
    import dpdata
    from dpdata.data_type import Axis

    known = [dtype for dtype in dpdata.LabeledSystem.DTYPES if dtype.shape and dtype.shape[0] is Axis.NFRAMES]
    return [*known, *provenance.DATA_TYPES]


def frame_arrays(system: dpdata.System) -> list[str]:
    """Names of the arrays of a system that have one row per frame."""
    return [dtype.name for dtype in frame_types() if dtype.name in system.data]


def take(system: dpdata.System, frames: slice | np.ndarray) -> dpdata.System:
    """Some frames of a system, in the order given, with their provenance."""
    part = system.sub_system(frames)
    part.data.update({name: system.data[name][frames] for name in provenance.NAMES if name in system.data})
    return part


def sorted_by_type(system: dpdata.LabeledSystem) -> dpdata.LabeledSystem:
    """The system with atoms in type order, so that equal formulas are equal systems."""
    if np.all(np.diff(system.get_atom_types()) >= 0):
        return system
    system = take(system, slice(None))
    system.sort_atom_types()
    return system


def joined(systems: Sequence[dpdata.System]) -> dpdata.System:
    """The frames of systems as one system.

    Raises
    ------
    ValueError
        If their atoms, boundaries or kinds of data differ.
    """
    first = systems[0]
    names = frame_arrays(first)
    for other in systems[1:]:
        same = np.array_equal(first["atom_types"], other["atom_types"]) and first["atom_names"] == other["atom_names"]
        if not same or first.nopbc != other.nopbc or names != frame_arrays(other):
            raise ValueError("frames of different atoms, boundaries or kinds of data cannot be joined")
    arrays = {name: np.concatenate([system.data[name] for system in systems]) for name in names}
    return type(first)(data={**first.data, **arrays})
