# SPDX-License-Identifier: LGPL-3.0-or-later
"""deepmd/npy systems: the one place where frames on disk are found, read and written.

dpdata writes these folders. It reads only whole systems, which need not fit into memory, and its
errors do not say which file is damaged; so arrays are mapped into memory and read block by block here.

A system is ``type.raw``, ``type_map.raw``, ``nopbc`` (open boundaries) and ``set.*/*.npy``. Its name here is the
path of its folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.data import provenance
from ipip_dp.data.elements import read_types, renamed
from ipip_dp.data.frames import frame_types, joined, sorted_by_type
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import dpdata

BLOCK_NUMBERS = 2**20
"""Coordinates in a block of frames: 8 MiB in double precision."""
LABELLED = ("cells", "coords", "energies", "forces")
"""What frames have that a student can train on, by dpdata's names."""


def below(folder: Path) -> list[Path]:
    """The systems below a folder, at any depth and through links, in a fixed order.

    No folder is searched twice, whatever links lead back to it, and hidden ones never.

    Raises
    ------
    IpipError
        If there is no such folder.
    """
    if not os.path.isdir(folder):  # unlike Path.is_dir, false for names that no file can have
        problem = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise IpipError(f"data folder {folder} {problem}; expected a folder with deepmd/npy systems")
    found, searched = [], set()
    for root, names, files in os.walk(folder, followlinks=True):
        if "type.raw" in files:
            found.append(Path(root))
        real = os.path.realpath(root)
        names[:] = [] if real in searched else sorted(name for name in names if not name.startswith("."))
        searched.add(real)
    return sorted(found)


def find(folders: Sequence[Path]) -> list[Path]:
    """The systems below some folders.

    Raises
    ------
    IpipError
        If a folder does not exist or holds no system.
    """
    systems = []
    for folder in folders:
        found = below(folder)
        if not found:
            raise IpipError(f"data folder {folder} holds no deepmd/npy system (no type.raw below it)")
        systems += found
    return systems


def sets(system: Path) -> list[Path]:
    """The set folders of a system in the order of their numbers."""
    # dpdata writes set.999 and set.1000
    found = [path for path in system.glob("set.*") if path.is_dir()]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def is_open(system: Path) -> bool:
    """Whether a system has no periodic boundaries."""
    return (system / "nopbc").exists()


def load(path: Path) -> np.ndarray:
    """Map a npy file into memory, read-only.

    Raises
    ------
    IpipError
        If it is missing, truncated or damaged.
    """
    try:
        if path.exists() and not path.is_file():
            raise IpipError(f"{path} is not a file")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise IpipError(f"{path} is missing; labelled data need coordinates, cells, energies and forces") from None
    except (OSError, ValueError, EOFError) as error:
        raise IpipError(f"{path} cannot be read: {error}; it is truncated or damaged") from error


def blocks(system: Path) -> Iterator[tuple[Path, slice]]:
    """Divide the frames of a system into blocks: whole sets, or parts of sets too large for one.

    Yields
    ------
    tuple of (Path, slice)
        A set folder, and which of its frames.

    Raises
    ------
    IpipError
        If a ``coord.npy`` is missing, truncated or damaged.
    """
    for folder in sets(system):
        for rows in row_blocks(load(folder / "coord.npy")):
            yield folder, rows


def row_blocks(array: np.ndarray) -> Iterator[slice]:
    """The rows of an array in blocks that fit into memory."""
    n_rows = len(array)
    size = max(1, BLOCK_NUMBERS * n_rows // max(1, array.size))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def read_frames(
    folder: Path,
    rows: slice | np.ndarray,
    types: dict[str, Any],
    required: Collection[str],
    only: Collection[str] | None = None,
) -> dpdata.LabeledSystem:
    """Read frames of one set folder, with atoms as they are on disk.

    Parameters
    ----------
    folder : Path
        The set.
    rows : slice or ndarray of int
        Which frames.
    types : dict
        atom_names, atom_numbs and atom_types of the frames.
    required : Collection[str]
        Data types, by their names in dpdata, that must be there.
    only : Collection[str], optional
        Stems of the npy files to read besides; all that dpdata and :mod:`ipip_dp.data.provenance` know when not given.

    Raises
    ------
    IpipError
        If a file is missing, truncated or damaged, or shapes disagree.
    """
    import dpdata

    return dpdata.LabeledSystem(data=_arrays(folder, rows, types, required, only))


def _arrays(
    folder: Path,
    rows: slice | np.ndarray,
    types: dict[str, Any],
    required: Collection[str],
    only: Collection[str] | None,
) -> dict[str, Any]:
    """What :func:`read_frames` reads, as a dpdata data dictionary."""
    from dpdata.data_type import Axis

    no_cell = is_open(folder.parent)
    data = {**types, "orig": np.zeros(3), "nopbc": no_cell}
    n_frames = len(load(folder / "coord.npy"))
    for dtype in frame_types():
        path = folder / f"{dtype.deepmd_name}.npy"
        wanted = path.exists() and (only is None or path.stem in only)
        if not (wanted or dtype.name in required):
            continue
        shape = [len(data["atom_types"]) if axis is Axis.NATOMS else axis for axis in dtype.shape[1:]]
        if no_cell and dtype.name == "cells" and not path.exists():
            data["cells"] = np.zeros((n_frames, 3, 3))[rows]
            continue
        array = load(path)
        try:
            data[dtype.name] = np.array(array.reshape(n_frames, *shape)[rows])
        except ValueError:
            raise IpipError(
                f"{path}: has shape {array.shape}, expected {n_frames} frames of {tuple(shape)} as coord.npy "
                "and type.raw say; write this data folder again"
            ) from None
    return data


def read_unlabelled(system: Path, type_map: Sequence[str], only: Sequence[Path] | None = None) -> dpdata.System:
    """Read the frames of a system, whether or not they have labels, without these.

    Parameters
    ----------
    type_map : sequence of str
        Elements in the order the result shall have; the system's own order may differ.
    only : sequence of Path, optional
        Some of its sets; all when not given.

    Raises
    ------
    IpipError
        If a file is missing or damaged, or the system has an element that is not in ``type_map``.
    """
    import dpdata

    types = read_types(system, type_map)
    if unknown := sorted(set(types["atom_names"]) - set(type_map)):
        raise IpipError(f"{system / 'type_map.raw'}: {', '.join(unknown)} not in type_map {list(type_map)}")
    types = renamed(types, type_map)
    parts = []
    for folder in sets(system) if only is None else only:
        require_one_composition(folder)
        data = _arrays(folder, slice(None), types, ("cells", "coords"), provenance.NAMES)
        parts.append(dpdata.System(data=data))
    if not parts:
        raise IpipError(f"{system} has no frames")
    return joined(parts)


def read_sorted(
    folder: Path, required: Collection[str], only: Collection[str] | None = None, rows: slice = slice(None)
) -> dpdata.LabeledSystem:
    """Read frames of one set folder as :func:`read_frames` does, with atoms sorted by type."""
    return sorted_by_type(read_frames(folder, rows, read_types(folder.parent), required, only))


def write(
    system: dpdata.System, folder: Path, set_size: int | None = None, precision: type[np.floating] = np.float64
) -> None:
    """Write a system, and the provenance of its frames if they have one.

    Parameters
    ----------
    set_size : int, optional
        Frames per set, the last set has the remainder; all in one when not given.
    precision : type
        Of all floating-point numbers.
    """
    system.to("deepmd/npy", str(folder), set_size=set_size or max(len(system), 1), prec=precision)
    start = 0
    for path in sets(folder):
        stop = start + len(load(path / "coord.npy"))
        for name in provenance.NAMES:
            if name in system.data:
                values = system.data[name][start:stop]
                kind = precision if np.issubdtype(values.dtype, np.floating) else values.dtype
                np.save(path / f"{name}.npy", values.astype(kind))
        start = stop


def require_one_composition(folder: Path) -> None:
    """Refuse a set of deepmd/npy/mixed data."""
    if (folder / "real_atom_types.npy").is_file():
        raise IpipError(f"{folder}: deepmd/npy/mixed data; convert them to deepmd/npy with dpdata")
