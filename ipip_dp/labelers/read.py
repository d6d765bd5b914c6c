# SPDX-License-Identifier: LGPL-3.0-or-later
"""Read unlabelled frames from anything dpdata or ASE reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import dumps, systems
from ipip_dp.data.frames import frame_arrays, joined
from ipip_dp.errors import IpipError
from ipip_dp.text import reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import dpdata

FORMATS = {
    ".vasp": "vasp/poscar",
    ".poscar": "vasp/poscar",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".traj": "ase/traj",
    ".lammpstrj": "lammps/dump",
}
VACUUM = 10.0  # Angstrom
OPEN_POSCAR = "no periodic boundaries (ipip)"
"""The comment of a POSCAR whose cell is only there because the format has no other way."""
# Files of many frames of any composition, for which dpdata's own readers want labels.
READ_BY_ASE = {"extxyz": "extxyz", "ase/traj": "traj"}


@dataclass(frozen=True)
class FrameGroup:
    """Frames with the same atoms in the same order.

    Parameters
    ----------
    system : dpdata.System
        The frames.
    sources : tuple of (str, int)
        File or folder of every frame and its number in there.
    """

    system: dpdata.System
    sources: tuple[tuple[str, int], ...]


def read_frames(inputs: Sequence[Path], type_map: Sequence[str], fmt: str = "auto") -> list[FrameGroup]:
    """Read frames and group those that have the same atoms in the same order.

    Parameters
    ----------
    inputs : sequence of Path
        Files, or folders that are searched for deepmd/npy systems.
    type_map : sequence of str
        Elements, in the order the systems shall have.
    fmt : str
        A dpdata format; "auto" goes by the name.

    Returns
    -------
    list of FrameGroup
        Every frame keeps its provenance, and the arrays of registered dpdata data types it came with.

    Raises
    ------
    IpipError
        If an input cannot be read or holds an element outside the type map.
    """
    groups: dict[tuple[object, ...], list[tuple[dpdata.System, tuple[str, int]]]] = {}
    for path in inputs:
        for source, number, system in _read(Path(path), fmt, list(type_map)):
            key = (tuple(system["atom_types"]), system.nopbc, tuple(frame_arrays(system)))
            groups.setdefault(key, []).append((system, (source, number)))
    return [_merge(members) for members in groups.values()]


def _merge(members: list[tuple[dpdata.System, tuple[str, int]]]) -> FrameGroup:
    sources = [(source, first + i) for system, (source, first) in members for i in range(len(system))]
    return FrameGroup(joined([system for system, _ in members]), tuple(sources))


def _read(path: Path, fmt: str, type_map: list[str]) -> Iterator[tuple[str, int, dpdata.System]]:
    """Yield (file, number of the first frame, system) for every system of an input."""
    if not path.exists():
        raise IpipError(f"input {path} does not exist")
    fmt = _guess_format(path) if fmt == "auto" else fmt
    for source in systems.find([path]) if path.is_dir() and fmt == "deepmd/npy" else [path]:
        try:
            number = None
            for number, system in _read_one(source, fmt, type_map):
                if not system.get_natoms():  # what some of dpdata's parsers make of any file
                    raise ValueError("no atoms")
                system.apply_type_map(type_map)
                yield str(source), number, system
            if number is None:
                raise ValueError("no frames")
        except Exception as error:
            raise IpipError(
                f"{source} cannot be read as {fmt} with type_map {' '.join(type_map)}: {reason(error)}"
            ) from error


def _read_one(source: Path, fmt: str, type_map: list[str]) -> Iterator[tuple[int, dpdata.System]]:
    import dpdata

    if fmt == "lammps/dump":
        for number, (_, text) in enumerate(dumps.read_texts(source)):
            yield number, dumps.parse(text, type_map)
    elif fmt in READ_BY_ASE:
        from ase.io import iread

        for number, atoms in enumerate(iread(source, format=READ_BY_ASE[fmt], index=":")):
            dumps.is_periodic(atoms.pbc)
            yield number, dpdata.System(atoms, fmt="ase/structure")
    elif fmt == "deepmd/npy":
        yield 0, systems.read_unlabelled(source, type_map)
    else:
        system = dpdata.System(str(source), fmt=fmt, type_map=type_map)
        if fmt == "vasp/poscar" and source.read_text(errors="replace").startswith(OPEN_POSCAR):
            system.data["nopbc"] = True
        yield 0, system


def write_open_poscar(system: dpdata.System, path: Path) -> None:
    """Write the only frame of an open system as a POSCAR that :func:`read_frames` knows to be open.

    To other programs it is periodic, with vacuum of ``VACUUM`` between images.
    """
    system = system.copy()
    system.data["coords"] = system["coords"] - system["coords"].min(axis=1, keepdims=True)
    system.data["cells"] = np.diag(system["coords"][0].max(axis=0) + VACUUM)[None]
    system.to("vasp/poscar", str(path))
    lines = path.read_text().splitlines(keepends=True)
    workdir.write_text(path, "".join([f"{OPEN_POSCAR}\n", *lines[1:]]))


def _guess_format(path: Path) -> str:
    if path.is_dir():
        return "deepmd/npy"
    if path.name.startswith(("POSCAR", "CONTCAR")):
        return "vasp/poscar"
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise IpipError(
            f"the format of {path} is not clear from its name; give it, for example --format vasp/poscar "
            f"(recognised names: folders, POSCAR*, CONTCAR*, {', '.join(f'*{suffix}' for suffix in FORMATS)})"
        ) from None
