"""Read deepmd/npy folders one set at a time, with errors that name the file.

dpdata writes these folders. It reads only whole systems, which need not fit into memory,
and its errors do not say which file is damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dpdata
import numpy as np
from dpdata.data_type import Axis, DataType
from dpdata.formats.deepmd.raw import load_type

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

BLOCK_NUMBERS = 2**20
"""Coordinates in a block of frames: 8 MiB in double precision."""


def systems(folder: Path) -> list[Path]:
    """Return the deepmd/npy systems below a folder, sorted.

    Raises
    ------
    IpipError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise IpipError(f"{folder}: no such data folder")
    return sorted(path.parent for path in folder.rglob("type.raw"))


def sets(system: Path) -> list[Path]:
    """Return the set folders of a system in the order of their numbers."""
    # dpdata writes set.999 and set.1000
    found = [path for path in system.glob("set.*") if path.is_dir()]
    return sorted(found, key=lambda path: (len(path.name), path.name))


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
        coords = load(folder / "coord.npy")
        n_frames = len(coords)
        size = max(1, BLOCK_NUMBERS * n_frames // max(1, coords.size))
        for start in range(0, n_frames, size):
            yield folder, slice(start, min(start + size, n_frames))


def read_set(
    folder: Path, required: Collection[str], only: Collection[str] | None = None, rows: slice = slice(None)
) -> dpdata.LabeledSystem:
    """Read frames of one set folder, with atoms sorted by type.

    Parameters
    ----------
    folder : Path
        The set.
    required : Collection[str]
        Data types, by their names in dpdata, that must be there.
    only : Collection[str], optional
        Stems of the npy files to read besides; all that dpdata knows when not given.
    rows : slice
        Which frames; all by default.

    Raises
    ------
    IpipError
        If a file is missing, truncated or damaged, or shapes disagree.
    """
    return sorted_by_type(read_frames(folder, rows, read_types(folder.parent), required, only))


def read_frames(
    folder: Path,
    rows: slice,
    types: dict[str, Any],
    required: Collection[str],
    only: Collection[str] | None = None,
) -> dpdata.LabeledSystem:
    """Read frames of one set folder, with atoms as they are on disk.

    Parameters
    ----------
    types : dict
        atom_names, atom_numbs and atom_types of the frames.
    folder, rows, required, only
        See :func:`read_set`, also for what it raises.
    """
    nopbc = is_nopbc(folder.parent)
    data = {**types, "orig": np.zeros(3), "nopbc": nopbc}
    n_frames = len(load(folder / "coord.npy"))
    for dtype in dpdata.LabeledSystem.DTYPES:
        path = folder / f"{dtype.deepmd_name}.npy"
        wanted = path.exists() and (only is None or path.stem in only)
        if not _per_frame(dtype) or not (wanted or dtype.name in required):
            continue
        shape = [len(data["atom_types"]) if axis is Axis.NATOMS else axis for axis in dtype.shape[1:]]
        if nopbc and dtype.name == "cells" and not path.exists():
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
    return dpdata.LabeledSystem(data=data)


def sorted_by_type(system: dpdata.LabeledSystem) -> dpdata.LabeledSystem:
    """Return the system with atoms in type order, so that equal formulas are equal systems."""
    if np.all(np.diff(system.get_atom_types()) >= 0):
        return system
    system = system.sub_system(slice(None))
    system.sort_atom_types()
    return system


def joined(systems: Sequence[dpdata.System]) -> dpdata.System:
    """Return the frames of systems with the same atoms in the same order, and the same data, as one system."""
    arrays = {
        dtype.name: np.concatenate([system.data[dtype.name] for system in systems]) for dtype in frame_types(systems[0])
    }
    return type(systems[0])(data={**systems[0].data, **arrays})


def frame_types(system: dpdata.System) -> list[DataType]:
    """Return the data types of which a system has one row per frame."""
    return [dtype for dtype in dpdata.LabeledSystem.DTYPES if dtype.name in system.data and _per_frame(dtype)]


def is_nopbc(system: Path) -> bool:
    """Return whether a system has no periodic boundaries."""
    return (system / "nopbc").exists()


def read_types(system: Path) -> dict[str, Any]:
    """Read atom_names, atom_numbs and atom_types of a system.

    Raises
    ------
    IpipError
        If type_map.raw is missing, or type.raw damaged.
    """
    if not (system / "type_map.raw").exists():
        raise IpipError(f"{system / 'type_map.raw'}: missing; without it the elements of this data are unknown")
    try:
        return load_type(str(system))
    except ValueError as error:
        raise IpipError(f"{system / 'type.raw'}: not a list of atom types ({error})") from error


def load(path: Path) -> np.ndarray:
    """Map a npy file into memory, read-only.

    Raises
    ------
    IpipError
        If it is missing, truncated or damaged.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise IpipError(f"{path}: missing; every set of this data needs it: write the data folder again") from None
    except (OSError, ValueError, EOFError) as error:
        raise IpipError(f"{path}: truncated or damaged ({error}); remove this data folder to have it redone") from error


def check_type_maps(folders: Sequence[Path], expected: Sequence[str] | None = None) -> None:
    """Check that systems have the same type_map, that of the first one by default.

    Raises
    ------
    IpipError
        If elements or their order differ.
    """
    for folder in folders:
        found = read_types(folder)["atom_names"]
        expected = expected or found
        if found != list(expected):
            raise IpipError(
                f"{folder / 'type_map.raw'}: type_map is {found}, but other data of this run have {list(expected)}; "
                "all need the type_map of param.json, in its order"
            )


def _per_frame(dtype: DataType) -> bool:
    return bool(dtype.shape) and dtype.shape[0] is Axis.NFRAMES
