# SPDX-License-Identifier: LGPL-3.0-or-later
"""Trajectories of LAMMPS: text dumps of one frame or many, each with atoms and boundaries of its own.

ASE parses a frame. dpdata's reader gives every frame the elements of the first one, takes open boundaries for
periodic ones and wraps positions into the box.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import dpdata

START = "ITEM: TIMESTEP"
POSITIONS = ("x", "xs", "xu", "xsu")  # columns, in the order in which ASE looks for them


def read_texts(path: Path) -> Iterator[tuple[int, str]]:
    """The MD step and text of every frame of a dump, whole or not; -1 if the step was cut off.

    An MD that was killed and went on repeats some steps.
    """
    lines: list[str] = []
    with path.open(errors="replace") as file:
        for line in file:
            begins = START in line or START.startswith(line)  # behind what was cut off, or cut off itself
            if begins and lines:
                yield _step(lines), "".join(lines)
                lines = []
            if lines or begins:
                lines.append(line)
    if lines:
        yield _step(lines), "".join(lines)


def _step(lines: Sequence[str]) -> int:
    step = re.fullmatch(r"\s*(\d+)\s*\n", lines[1]) if len(lines) > 1 else None
    return int(step[1]) if step else -1


def n_atoms(text: str) -> int:
    """The number of atoms in a frame's header; -1 without one."""
    header = re.search(r"^ITEM: NUMBER OF ATOMS\s*\n\s*(\d+)\s*\n", text, re.MULTILINE)
    return int(header[1]) if header else -1


def is_whole(text: str) -> bool:
    """Whether a frame has as many atoms, each with all columns, as its own header says."""
    atoms = re.search(r"^ITEM: ATOMS([^\n]*)\n", text, re.MULTILINE)
    if not atoms or not text.endswith("\n"):
        return False
    rows = text[atoms.end() :].splitlines()
    return len(rows) == n_atoms(text) and all(len(row.split()) == len(atoms[1].split()) for row in rows)


def is_periodic(boundaries: Sequence[bool]) -> bool:
    """Whether a structure is periodic in all directions; not so in none.

    Raises
    ------
    ValueError
        If it is in some only.
    """
    if any(boundaries) and not all(boundaries):
        raise ValueError("a frame is periodic in some directions only, which DeePMD-kit cannot train on")
    return all(boundaries)


def parse(text: str, type_map: Sequence[str]) -> dpdata.System:
    """One frame, atoms in the order of their ids.

    Parameters
    ----------
    text : str
        A frame of :func:`read_texts`.
    type_map : sequence of str
        The elements of LAMMPS' types 1, 2, ...; those of the system.

    Raises
    ------
    ValueError
        If the frame is not whole, its boundaries are periodic in some directions only, or it has a type that
        ``type_map`` lacks.
    """
    import dpdata
    from ase.io import read

    if not is_whole(text):
        raise ValueError("a frame is not whole: it has fewer atoms or columns than its header says")
    atoms = read(io.StringIO(text), format="lammps-dump-text", index=0)
    is_open = not is_periodic(atoms.pbc)
    types = atoms.arrays["type"] - 1 if "type" in atoms.arrays else _types(atoms.get_chemical_symbols(), type_map)
    if len(types) and not 0 <= types.min() <= types.max() < len(type_map):
        raise ValueError(f"a frame has atoms of type {types.max() + 1}, but there are {len(type_map)} types")
    origin = np.zeros(3) if _is_scaled(text) else atoms.get_celldisp().ravel()
    return dpdata.System(
        data={
            "atom_names": list(type_map),
            "atom_numbs": [int(np.sum(types == number)) for number in range(len(type_map))],
            "atom_types": types,
            "orig": np.zeros(3),
            "nopbc": is_open,
            "cells": np.array(atoms.cell)[None],
            "coords": (atoms.positions - origin)[None],
        }
    )


def _is_scaled(text: str) -> bool:
    """Whether positions are relative to the box, whatever its origin."""
    columns = text.partition("ITEM: ATOMS")[2].partition("\n")[0].split()
    return next(name for name in POSITIONS if name in columns) in ("xs", "xsu")


def _types(symbols: Sequence[str], type_map: Sequence[str]) -> np.ndarray:
    """The types of atoms of a dump that names elements instead."""
    if unknown := sorted(set(symbols) - set(type_map)):
        raise ValueError(f"a frame has {', '.join(unknown)}, which type_map {' '.join(type_map)} lacks")
    return np.array([list(type_map).index(symbol) for symbol in symbols])
