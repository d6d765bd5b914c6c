# SPDX-License-Identifier: LGPL-3.0-or-later
"""Errors of a model against reference labels: pure functions on arrays.

All means run over the pooled frames or components of all systems, so that a system counts
by its size. A prediction that is not finite makes the errors it enters nan instead of
being left out: leaving it out would reward a model for failing on the hardest frames.
nan compares false with everything, so it can never look like an improvement either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

LabeledData = Mapping[str, Any]
"""The ``data`` of a dpdata.LabeledSystem: atom_names, atom_types, energies, forces, ..."""


@dataclass(frozen=True)
class Errors:
    """Errors of a model on held-out frames.

    Attributes
    ----------
    force_rmse, force_mae : float
        Over force components, eV/Angstrom.
    force_norm : float
        Mean norm of the force difference per atom, eV/Angstrom: the measure of the IPIP
        paper (arXiv 2507.20118).
    energy_rmse_per_atom_raw : float
        As measured, eV: what a wrong energy bias of a student shows in. A teacher counts from another zero than the
        reference.
    energy_rmse_per_atom_aligned : float
        After element-wise alignment, eV: whatever the zero.
    virial_rmse_per_atom : float or None
        Over virial components, eV; None when frames lack virials.
    n_frames : int
        Number of frames.
    """

    force_rmse: float
    force_mae: float
    force_norm: float
    energy_rmse_per_atom_raw: float
    energy_rmse_per_atom_aligned: float
    virial_rmse_per_atom: float | None
    n_frames: int

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """Predictions minus reference of a model on frames with the same atoms, summed as far as errors allow.

    Attributes
    ----------
    counts : Mapping[str, int]
        Atoms of each element in a frame.
    energies : np.ndarray, shape (n_frames,), eV
        Differences of the energies, before alignment.
    force_squares, force_absolutes : float
        Sums over force components, eV^2/Angstrom^2 and eV/Angstrom.
    force_norms : float
        Sum of the norm of the force difference over atoms, eV/Angstrom.
    virial_squares : float or None
        Sum over components of the virial per atom, eV^2; None when frames lack virials.
    """

    counts: Mapping[str, int]
    energies: np.ndarray
    force_squares: float
    force_absolutes: float
    force_norms: float
    virial_squares: float | None

    @property
    def n_atoms(self) -> int:
        """Atoms in a frame."""
        return sum(self.counts.values())


def difference(reference: LabeledData, predicted: LabeledData) -> Difference:
    """Compare the labels of two sources for the same frames, with atoms in the same order.

    Raises
    ------
    ValueError
        If the two sources do not describe the same atoms.
    """
    symbols = _symbols(reference)
    if not np.array_equal(symbols, _symbols(predicted)):
        raise ValueError("reference and predicted systems differ in their atoms or the order of these")
    forces = _subtract(reference, predicted, "forces")
    virial_squares = None
    if "virials" in reference and "virials" in predicted:
        virial_squares = float(np.sum(np.square(_subtract(reference, predicted, "virials") / len(symbols))))
    return Difference(
        counts={str(element): int(np.sum(symbols == element)) for element in np.unique(symbols)},
        energies=_subtract(reference, predicted, "energies"),
        force_squares=float(np.sum(np.square(forces))),
        force_absolutes=float(np.sum(np.abs(forces))),
        force_norms=float(np.sum(np.linalg.norm(forces, axis=-1))),
        virial_squares=virial_squares,
    )


def element_offsets(difference: np.ndarray, composition: np.ndarray) -> np.ndarray:
    """Fit the energy difference between two sources of labels per element.

    Least squares of ``composition @ offsets = difference``; the solution of smallest norm
    when compositions do not determine it (``np.linalg.lstsq``), as DeePMD-kit does for its
    energy bias (``deepmd/utils/out_stat.py``). Rows with a difference that is not finite
    are left out of the fit.

    Parameters
    ----------
    difference : np.ndarray, shape (n_frames,), eV
        Reference minus predicted energies.
    composition : np.ndarray, shape (n_frames, n_elements)
        Atoms of each element.

    Returns
    -------
    np.ndarray, shape (n_elements,), eV per atom
        What to add to the predicted energy for every atom of an element.
    """
    finite = np.isfinite(difference)
    offsets, *_ = np.linalg.lstsq(composition[finite].astype(float), difference[finite], rcond=None)
    return offsets


def align(differences: Sequence[Difference]) -> list[np.ndarray]:
    """Compare energies after element-wise alignment over all frames.

    Returns
    -------
    list of np.ndarray, shape (n_frames,), eV per atom
        Predicted minus reference energy per atom of each difference, after alignment.
    """
    elements = sorted({element for part in differences for element in part.counts})
    counts = [np.array([part.counts.get(element, 0) for element in elements]) for part in differences]
    composition = np.concatenate(
        [np.tile(count, (len(part.energies), 1)) for count, part in zip(counts, differences, strict=True)]
    )
    offsets = element_offsets(-np.concatenate([part.energies for part in differences]), composition)
    return [(part.energies + count @ offsets) / part.n_atoms for count, part in zip(counts, differences, strict=True)]


def errors(systems: Sequence[Sequence[Difference]]) -> tuple[Errors, list[Errors]]:
    """Compute the errors of a model, with one energy alignment for all systems.

    Parameters
    ----------
    systems : Sequence of Sequence of Difference
        Differences of every system, in as many parts as they were read in. Systems may
        differ in their number of atoms.

    Returns
    -------
    Errors
        Pooled over systems.
    list of Errors
        Of each system.
    """
    parts = [part for system in systems for part in system]
    residuals = align(parts)
    remaining = iter(residuals)
    return _errors(parts, residuals), [_errors(system, [next(remaining) for _ in system]) for system in systems]


def _errors(parts: Sequence[Difference], residuals: Sequence[np.ndarray]) -> Errors:
    n_frames = sum(len(residual) for residual in residuals)
    n_atoms = sum(len(part.energies) * part.n_atoms for part in parts)
    counted = [part for part in parts if len(part.energies)]
    virials = [part.virial_squares for part in counted if part.virial_squares is not None]
    return Errors(
        force_rmse=_mean(sum(part.force_squares for part in parts), 3 * n_atoms) ** 0.5,
        force_mae=_mean(sum(part.force_absolutes for part in parts), 3 * n_atoms),
        force_norm=_mean(sum(part.force_norms for part in parts), n_atoms),
        energy_rmse_per_atom_raw=_root_mean_square([part.energies / part.n_atoms for part in parts]),
        energy_rmse_per_atom_aligned=_root_mean_square(residuals),
        virial_rmse_per_atom=_mean(sum(virials), 9 * n_frames) ** 0.5 if len(virials) == len(counted) else None,
        n_frames=n_frames,
    )


def _root_mean_square(values: Sequence[np.ndarray]) -> float:
    return _mean(sum(float(np.sum(np.square(each))) for each in values), sum(map(len, values))) ** 0.5


def _mean(total: float, number: int) -> float:
    return total / number if number else np.nan


def _subtract(reference: LabeledData, predicted: LabeledData, name: str) -> np.ndarray:
    result = np.asarray(predicted[name], dtype=float) - np.asarray(reference[name], dtype=float)
    # inf as well as nan, so that every error says "not finite" in the same way
    return np.where(np.isfinite(result), result, np.nan)


def _symbols(data: LabeledData) -> np.ndarray:
    return np.asarray(data["atom_names"])[data["atom_types"]]
