# SPDX-License-Identifier: LGPL-3.0-or-later
"""Random frames of LAMMPS: what it would dump, and what that means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

TYPE_MAP = ["Mo", "S", "O"]


class Frame(NamedTuple):
    """A frame.

    Parameters
    ----------
    text : callable
        The dump at an MD step.
    types : ndarray, shape (n_atoms,)
        From 0 on, in the order of the ids.
    coords, cell : ndarray
        Positions relative to the origin of the box, and its vectors, in Angstrom.
    is_open : bool
        Whether it has no periodic boundaries.
    """

    text: Callable[[int], str]
    types: np.ndarray
    coords: np.ndarray
    cell: np.ndarray
    is_open: bool


@st.composite
def frames(draw: Any) -> Frame:
    """A frame in any box, with any boundaries that all directions share, and any order of atoms."""
    n_atoms = draw(st.integers(1, 6))
    types = draw(st.lists(st.integers(1, 3), min_size=n_atoms, max_size=n_atoms))
    number = st.integers(-400, 400).map(lambda value: value / 64)
    origin = np.array(draw(st.tuples(number, number, number)))
    lengths = np.array(draw(st.tuples(*[st.integers(128, 512).map(lambda value: value / 64)] * 3)))
    tilt = draw(st.one_of(st.just((0, 0, 0)), st.tuples(*[st.integers(-60, 60).map(lambda value: value / 64)] * 3)))
    edge = draw(st.sampled_from(["pp", "ff", "ss", "fs", "mm"]))
    coords = np.array(draw(st.lists(st.tuples(number, number, number), min_size=n_atoms, max_size=n_atoms)))
    order = draw(st.permutations(range(n_atoms)))
    xy, xz, yz = tilt
    low = origin + [min(0, xy, xz, xy + xz), min(0, yz), 0]
    high = origin + lengths + [max(0, xy, xz, xy + xz), max(0, yz), 0]
    names, columns = ("", [f"{a} {b}" for a, b in zip(low, high, strict=True)])
    if any(tilt):
        names, columns = "xy xz yz ", [f"{row} {value}" for row, value in zip(columns, tilt, strict=True)]
    cell = np.diag(lengths)
    cell[1, 0], cell[2, 0], cell[2, 1] = tilt
    scaled = draw(st.booleans())
    shown = coords @ np.linalg.inv(cell) if scaled else coords + origin
    head = "id type xs ys zs fx" if scaled else "id type x y z fx"
    rows = [f"{i + 1} {types[i]} {' '.join(map(repr, map(float, shown[i])))} 0.5" for i in order]
    box = [f"ITEM: BOX BOUNDS {names}{edge} {edge} {edge}", *columns]

    def text(step: int) -> str:
        lines = ["ITEM: TIMESTEP", step, "ITEM: NUMBER OF ATOMS", n_atoms, *box, f"ITEM: ATOMS {head}", *rows]
        return "".join(f"{line}\n" for line in lines)

    return Frame(text, np.array(types) - 1, coords, cell, edge != "pp")
