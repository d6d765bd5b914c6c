"""Labels from DeePMD-kit models: one, or the mean of an ensemble."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dpdata.driver import Driver

from ipip_dp.errors import IpipError
from ipip_dp.labelers.frames import element_indices, periodic_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepmd.infer import DeepPot

# DeePMD-kit goes by the name. Its other formats hold compiled code (.pt2) or are no frozen models (.pt).
SUFFIXES = (".pb", ".pth")


@Driver.register("ipip/dp")
class DPDriver(Driver):
    """Label frames with DeePMD-kit models.

    Parameters
    ----------
    models : sequence of str
        Frozen models, .pb (TensorFlow) or .pth (PyTorch).

    Raises
    ------
    IpipError
        If DeePMD-kit is missing or a model cannot be loaded.

    Examples
    --------
    >>> system.predict(driver="ipip/dp", models=["graph.000.pb"])  # doctest: +SKIP
    """

    frames_per_call = 256

    def __init__(self, models: Sequence[str]) -> None:
        self.models = {model: _load(model) for model in models}

    @property
    def elements(self) -> list[str]:
        """Elements that every model knows."""
        type_maps = [model.get_type_map() for model in self.models.values()]
        return [element for element in type_maps[0] if all(element in other for other in type_maps)]

    def predict_members(self, data: dict[str, Any]) -> dict[str, np.ndarray]:
        """Predict with every model.

        Parameters
        ----------
        data : dict
            dpdata data dictionary.

        Returns
        -------
        dict of ndarray
            ``energies`` (n_models, n_frames) in eV, ``forces`` (n_models, n_frames,
            n_atoms, 3) in eV/Angstrom and, for periodic frames, ``virials`` (n_models,
            n_frames, 3, 3) in eV.

        Raises
        ------
        IpipError
            If a model does not know an element of the frames.
        """
        coords, cells = data["coords"], periodic_cells(data)
        n_frames, n_atoms = coords.shape[:2]
        members: dict[str, list[np.ndarray]] = {"energies": [], "forces": [], "virials": []}
        for name, model in self.models.items():
            atom_types = element_indices(data, model.get_type_map(), f"model {name}")
            energies, forces, virials = model.eval(
                coords.reshape(n_frames, 3 * n_atoms),
                None if cells is None else cells.reshape(n_frames, 9),
                atom_types,
            )[:3]
            members["energies"].append(energies.reshape(n_frames))
            members["forces"].append(forces.reshape(n_frames, n_atoms, 3))
            members["virials"].append(virials.reshape(n_frames, 3, 3))
        if cells is None:
            del members["virials"]
        return {name: np.array(values, dtype=np.float64) for name, values in members.items()}

    def label(self, data: dict[str, Any]) -> dict[str, Any]:
        """Label every frame with the mean over the models.

        Parameters
        ----------
        data : dict
            dpdata data dictionary.

        Returns
        -------
        dict
            The data with ``energies`` (eV), ``forces`` (eV/Angstrom) and, for periodic
            frames, ``virials`` (eV).

        Raises
        ------
        IpipError
            If a model does not know an element of the frames.
        """
        return {**data, **{name: values.mean(axis=0) for name, values in self.predict_members(data).items()}}


def require_models(models: Sequence[str]) -> None:
    """Check that model files exist and are of a kind that runs no code when it is loaded, without loading them.

    Raises
    ------
    IpipError
        If one does not, or is not.
    """
    for model in models:
        if not model.endswith(SUFFIXES):
            raise IpipError(f"model {model!r}: expected a frozen model of DeePMD-kit, .pb or .pth")
        if not os.path.isfile(model):
            raise IpipError(f"model {model!r} does not exist (labeler type dp, working directory {Path.cwd()})")


def _load(model: str) -> DeepPot:
    try:
        from deepmd.infer import DeepPot
    except ImportError as error:
        raise IpipError(
            f'labeler type dp needs DeePMD-kit: {error}; install it with: pip install "ipip-dp[cpu]"'
        ) from error
    require_models([model])
    try:
        return DeepPot(model)
    except Exception as error:
        raise IpipError(f"model {model!r} cannot be loaded by DeePMD-kit: {error!r}") from error
