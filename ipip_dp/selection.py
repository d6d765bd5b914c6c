"""Physical sanity checks on frames: pure functions on arrays.

A reference method can converge on garbage (GFN1-xTB returns 1e6 eV/Angstrom for
two atoms 0.05 Angstrom apart, without an error), so every frame passes a
:class:`Gate` before and after it is labelled. Each check has a name, which
starts the reason that is reported for a rejected frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

GEOMETRY = ("min-distance", "cell")
"""How the reasons start that say something about a frame, and nothing about its labels."""

SMALLEST_VOLUME = 1e-3  # Angstrom^3


@dataclass(frozen=True)
class Gate:
    """Limits a frame must keep.

    Parameters
    ----------
    min_distance : float
        Smallest distance between two atoms, periodic images included, Angstrom.
    max_force : float
        Largest length of the force on an atom, eV/Angstrom.
    """

    min_distance: float = 0.5
    max_force: float = 100.0


def check_geometry(coords: np.ndarray, cells: np.ndarray | None, gate: Gate) -> list[str | None]:
    """Check frames before they are labelled: "non-finite", "cell", "min-distance".

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

    The search covers every lattice translation that can bring two atoms (or an
    atom and its own image) closer than `cutoff`, so it is right for any cell,
    however small or skewed.

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
    n_atoms = len(coords)
    vectors = coords[None, :, :] - coords[:, None, :]
    if cell is None:
        shifts = np.zeros((1, 3))
    else:
        # Fractional differences wrapped into [-0.5, 0.5] leave at most
        # cutoff / height + 0.5 translations along each cell vector, where
        # height is the distance between opposite faces of the cell.
        inverse = np.linalg.inv(cell)
        fractional = vectors @ inverse
        vectors = (fractional - np.round(fractional)) @ cell
        heights = 1.0 / np.linalg.norm(inverse, axis=0)
        reach = np.floor(cutoff / heights + 0.5).astype(int)
        shifts = np.array(list(product(*(range(-n, n + 1) for n in reach)))) @ cell

    shortest = np.inf
    for shift in shifts:
        squared = np.sum((vectors + shift) ** 2, axis=-1)
        if not shift.any():
            squared[np.arange(n_atoms), np.arange(n_atoms)] = np.inf
        shortest = min(shortest, squared.min(initial=np.inf))
    distance = float(np.sqrt(shortest))
    return distance if distance < cutoff else np.inf


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
    return None


def _label_reason(energy: float, forces: np.ndarray, virial: np.ndarray | None, gate: Gate) -> str | None:
    for name, value in (("energy", energy), ("forces", forces), ("virial", virial)):
        if value is not None and not np.isfinite(value).all():
            return f"non-finite: {name} NaN or infinite"
    largest = float(np.linalg.norm(forces, axis=-1).max(initial=0.0))
    if largest > gate.max_force:
        return f"max-force: {largest:.4g} eV/A on an atom, the limit is {gate.max_force:g} eV/A"
    return None
