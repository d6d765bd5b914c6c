# SPDX-License-Identifier: LGPL-3.0-or-later
"""Labelled data of any program that dpdata or ASE reads, as training data and held-out set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.data import systems
from ipip_dp.data.frames import frame_arrays, joined, sorted_by_type, take
from ipip_dp.errors import IpipError
from ipip_dp.labelers.read import FORMATS, READ_BY_ASE
from ipip_dp.text import reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import dpdata
    from ase import Atoms

HELD_OUT = 5  # of so many frames one is held out
LOOKED_AT = 50  # frames of a system in which neighbours are counted


def read(paths: Sequence[Path], fmt: str = "auto") -> list[dpdata.LabeledSystem]:
    """Read labelled data.

    Parameters
    ----------
    paths : sequence of Path
        Files, or folders that are searched for deepmd/npy systems.
    fmt : str
        A dpdata format; "auto" goes by the name.

    Raises
    ------
    IpipError
        If one cannot be read or has no labelled frame.
    """
    return [system for path in paths for system in _read(path, fmt)]


def _read(path: Path, fmt: str) -> list[dpdata.LabeledSystem]:
    import dpdata
    from ase.io import iread

    if not path.exists():
        raise IpipError(f"--data {path}: does not exist")
    if fmt == "auto":
        fmt = "deepmd/npy" if path.is_dir() else FORMATS.get(path.suffix.lower(), "auto")
    try:
        if fmt == "deepmd/npy":
            read = [dpdata.LabeledSystem(str(system), fmt=fmt) for system in systems.find([path])]
        elif fmt in READ_BY_ASE:
            frames = iread(path, format=READ_BY_ASE[fmt], index=":")
            read = [dpdata.LabeledSystem(atoms, fmt="ase/structure") for atoms in frames]
        else:
            read = [dpdata.LabeledSystem(str(path), fmt=fmt)]
        if not sum(map(len, read)):
            raise ValueError("no frames")
        if not all({"energies", "forces"} <= system.data.keys() for system in read):
            raise ValueError("energies or forces are missing")
    except IpipError as error:
        raise IpipError(f"--data {error}") from None
    except Exception as error:  # whatever parsers raise on a broken file
        raise IpipError(
            f"--data {path}: cannot be read as labelled frames ({reason(error)}); --data-format names its format by "
            "dpdata, as vasp/outcar, cp2k/output or extxyz"
        ) from None
    return read


def elements(system: dpdata.LabeledSystem) -> list[str]:
    """The elements that a system has atoms of."""
    return [name for name, number in zip(system["atom_names"], system["atom_numbs"], strict=True) if number]


def grouped(found: Sequence[dpdata.LabeledSystem], type_map: Sequence[str]) -> dict[str, dpdata.LabeledSystem]:
    """The frames in terms of ``type_map``, those of equal atoms, boundaries and kinds of labels together, by name."""
    groups: dict[tuple[object, ...], list[dpdata.LabeledSystem]] = {}
    for system in found:
        system.apply_type_map(list(type_map))
        system = sorted_by_type(system)
        groups.setdefault((system.formula, system.nopbc, *frame_arrays(system)), []).append(system)
    named: dict[str, dpdata.LabeledSystem] = {}
    for (formula, *_), members in groups.items():
        taken = sum(name.partition(".")[0] == formula for name in named)
        named[f"{formula}.{taken}" if taken else str(formula)] = joined(members)
    return named


def write(named: dict[str, dpdata.LabeledSystem], train: Path, held_out: Path) -> tuple[int, int]:
    """Write the data; the last fifth of every system, which no training frame follows in time, is held out.

    Returns
    -------
    tuple of int
        Numbers of frames for training and held out.

    Raises
    ------
    IpipError
        If no system has a second frame.
    """
    counts = [0, 0]
    for name, system in named.items():
        n_held_out = max(len(system) // HELD_OUT, int(len(system) > 1))
        split = len(system) - n_held_out
        for number, (folder, rows) in enumerate(((train, slice(0, split)), (held_out, slice(split, None)))):
            part = take(system, rows)
            counts[number] += len(part)
            if len(part):
                systems.write(part, folder / name)
    if not counts[1]:
        raise IpipError("--data: expected at least two frames of the same atoms, one of which can be held out")
    return counts[0], counts[1]


def frames(named: dict[str, dpdata.LabeledSystem]) -> Iterator[Atoms]:
    """Some frames of every system."""
    from ase import Atoms

    for system in named.values():
        symbols = np.array(system["atom_names"])[system["atom_types"]]
        for row in np.unique(np.linspace(0, len(system) - 1, LOOKED_AT).astype(int)):
            cell = None if system.nopbc else system["cells"][row]
            yield Atoms(symbols, positions=system["coords"][row], cell=cell, pbc=not system.nopbc)
