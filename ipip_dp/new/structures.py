# SPDX-License-Identifier: LGPL-3.0-or-later
"""Start structures from anything ASE reads, as periodic cells large enough for MD, and the neighbours in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.data.gate import have_volume
from ipip_dp.errors import IpipError
from ipip_dp.labelers.read import VACUUM
from ipip_dp.text import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ase import Atoms

MOST_ATOMS = 10_000  # that repeating a cell may make
SKIN = 0.5  # Angstrom; atoms this far outside the cutoff come within it as they move
SPARE, STEP = 1.1, 4  # what DeePMD-kit makes of `"sel": "auto"` (deepmd/utils/update_sel.py)


@dataclass(frozen=True)
class Structure:
    """A start structure.

    Parameters
    ----------
    name : str
        Its file in the folder of start structures.
    atoms : ase.Atoms
        A periodic cell.
    changes : str
        What became of the structure that was read, for its reader.
    is_bulk : bool
        Whether it was periodic in all directions.
    """

    name: str
    atoms: Atoms
    changes: str
    is_bulk: bool


def read(names: Sequence[str], shortest: float) -> list[Structure]:
    """Read structures as start structures.

    Parameters
    ----------
    names : sequence of str
        Files. One of several structures gives its last, or with ASE's ``FILE@:`` all of them.
    shortest : float
        Least distance between opposite faces of a cell, Angstrom; shorter ones are repeated.

    Raises
    ------
    IpipError
        If a file cannot be read or holds no atoms.
    """
    found: dict[str, Structure] = {}
    for name in names:
        for atoms in _read(name):
            stem = re.sub(r"[^\w.-]+", "_", Path(name.partition("@")[0]).stem).strip("_.") or "start"
            number = 1
            while (file := f"{stem}{f'_{number}' if number > 1 else ''}.vasp") in found:
                number += 1
            found[file] = Structure(file, *_prepared(name, atoms, shortest))
    return list(found.values())


def _read(name: str) -> list[Atoms]:
    from ase.io import read as ase_read

    try:
        read = ase_read(name)
    except FileNotFoundError:
        raise IpipError(f"{name}: does not exist") from None
    except Exception as error:  # whatever ASE's parsers raise on a broken file
        raise IpipError(
            f"{name}: ASE cannot read a structure from it ({reason(error)}); convert it to POSCAR or extxyz"
        ) from None
    structures = read if isinstance(read, list) else [read]
    if not structures:
        raise IpipError(f"{name}: has no such structure")
    for atoms in structures:
        if not len(atoms) or not atoms.numbers.all() or not np.isfinite(atoms.positions).all():
            raise IpipError(f"{name}: expected atoms of known elements at finite positions")
    return structures


def _prepared(name: str, atoms: Atoms, shortest: float) -> tuple[Atoms, str, bool]:
    """A periodic cell of a structure, what had to be done for it, and whether it was one."""
    from ase import Atoms

    # Without constraints, velocities and labels, which a POSCAR would keep in part.
    atoms = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc & atoms.cell.any(axis=1))
    changes = []
    periodic = atoms.pbc.copy()
    if not periodic.all():
        atoms.center(vacuum=VACUUM / 2, axis=tuple(np.flatnonzero(~periodic)))
        changes.append(f"{VACUUM:g} A of vacuum where it was not periodic")
    atoms.pbc = True
    if not have_volume(atoms.cell.array[None]).all():
        raise IpipError(f"{name}: expected a cell that has a volume")
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell), axis=0)
    repeats = np.where(periodic, np.ceil(shortest / heights - 1e-6), 1).astype(int).clip(1)
    n_atoms = len(atoms) * repeats.prod()
    if n_atoms > max(MOST_ATOMS, len(atoms)):
        raise IpipError(f"{name}: {n_atoms:,} atoms with --min-length {shortest:g}; give a smaller one")
    if repeats.max() > 1:
        changes.append(f"repeated {' x '.join(map(str, repeats))}")
    return atoms.repeat(tuple(repeats)), ", ".join(changes), bool(periodic.all())


def write(structures: Iterable[Structure], folder: Path) -> None:
    """Write start structures as POSCAR files."""
    folder.mkdir(parents=True)
    for structure in structures:
        structure.atoms.write(folder / structure.name, format="vasp", direct=True, sort=True)


def neighbours(frames: Iterable[Atoms], type_map: Sequence[str], rcut: float) -> list[int]:
    """Numbers of neighbours that a descriptor has to have room for (``sel``).

    Parameters
    ----------
    frames : iterable of ase.Atoms
        Frames of what the model is for.
    type_map : sequence of str
        Elements.
    rcut : float
        Cutoff, Angstrom.

    Returns
    -------
    list of int
        For every element the largest number in any frame, with a margin, a multiple of 4.
    """
    from ase.neighborlist import neighbor_list

    most = np.zeros(len(type_map), dtype=int)
    for atoms in frames:
        first, second = neighbor_list("ij", atoms, rcut + SKIN)
        for number, element in enumerate(type_map):
            of_element = first[np.array(atoms.get_chemical_symbols())[second] == element]
            most[number] = max(most[number], np.bincount(of_element, minlength=1).max())
    return [max(STEP, int(np.ceil(count * SPARE / STEP)) * STEP) for count in most]
