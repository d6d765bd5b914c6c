"""Reference-labelled data folders: find their systems, read and check them."""

from __future__ import annotations

import glob
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp import npy
from ipip_dp.errors import IpipError
from ipip_dp.selection import have_volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import dpdata

# Labels that DeePMD-kit reads if they are there, and their numbers per frame; 0: one per atom.
OPTIONAL = {"virial": 9, "atom_ener": 0, "atom_pref": 0}


def find_systems(folders: Sequence[Path]) -> list[Path]:
    """The deepmd/npy systems below some folders, in a fixed order.

    Raises
    ------
    IpipError
        If a folder does not exist or holds no system.
    """
    systems = []
    for folder in folders:
        if not os.path.isdir(folder):  # unlike Path.is_dir, false for names that no file can have
            problem = "is not a folder" if os.path.exists(folder) else "does not exist"
            raise IpipError(f"data folder {folder} {problem}; expected a folder with deepmd/npy systems")
        pattern = f"{glob.escape(str(folder))}/**/type.raw"  # unlike Path.rglob, glob follows links
        found = sorted(Path(raw).parent for raw in glob.glob(pattern, recursive=True))
        if not found:
            raise IpipError(f"data folder {folder} holds no deepmd/npy system (no type.raw below it)")
        systems += found
    return systems


def check_type_map(system: Path, type_map: Sequence[str]) -> None:
    """Compare a system's ``type.raw`` and ``type_map.raw`` with the run's ``type_map``.

    Raises
    ------
    IpipError
        If a file is malformed, if the system has an element that ``type_map`` lacks,
        or lists the common elements in another order.
    """
    raw = system / "type_map.raw"
    try:
        own = raw.read_text().split() if raw.is_file() else list(type_map)
    except (OSError, ValueError) as error:
        raise IpipError(f"{raw}: expected the names of the elements: {error}") from None
    unknown = [element for element in own if element not in type_map]
    if unknown:
        raise IpipError(f"{raw}: element {', '.join(unknown)} is not in type_map {list(type_map)} of param.json")
    if own != [element for element in type_map if element in own]:
        raise IpipError(
            f"{raw}: the order {own} differs from type_map {list(type_map)} of param.json; "
            "write the data again with the order of param.json"
        )
    types = _atom_types(system)
    for found in (min(types, default=0), max(types, default=0)):
        if types and not 0 <= found < len(own):
            raise IpipError(f"{system / 'type.raw'}: expected types from 0 to {len(own) - 1} for {own}, found {found}")


def _atom_types(system: Path) -> list[int]:
    path = system / "type.raw"
    try:
        return [int(word) for word in path.read_text().split()]
    except (OSError, ValueError) as error:
        raise IpipError(f"{path}: expected the type of every atom, an integer from 0 on: {error}") from None


def check_frames(system: Path) -> int:
    """Check that a labelled system has frames with finite energies and forces; count its frames.

    Raises
    ------
    IpipError
        If a file is missing or cannot be read, its shape disagrees with ``type.raw``, it
        holds NaN or infinity, or there is no frame.
    """
    n_atoms = len(_atom_types(system))
    columns = {"coord": 3 * n_atoms, "energy": 1, "force": 3 * n_atoms}
    if not (system / "nopbc").is_file():
        columns["box"] = 9
    total = 0
    for folder in npy.sets(system):
        if (folder / "real_atom_types.npy").is_file():
            raise IpipError(f"{folder}: deepmd/npy/mixed data; convert them to deepmd/npy with dpdata")
        frames = {name: _check_array(folder / f"{name}.npy", columns[name]) for name in columns}
        if len(set(frames.values())) > 1:
            raise IpipError(f"{folder}: files disagree on the number of frames: {frames}")
        if "box" in columns:
            _check_cells(folder / "box.npy")
        for name, width in OPTIONAL.items():
            path = folder / f"{name}.npy"
            if frames["coord"] and path.exists() and (found := _check_array(path, width or n_atoms)) != frames["coord"]:
                raise IpipError(f"{path}: has {found} frames, but coord.npy {frames['coord']}")
        total += frames["coord"]
    if total == 0:
        raise IpipError(f"{system} has no frames")
    return total


def _load(path: Path) -> np.ndarray:
    try:
        if path.exists() and not path.is_file():
            raise IpipError(f"{path} is not a file")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise IpipError(f"{path} is missing; labelled data need coordinates, cells, energies and forces") from None
    except (ValueError, OSError, EOFError) as error:
        raise IpipError(f"{path} cannot be read: {error}") from error


def _blocks(path: Path) -> Iterator[np.ndarray]:
    """Yield the rows of an array in blocks that fit into memory."""
    array = _load(path)
    n_rows = len(array)
    size = max(1, npy.BLOCK_NUMBERS * n_rows // max(1, array.size))
    for start in range(0, n_rows, size):
        yield _load(path)[start : start + size]  # a map of its own, since what was read of a map stays in memory


def _check_array(path: Path, columns: int) -> int:
    """Check one array of a set; count its frames."""
    array = _load(path)
    n_frames = array.size // columns if columns else 0
    if array.shape[:1] != (n_frames,) or array.size != n_frames * columns or array.dtype.kind not in "fiu":
        raise IpipError(
            f"{path} has shape {array.shape} and type {array.dtype}; expected numbers, (n_frames, {columns})"
        )
    finite = np.concatenate(
        [np.isfinite(block).reshape(len(block), columns).all(axis=1) for block in _blocks(path)] or [np.ones(0, bool)]
    )
    if not finite.all():
        raise IpipError(
            f"{path}: NaN or infinity in {(~finite).sum()} of {n_frames} frames, the first is frame "
            f"{finite.argmin()} (counted from 0); remove these frames"
        )
    return n_frames


def _check_cells(path: Path) -> None:
    solid = np.concatenate([have_volume(block.reshape(-1, 3, 3)) for block in _blocks(path)] or [np.ones(0, bool)])
    if not solid.all():
        raise IpipError(f"{path}: the cell of frame {solid.argmin()} (counted from 0) has no volume")


def frame_digests(system: Path) -> list[bytes]:
    """A digest of the coordinates of every frame, to find the same frame elsewhere."""
    return [
        hashlib.sha256(np.asarray(coords, dtype=np.float32).tobytes()).digest()
        for folder in npy.sets(system)
        for block in _blocks(folder / "coord.npy")
        for coords in block
    ]


def read(system: Path, type_map: Sequence[str]) -> dpdata.LabeledSystem:
    """Read a labelled system in the order of ``type_map``, atoms as they are on disk.

    Raises
    ------
    IpipError
        See :func:`check_type_map` and :func:`check_frames`.
    """
    import dpdata

    check_type_map(system, type_map)
    check_frames(system)
    return dpdata.LabeledSystem(str(system), fmt="deepmd/npy", type_map=list(type_map))


def blocks(system: Path, type_map: Sequence[str]) -> Iterator[dpdata.LabeledSystem]:
    """Read a labelled system as :func:`read` does, a block of frames at a time; checked as a whole first."""
    from dpdata.formats.deepmd.raw import load_type

    check_type_map(system, type_map)
    check_frames(system)
    types = load_type(str(system), type_map=list(type_map))
    required = ("cells", "coords", "energies", "forces")
    return (npy.read_frames(folder, rows, types, required) for folder, rows in npy.blocks(system))
