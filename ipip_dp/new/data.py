# SPDX-License-Identifier: LGPL-3.0-or-later
"""Labelled data of any program that dpdata or ASE reads, as training data and held-out set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.data import dumps, systems
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


@dataclass(frozen=True)
class Group:
    """Frames of equal atoms.

    Parameters
    ----------
    system : dpdata.LabeledSystem
        The frames, those of one file after those of another.
    sizes : list of int
        How many are of each file.
    """

    system: dpdata.LabeledSystem
    sizes: list[int]

    def held_out(self) -> np.ndarray:
        """Which frames are held out: the last fifth of every file; what is left over goes to the files after it.

        So no training frame follows in time, and every file, as of a temperature, has its share.

        Returns
        -------
        ndarray of bool, shape (n_frames,)
            At least one of two frames or more.
        """
        chosen = np.zeros(len(self.system), dtype=bool)
        ends = np.cumsum(self.sizes)
        for end, number in zip(ends, np.diff(ends // HELD_OUT, prepend=0), strict=True):
            chosen[end - number : end] = True
        if len(chosen) > 1 and not chosen.any():
            chosen[-1] = True
        return chosen


def read(paths: Sequence[Path], fmt: str = "auto") -> list[list[dpdata.LabeledSystem]]:
    """Read labelled data: the systems of every file; of a folder, each on its own.

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
    files = []
    for path in paths:
        found = _read(path, fmt)
        files += [[system] for system in found] if path.is_dir() else [found]
    return files


def _read(path: Path, fmt: str) -> list[dpdata.LabeledSystem]:
    import dpdata

    if not path.exists():
        raise IpipError(f"--data {path}: does not exist")
    if fmt == "auto":
        fmt = "deepmd/npy" if path.is_dir() else FORMATS.get(path.suffix.lower(), "auto")
    try:
        if fmt == "deepmd/npy":
            read = [dpdata.LabeledSystem(str(system), fmt=fmt) for system in systems.find([path])]
        elif fmt in READ_BY_ASE:
            read = [dpdata.LabeledSystem(atoms, fmt="ase/structure") for atoms in _frames(path, READ_BY_ASE[fmt])]
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


def _frames(path: Path, fmt: str) -> Iterator[Atoms]:
    """The frames of a file, by ASE; of those with open boundaries without a stress, which means nothing there."""
    from ase.io import iread

    for atoms in iread(path, format=fmt, index=":"):
        if not dumps.is_periodic(atoms.pbc) and atoms.calc is not None:
            atoms.calc.results.pop("stress", None)
        yield atoms


def elements(system: dpdata.LabeledSystem) -> list[str]:
    """The elements that a system has atoms of."""
    return [name for name, number in zip(system["atom_names"], system["atom_numbs"], strict=True) if number]


def grouped(files: Sequence[Sequence[dpdata.LabeledSystem]], type_map: Sequence[str]) -> dict[str, Group]:
    """The frames in terms of ``type_map``, those of equal atoms, boundaries and kinds of labels together, by name."""
    groups: dict[tuple[object, ...], dict[int, list[dpdata.LabeledSystem]]] = {}
    for number, file in enumerate(files):
        for system in file:
            system.apply_type_map(list(type_map))
            system = sorted_by_type(system)
            of_files = groups.setdefault((system.formula, system.nopbc, *frame_arrays(system)), {})
            of_files.setdefault(number, []).append(system)
    named: dict[str, Group] = {}
    for (formula, *_), of_files in groups.items():
        taken = sum(name.partition(".")[0] == formula for name in named)
        members = [joined(systems) for systems in of_files.values()]
        name = f"{formula}.{taken}" if taken else str(formula)
        named[name] = Group(joined(members), [len(member) for member in members])
    return named


def write(named: dict[str, Group], train: Path, held_out: Path) -> tuple[int, int]:
    """Write the data; the end of every file is held out, see :meth:`Group.held_out`.

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
    for name, group in named.items():
        chosen = group.held_out()
        for number, (folder, rows) in enumerate(((train, ~chosen), (held_out, chosen))):
            counts[number] += int(rows.sum())
            if rows.any():
                systems.write(take(group.system, rows.nonzero()[0]), folder / name)
    if not counts[1]:
        raise IpipError("--data: expected at least two frames of the same atoms, one of which can be held out")
    return counts[0], counts[1]


def frames(named: dict[str, Group]) -> Iterator[Atoms]:
    """Some frames of every system."""
    from ase import Atoms

    for system in (group.system for group in named.values()):
        symbols = np.array(system["atom_names"])[system["atom_types"]]
        for row in np.unique(np.linspace(0, len(system) - 1, LOOKED_AT).astype(int)):
            cell = None if system.nopbc else system["cells"][row]
            yield Atoms(symbols, positions=system["coords"][row], cell=cell, pbc=not system.nopbc)
