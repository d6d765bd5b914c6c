# SPDX-License-Identifier: LGPL-3.0-or-later
"""Labelled systems of the user's, which may be anything: checked as a whole, then read."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.data import elements, systems
from ipip_dp.data.gate import have_volume
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import dpdata

# Labels that DeePMD-kit reads if they are there, and their numbers per frame; 0: one per atom.
OPTIONAL = {"virial": 9, "atom_ener": 0, "atom_pref": 0}


def types_in(system: Path, type_map: Sequence[str]) -> dict[str, Any]:
    """Read atom_names, atom_numbs and atom_types of a system in terms of a run's ``type_map``.

    Raises
    ------
    IpipError
        If a file is malformed, the system has an element that ``type_map`` lacks, or lists the common elements in
        another order.
    """
    types = elements.read_types(system, type_map)
    raw, own = system / "type_map.raw", types["atom_names"]
    unknown = [element for element in own if element not in type_map]
    if unknown:
        found = ", ".join(unknown)
        raise IpipError(f"{raw}: element {found} is not in type_map {list(type_map)} of param.json or --type-map")
    if own != [element for element in type_map if element in own]:
        raise IpipError(
            f"{raw}: the order {own} differs from type_map {list(type_map)} of param.json or --type-map; "
            "write the data again in that order"
        )
    return elements.renamed(types, type_map)


def read(system: Path, type_map: Sequence[str]) -> Iterator[dpdata.LabeledSystem]:
    """Read a labelled system in terms of ``type_map``, a block of frames at a time, atoms as they are on disk.

    Raises
    ------
    IpipError
        See :func:`types_in` and :func:`check_frames`, which are done for the whole system first.
    """
    types = types_in(system, type_map)
    check_frames(system)
    return (systems.read_frames(folder, rows, types, systems.LABELLED) for folder, rows in systems.blocks(system))


def check_frames(system: Path) -> int:
    """Check that a labelled system has frames with finite energies and forces; count its frames.

    Raises
    ------
    IpipError
        If a file is missing or cannot be read, its shape disagrees with ``type.raw``, it
        holds NaN or infinity, or there is no frame.
    """
    n_atoms = len(elements.atom_types(system))
    columns = {"coord": 3 * n_atoms, "energy": 1, "force": 3 * n_atoms}
    if not systems.is_open(system):
        columns["box"] = 9
    total = 0
    for folder in systems.sets(system):
        systems.require_one_composition(folder)
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


def _values(path: Path) -> Iterator[np.ndarray]:
    """The rows of an array, a block at a time."""
    for rows in systems.row_blocks(systems.load(path)):
        yield systems.load(path)[rows]  # a map of its own, since what was read of a map stays in memory


def _check_array(path: Path, columns: int) -> int:
    """Check one array of a set; count its frames."""
    array = systems.load(path)
    n_frames = array.size // columns if columns else 0
    if array.shape[:1] != (n_frames,) or array.size != n_frames * columns or array.dtype.kind not in "fiu":
        raise IpipError(
            f"{path} has shape {array.shape} and type {array.dtype}; expected numbers, (n_frames, {columns})"
        )
    finite = np.concatenate(
        [np.isfinite(block).reshape(len(block), columns).all(axis=1) for block in _values(path)] or [np.ones(0, bool)]
    )
    if not finite.all():
        raise IpipError(
            f"{path}: NaN or infinity in {(~finite).sum()} of {n_frames} frames, the first is frame "
            f"{finite.argmin()} (counted from 0); remove these frames"
        )
    return n_frames


def _check_cells(path: Path) -> None:
    solid = np.concatenate([have_volume(block.reshape(-1, 3, 3)) for block in _values(path)] or [np.ones(0, bool)])
    if not solid.all():
        raise IpipError(f"{path}: the cell of frame {solid.argmin()} (counted from 0) has no volume")


def frame_digests(system: Path) -> list[bytes]:
    """A digest of the coordinates of every frame, to find the same frame elsewhere."""
    return [
        hashlib.sha256(np.asarray(coords, dtype=np.float32).tobytes()).digest()
        for folder in systems.sets(system)
        for block in _values(folder / "coord.npy")
        for coords in block
    ]
