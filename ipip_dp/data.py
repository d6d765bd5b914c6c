"""Reference-labelled data folders: find their systems, read and check them."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dpdata


def find_systems(folders: Sequence[Path]) -> list[Path]:
    """The deepmd/npy systems below some folders, in a fixed order.

    Raises
    ------
    IpipError
        If a folder does not exist or holds no system.
    """
    systems = []
    for folder in folders:
        if not folder.is_dir():
            raise IpipError(f"data folder {folder} does not exist; expected a folder with deepmd/npy systems")
        pattern = f"{glob.escape(str(folder))}/**/type.raw"  # unlike Path.rglob, glob follows links
        found = sorted(Path(raw).parent for raw in glob.glob(pattern, recursive=True))
        if not found:
            raise IpipError(f"data folder {folder} holds no deepmd/npy system (no type.raw below it)")
        systems += found
    return systems


def check_type_map(system: Path, type_map: Sequence[str]) -> None:
    """Compare a system's ``type_map.raw`` with the run's ``type_map``.

    Raises
    ------
    IpipError
        If the system has an element that ``type_map`` lacks, or lists the common
        elements in another order.
    """
    raw = system / "type_map.raw"
    if not raw.is_file():
        return
    own = raw.read_text().split()
    unknown = [element for element in own if element not in type_map]
    if unknown:
        raise IpipError(f"{raw}: element {', '.join(unknown)} is not in type_map {list(type_map)} of param.json")
    if own != [element for element in type_map if element in own]:
        raise IpipError(
            f"{raw}: the order {own} differs from type_map {list(type_map)} of param.json; "
            "write the data again with the order of param.json"
        )


def check_frames(system: Path) -> int:
    """Check that a labelled system has frames, energies and forces; count its frames.

    Only file headers are read.

    Raises
    ------
    IpipError
        If a file is missing or cannot be read, or its shape disagrees with
        ``type.raw``, or there is no frame.
    """
    n_atoms = len((system / "type.raw").read_text().split())
    sets = sorted(path for path in system.glob("set.*") if path.is_dir())
    total = 0
    for folder in sets:
        shapes = {}
        for name, columns in (("coord", 3 * n_atoms), ("energy", 1), ("force", 3 * n_atoms)):
            path = folder / f"{name}.npy"
            if not path.is_file():
                raise IpipError(f"{path} is missing; labelled data need coordinates, energies and forces")
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                raise IpipError(f"{path} cannot be read: {error}") from error
            shapes[name] = array.size // columns
            if array.size % columns or array.shape[:1] != (array.size // columns,):
                raise IpipError(f"{path} has shape {array.shape}; expected (n_frames, {columns}) for {n_atoms} atoms")
        if len(set(shapes.values())) > 1:
            raise IpipError(f"{folder}: files disagree on the number of frames: {shapes}")
        total += shapes["coord"]
    if total == 0:
        raise IpipError(f"{system} has no frames")
    return total


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
