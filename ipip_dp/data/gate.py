# SPDX-License-Identifier: LGPL-3.0-or-later
"""Physical sanity checks on frames: pure functions on arrays.

A reference method can converge on garbage (GFN1-xTB returns 1e6 eV/Angstrom for
two atoms 0.05 Angstrom apart, without an error), so every frame passes a
:class:`Gate` before and after it is labelled. Each check has a name, which
starts the reason that is reported for a rejected frame.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.data.distances import image_distances

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OF_FRAMES = ("min-distance", "cell", "isolated", "max-force")
"""How the reasons start that say something about a frame, and nothing about its labeler."""

SMALLEST_VOLUME = 1e-3  # Angstrom^3
LARGEST = 0.999  # the quantile of frames whose largest force counts: one broken frame sets no bound
FORCE_MARGIN, DISTANCE_MARGIN = 1.5, 0.85
AT_ONCE = 200  # frames of a block
SEARCH = 3.0  # Angstrom: no bound on distances is larger than 0.85 times this


@dataclass(frozen=True)
class Gate:
    """Frames whose geometry or labels are outside these bounds are rejected, and listed with the reason.

    Parameters
    ----------
    min_distance : float
        Smallest distance between two atoms, in Angstrom.
    max_force : float
        Largest force on an atom, in eV/Angstrom.
    max_neighbor_distance : float or None
        Largest distance of an atom to its nearest neighbour, in Angstrom; None for no limit.
    """

    min_distance: float = 0.5
    max_force: float = 100.0
    max_neighbor_distance: float | None = None

    def limits(self) -> dict[str, float]:
        """The limits there are, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def measured(systems: Iterable[Mapping[str, Any]]) -> Gate:
    """Bounds that labelled frames keep, with a margin, and that are no wider than the default.

    Parameters
    ----------
    systems : iterable of Mapping
        The ``data`` of labelled systems, with forces. Of each at most 200 frames are searched for distances.

    Returns
    -------
    Gate
        A largest force of 1.5 times that of all frames but one in a thousand, a smallest distance of 0.85 times that
        of all but one in a thousand.
    """
    loosest = Gate()
    forces, nearest = [], []
    for data in systems:
        forces.append(np.linalg.norm(data["forces"], axis=-1).max(axis=1))
        some = slice(None, None, -(-len(data["coords"]) // AT_ONCE))
        cells = [None] * len(data["coords"]) if data.get("nopbc") else data["cells"]
        nearest += [
            min(SEARCH, nearest_distances(xyz, cell, SEARCH).min())
            for xyz, cell in zip(data["coords"][some], cells[some], strict=True)
        ]
    if not nearest:
        return loosest
    largest = np.quantile(np.concatenate(forces), LARGEST, method="higher")
    smallest = np.quantile(nearest, 1 - LARGEST, method="lower")
    return Gate(
        min_distance=round(max(loosest.min_distance, float(smallest) * DISTANCE_MARGIN), 3),
        max_force=round(min(loosest.max_force, float(largest) * FORCE_MARGIN), 3),
    )


def check_geometry(coords: np.ndarray, cells: np.ndarray | None, gate: Gate) -> list[str | None]:
    """Check frames before they are labelled: "non-finite", "cell", "min-distance", "isolated".

    Parameters
    ----------
    coords : ndarray, shape (n_frames, n_atoms, 3)
        Positions, Angstrom.
    cells : ndarray, shape (n_frames, 3, 3), or None
        Cell vectors in rows, Angstrom; None without periodic boundaries.
    gate : Gate
        The limits.

    Returns
    -------
    list of (str or None), length n_frames
        Why a frame is rejected; None where it passes.
    """
    return [_geometry_reason(xyz, None if cells is None else cells[i], gate) for i, xyz in enumerate(coords)]


def check_labels(
    energies: np.ndarray,
    forces: np.ndarray,
    virials: np.ndarray | None,
    gate: Gate,
) -> list[str | None]:
    """Check labelled frames: "non-finite" and "max-force".

    Parameters
    ----------
    energies : ndarray, shape (n_frames,)
        Energies, eV.
    forces : ndarray, shape (n_frames, n_atoms, 3)
        Forces, eV/Angstrom.
    virials : ndarray, shape (n_frames, 3, 3), or None
        Virials, eV.
    gate : Gate
        The limits.

    Returns
    -------
    list of (str or None), length n_frames
        Why a frame is rejected; None where it passes.
    """
    return [
        _label_reason(e, f, None if virials is None else virials[i], gate)
        for i, (e, f) in enumerate(zip(energies, forces, strict=True))
    ]


def shortest_distance(coords: np.ndarray, cell: np.ndarray | None, cutoff: float) -> float:
    """Return the shortest distance of one frame, if it is below `cutoff`.

    Right for any cell, however small or skewed: an atom meets its own images, too.

    Parameters
    ----------
    coords : ndarray, shape (n_atoms, 3)
        Positions, Angstrom.
    cell : ndarray, shape (3, 3), or None
        Cell vectors in rows, Angstrom; None without periodic boundaries.
    cutoff : float
        Search radius, Angstrom.

    Returns
    -------
    float
        The shortest distance, Angstrom; inf when none is below `cutoff`.
    """
    shortest = min(distances.min(initial=np.inf) for distances in image_distances(coords, cell, cutoff))
    return float(shortest) if shortest < cutoff else np.inf


def nearest_distances(coords: np.ndarray, cell: np.ndarray | None, cutoff: float) -> np.ndarray:
    """Return the distance of every atom to its nearest neighbour, which may be an image of its own.

    Parameters
    ----------
    coords, cell, cutoff
        See :func:`shortest_distance`.

    Returns
    -------
    ndarray, shape (n_atoms,)
        Angstrom; larger than `cutoff`, but otherwise unknown, where there is none within it.
    """
    return np.min([distances.min(axis=1) for distances in image_distances(coords, cell, cutoff)], axis=0)


def have_volume(cells: np.ndarray) -> np.ndarray:
    """Which of some cells, shape (..., 3, 3), in Angstrom, have a volume; shape (...)."""
    return np.abs(np.linalg.det(cells)) > SMALLEST_VOLUME


def _geometry_reason(coords: np.ndarray, cell: np.ndarray | None, gate: Gate) -> str | None:
    if not np.isfinite(coords).all():
        return "non-finite: coordinates hold NaN or infinity"
    if cell is not None:
        if not np.isfinite(cell).all():
            return "non-finite: the cell holds NaN or infinity"
        if not have_volume(cell):
            return f"cell: volume {abs(np.linalg.det(cell)):.3g} A^3 of a periodic cell"
    distance = shortest_distance(coords, cell, gate.min_distance)
    if distance < gate.min_distance:
        return f"min-distance: two atoms are {distance:.3f} A apart, the limit is {gate.min_distance:g} A"
    if gate.max_neighbor_distance is not None:
        alone = nearest_distances(coords, cell, gate.max_neighbor_distance) > gate.max_neighbor_distance
        if alone.any():
            return f"isolated: atom {alone.argmax()} has no other within {gate.max_neighbor_distance:g} A"
    return None


def _label_reason(energy: float, forces: np.ndarray, virial: np.ndarray | None, gate: Gate) -> str | None:
    for name, value in (("energy", energy), ("forces", forces), ("virial", virial)):
        if value is not None and not np.isfinite(value).all():
            return f"non-finite: {name} NaN or infinite"
    largest = float(np.linalg.norm(forces, axis=-1).max(initial=0.0))
    if largest > gate.max_force:
        return f"max-force: {largest:.4g} eV/A on an atom, the limit is {gate.max_force:g} eV/A"
    return None
