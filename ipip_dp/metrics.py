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
    energy_rmse_per_atom : float
        After element-wise alignment, eV.
    virial_rmse_per_atom : float or None
        Over virial components, eV; None when frames lack virials.
    n_frames : int
        Number of frames.
    """

    force_rmse: float
    force_mae: float
    force_norm: float
    energy_rmse_per_atom: float
    virial_rmse_per_atom: float | None
    n_frames: int

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Errors:
        """Restore what :meth:`to_dict` gave."""
        return cls(**data)


def force_rmse(difference: np.ndarray) -> float:
    """Return the root mean square of force components.

    Parameters
    ----------
    difference : np.ndarray, shape (..., 3), eV/Angstrom
        Predicted minus reference forces.
    """
    return float(np.sqrt(np.mean(np.square(difference))))


def force_mae(difference: np.ndarray) -> float:
    """Return the mean absolute force component of ``difference``, shape (..., 3), eV/Angstrom."""
    return float(np.mean(np.abs(difference)))


def force_norm(difference: np.ndarray) -> float:
    """Return the mean norm of force vectors of ``difference``, shape (..., 3), eV/Angstrom."""
    return float(np.mean(np.linalg.norm(difference, axis=-1)))


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


def align(
    reference: Sequence[LabeledData], predicted: Sequence[LabeledData]
) -> tuple[list[np.ndarray], dict[str, float]]:
    """Compare energies after element-wise alignment over all frames of all systems.

    Parameters
    ----------
    reference, predicted : Sequence of LabeledData
        Same systems with the labels of two sources.

    Returns
    -------
    residuals : list of np.ndarray, shape (n_frames,), eV per atom
        Predicted minus reference energy per atom of each system, after alignment.
    offsets : dict of str to float, eV per atom
        What alignment added to the predictions, by element.

    Raises
    ------
    ValueError
        If the two sources do not describe the same atoms.
    """
    for one, other in zip(reference, predicted, strict=True):
        if not np.array_equal(_symbols(one), _symbols(other)):
            raise ValueError("reference and predicted systems differ in their atoms or the order of these")
    elements = sorted({str(symbol) for data in reference for symbol in _symbols(data)})
    counts = [np.array([np.sum(_symbols(data) == element) for element in elements]) for data in reference]
    differences = [-_difference(*pair, "energies") for pair in zip(reference, predicted, strict=True)]
    composition = np.concatenate([np.tile(count, (len(e), 1)) for count, e in zip(counts, differences, strict=True)])
    offsets = element_offsets(np.concatenate(differences), composition)
    residuals = [(count @ offsets - e) / count.sum() for count, e in zip(counts, differences, strict=True)]
    return residuals, dict(zip(elements, map(float, offsets), strict=True))


def errors(reference: Sequence[LabeledData], predicted: Sequence[LabeledData]) -> Errors:
    """Compute the errors of a model, pooled over systems.

    Parameters
    ----------
    reference, predicted : Sequence of LabeledData
        Per system the labels of the reference and of the model, for the same frames with
        atoms in the same order. Systems may differ in their number of atoms.
    """
    residuals, _ = align(reference, predicted)
    return _errors(reference, predicted, residuals)


def errors_per_system(reference: Sequence[LabeledData], predicted: Sequence[LabeledData]) -> list[Errors]:
    """Compute the errors of a model on each system, with one energy alignment for all.

    Parameters are those of :func:`errors`.
    """
    residuals, _ = align(reference, predicted)
    return [
        _errors([one], [other], [residual])
        for one, other, residual in zip(reference, predicted, residuals, strict=True)
    ]


def _errors(
    reference: Sequence[LabeledData], predicted: Sequence[LabeledData], residuals: Sequence[np.ndarray]
) -> Errors:
    forces = np.concatenate(
        [_difference(*pair, "forces").reshape(-1, 3) for pair in zip(reference, predicted, strict=True)]
    )
    virials = None
    if all("virials" in data for data in (*reference, *predicted)):
        per_atom = [
            _difference(one, other, "virials").ravel() / len(one["atom_types"])
            for one, other in zip(reference, predicted, strict=True)
        ]
        virials = float(np.sqrt(np.mean(np.square(np.concatenate(per_atom)))))
    return Errors(
        force_rmse=force_rmse(forces),
        force_mae=force_mae(forces),
        force_norm=force_norm(forces),
        energy_rmse_per_atom=float(np.sqrt(np.mean(np.square(np.concatenate(residuals))))),
        virial_rmse_per_atom=virials,
        n_frames=sum(len(residual) for residual in residuals),
    )


def _difference(reference: LabeledData, predicted: LabeledData, name: str) -> np.ndarray:
    difference = np.asarray(predicted[name], dtype=float) - np.asarray(reference[name], dtype=float)
    # inf as well as nan, so that every error says "not finite" in the same way
    return np.where(np.isfinite(difference), difference, np.nan)


def _symbols(data: LabeledData) -> np.ndarray:
    return np.asarray(data["atom_names"])[data["atom_types"]]
