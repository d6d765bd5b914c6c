# SPDX-License-Identifier: LGPL-3.0-or-later
"""The energy bias per element that fits reference energies best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.data import elements, systems
from ipip_dp.data.frames import joined
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FRAMES_PER_SYSTEM = 10
"""Frames that are predicted, evenly spaced over each system.

As many as DeePMD-kit takes (``model.data_bias_nsample``); with 32 the bias of a
64-atom Mo-S-O system moved by less than 0.02 eV and prediction took twice as long.
"""


@dataclass(frozen=True)
class System:
    """Frames of one composition for the fit: at most `FRAMES_PER_SYSTEM`, evenly spaced over the data."""

    folder: Path
    atom_types: np.ndarray
    """Indices into the model's type_map, shape (n_atoms,)."""
    coords: np.ndarray
    """Shape (n_frames, n_atoms, 3), Angstrom."""
    cells: np.ndarray | None
    """Shape (n_frames, 3, 3), Angstrom; None for an open system."""
    energies: np.ndarray
    """Shape (n_frames,), eV."""


@dataclass(frozen=True)
class BiasFit:
    """Outcome of `fit_energy_bias`."""

    offsets: np.ndarray
    """What to add to the energy bias, shape (n_types,), eV."""
    rmse: float
    """Energy error of the model with the new bias, eV/atom."""
    n_frames: int


def read_systems(folders: Sequence[Path], type_map: Sequence[str]) -> list[System]:
    """Read every deepmd/npy system below ``folders``.

    Parameters
    ----------
    folders : sequence of pathlib.Path
        Searched recursively for ``type.raw``, through symbolic links too.
    type_map : sequence of str
        The model's; the order of elements in data with a ``type_map.raw`` may differ.

    Raises
    ------
    IpipError
        When a folder has no system, a system cannot be read, lacks energies or
        holds an element the model does not know.
    """
    return [_read_system(folder, type_map) for folder in systems.find(folders)]


def _read_system(folder: Path, type_map: Sequence[str]) -> System:
    types = elements.read_types(folder, type_map)
    present = {types["atom_names"][number] for number in types["atom_types"]}
    if unknown := sorted(present - set(type_map)):
        raise IpipError(
            f"{folder / 'type_map.raw'}: {', '.join(unknown)} not in the model's type_map {list(type_map)}."
        )
    parts, first = [], 0
    frames = _evenly_spaced(sum(len(systems.load(path / "coord.npy")) for path in systems.sets(folder)))
    for path in systems.sets(folder):
        systems.require_one_composition(path)
        energies = systems.load(path / "energy.npy")
        if not np.isfinite(energies).all():
            raise IpipError(f"{path / 'energy.npy'} holds NaN or infinite energies.")
        rows = frames[(first <= frames) & (frames < first + len(energies))] - first
        first += len(energies)
        parts.append(systems.read_frames(path, rows, types, ("cells", "coords", "energies"), only=()))
    if not first:
        raise IpipError(f"{folder} has no frames.")
    data = joined(parts).data
    names = np.array(types["atom_names"])[types["atom_types"]]
    return System(
        folder=folder,
        atom_types=np.array([list(type_map).index(name) for name in names]),
        coords=data["coords"],
        cells=None if data["nopbc"] else data["cells"],
        energies=data["energies"],
    )


def fit_energy_bias(potential: Any, reference: Sequence[System], n_types: int) -> BiasFit:
    """Fit energy offsets per element to a model's errors.

    Least squares of E_reference - E_model on the number of atoms of each element:
    DeePMD-kit's ``change-by-statistic`` (``change_energy_bias_lower``,
    deepmd/tf/fit/ener.py). Where compositions do not determine all offsets (one
    formula only, say) the smallest ones are taken, and an element that does not
    occur keeps its bias.

    Parameters
    ----------
    potential : deepmd.infer.DeepPot
        The model that will be trained on, with its present energy bias.
    reference : sequence of System
        Reference data.
    n_types : int
        Length of the model's type_map.

    Raises
    ------
    IpipError
        When the model predicts NaN, or needs frame or atomic parameters.
    """
    if potential.get_dim_fparam() or potential.get_dim_aparam():
        raise IpipError(
            "The energy bias of a model with numb_fparam or numb_aparam cannot be "
            "refitted; leave out the reference data."
        )
    errors, counts = [], []
    for system in reference:
        predicted = potential.eval(system.coords, system.cells, system.atom_types)[0].ravel()
        if not np.isfinite(predicted).all():
            raise IpipError(
                f"{system.folder}: the student predicts NaN energies. Its training "
                "diverged: lower the learning rate or take another checkpoint."
            )
        errors.append(system.energies - predicted)
        count = np.bincount(system.atom_types, minlength=n_types)
        counts.append(np.tile(count, (len(predicted), 1)))
    error, composition = np.concatenate(errors), np.concatenate(counts)
    offsets = np.linalg.lstsq(composition, error, rcond=None)[0]
    residual = (error - composition @ offsets) / composition.sum(axis=1)
    return BiasFit(offsets, float(np.sqrt(np.mean(residual**2))), len(error))


def _evenly_spaced(n_frames: int) -> np.ndarray:
    count = min(n_frames, FRAMES_PER_SYSTEM)
    return np.linspace(0, n_frames - 1, count).astype(int)
