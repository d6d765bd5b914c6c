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
    from collections.abc import Collection, Sequence
    from pathlib import Path


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
    return sorted(system.glob("set.*"), key=lambda path: (len(path.name), path.name))


def read_set(folder: Path, required: Collection[str], only: Collection[str] | None = None) -> dpdata.LabeledSystem:
    """Read one set folder, with atoms sorted by type.

    Parameters
    ----------
    folder : Path
        The set.
    required : Collection[str]
        Data types, by their names in dpdata, that must be there.
    only : Collection[str], optional
        Stems of the npy files to read besides; all that dpdata knows when not given.

    Raises
    ------
    IpipError
        If a file is missing, truncated or damaged, or shapes disagree.
    """
    data = read_types(folder.parent)
    data["orig"] = np.zeros(3)
    data["nopbc"] = is_nopbc(folder.parent)
    n_frames = len(load(folder / "coord.npy"))
    for dtype in dpdata.LabeledSystem.DTYPES:
        path = folder / f"{dtype.deepmd_name}.npy"
        wanted = path.exists() and (only is None or path.stem in only)
        if not _per_frame(dtype) or not (wanted or dtype.name in required):
            continue
        shape = [len(data["atom_types"]) if axis is Axis.NATOMS else axis for axis in dtype.shape[1:]]
        array = load(path)
        try:
            data[dtype.name] = np.array(array).reshape(n_frames, *shape)
        except ValueError:
            raise IpipError(
                f"{path}: has shape {array.shape}, expected {n_frames} frames of {tuple(shape)} as coord.npy "
                "and type.raw say; write this data folder again"
            ) from None
    return sorted_by_type(dpdata.LabeledSystem(data=data))


def sorted_by_type(system: dpdata.LabeledSystem) -> dpdata.LabeledSystem:
    """Return the system with atoms in type order, so that equal formulas are equal systems."""
    if np.all(np.diff(system.get_atom_types()) >= 0):
        return system
    system = system.sub_system(slice(None))
    system.sort_atom_types()
    return system


def frame_types(system: dpdata.LabeledSystem) -> list[DataType]:
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
