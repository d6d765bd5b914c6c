# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a backend of DeePMD-kit is: names of its files, its command, and one training checkpoint in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


PREFIX = "model.ckpt"
"""Name of every checkpoint of a run, to which each backend adds its suffixes."""


ENERGY_NETS = ("ener", "dpa4_ener", "sezm_ener")
"""DeePMD-kit's names of fitting nets that give an energy."""


class Parameter(NamedTuple):
    """Where a tensor sits in the fitting net."""

    layer: str
    """``layer_0``, ``layer_1``, ... or ``final_layer``; the same for all elements."""
    kind: str
    """``matrix``, ``bias`` or ``idt`` (the time step of a residual layer)."""


class Checkpoint(ABC):
    """A training checkpoint, changed in memory and written elsewhere.

    A path to a checkpoint is its prefix (``.../model.ckpt``), whatever the backend.

    Attributes
    ----------
    suffix : str
        ``<prefix><suffix>`` is the file that makes a checkpoint one of this backend.
    model : dict
        The ``model`` section of the input the checkpoint was trained with,
        normalised by DeePMD-kit.
    """

    suffix: ClassVar[str]
    model: dict[str, Any]

    @classmethod
    @abstractmethod
    def read(cls, prefix: Path) -> Checkpoint:
        """Read all tensors.

        Raises
        ------
        IpipError
            When a file is missing, truncated or not a DeePMD energy model.
        """

    @property
    @abstractmethod
    def fitting(self) -> dict[str, Parameter]:
        """Every tensor of the fitting net, by its name in the checkpoint."""

    @abstractmethod
    def __getitem__(self, name: str) -> np.ndarray:
        """Return a fitting tensor as float64."""

    @abstractmethod
    def __setitem__(self, name: str, value: np.ndarray) -> None:
        """Replace a fitting tensor, keeping its precision."""

    @abstractmethod
    def fresh(self, seed: int) -> dict[str, np.ndarray]:
        """Draw every fitting tensor anew, as the backend does before a training; the same seed, the same draws."""

    @property
    @abstractmethod
    def energy_bias(self) -> np.ndarray:
        """Energy bias in eV, shape (n_types,), in the order of ``type_map``.

        The sum of everything the model adds per atom of an element outside the
        fitting net.
        """

    @abstractmethod
    def shift_energy_bias(self, offsets: np.ndarray) -> None:
        """Add ``offsets``, shape (n_types,), eV, to the energy bias."""

    @abstractmethod
    def write(self, prefix: Path) -> list[Path]:
        """Write a checkpoint with a fresh optimiser and schedule.

        Returns
        -------
        list[pathlib.Path]
            The files written, the one that announces the others last.
        """

    @staticmethod
    @abstractmethod
    def load_potential(prefix: Path) -> Any:
        """Return a ``deepmd.infer.DeepPot`` that predicts with a checkpoint."""

    @property
    def type_map(self) -> list[str]:
        """Element symbols in the order of the atom types."""
        return list(self.model["type_map"])

    def require_energy_model(self, file: Path, *, has_net: bool) -> None:
        """Raise unless this is a single-task model with an energy fitting net, of which there are tensors."""
        if "model_dict" in self.model:
            raise IpipError(f"{file}: a multi-task checkpoint; train a single-task model.")
        kind = self.model.get("fitting_net", {}).get("type", "ener")
        if kind not in ENERGY_NETS or not has_net:
            raise IpipError(
                f"{file}: no energy fitting net found (model.fitting_net.type is {kind!r}, expected "
                f"{' or '.join(map(repr, ENERGY_NETS))})."
            )
        if not self.model.get("type_map"):
            raise IpipError(f"{file}: trained without model.type_map; set it and train again.")


@dataclass(frozen=True)
class Backend:
    """A backend of DeePMD-kit, as the steps of a run see it.

    Attributes
    ----------
    name : str
        DP-GEN's, key ``train_backend`` of param.json.
    flag : str
        The argument of ``dp`` that chooses it; "" where it is the default.
    checkpoint_files : tuple of str
        The files of a checkpoint.
    model_formats : tuple of str
        Suffixes of frozen models that LAMMPS reads, without a dot; DP-GEN's key ``model_format`` chooses.
    checkpoint : type of Checkpoint
        What reads and writes its checkpoints.
    needs_neighbour_statistics : bool
        Whether compression of a model needs the statistics that ``dp train`` can be told to skip.
    relink : str
        Shell commands that let every file of ``model.ckpt`` be of the latest save; "" where it has one file.
    """

    name: str
    flag: str
    checkpoint_files: tuple[str, ...]
    model_formats: tuple[str, ...]
    checkpoint: type[Checkpoint]
    needs_neighbour_statistics: bool = False
    relink: str = ""

    @property
    def restart_file(self) -> str:
        """The file by whose presence a training goes on instead of beginning."""
        return PREFIX + self.checkpoint.suffix


def file_of(prefix: Path, suffix: str) -> Path:
    """Return ``prefix`` with ``suffix`` appended (``model.ckpt`` + ``.pt``)."""
    return prefix.with_name(prefix.name + suffix)
