# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a labeler is: the interface behind which every kind of teacher and reference stands."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dpdata.driver import Driver

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from dargs import Argument

    from ipip_dp.data.gate import Gate
    from ipip_dp.labelers.progress import Progress


class LabelerError(IpipError):
    """The labeler itself cannot work, whatever the frame; any other exception of ``label`` costs a frame only."""


@dataclass(frozen=True)
class MDSettings:
    """Langevin dynamics at constant cell.

    Parameters
    ----------
    temperature : float
        K.
    timestep : float
        fs.
    nsteps : int
        Steps of the run.
    interval : int
        Steps between two frames.
    friction : float
        Friction of the thermostat, 1/fs.
    seed : int
        Seed of velocities and thermostat.
    """

    temperature: float
    timestep: float
    nsteps: int
    interval: int
    friction: float
    seed: int


@dataclass(frozen=True)
class Trajectory:
    """Frames of an MD run, with the labels of the potential that drove it.

    Parameters
    ----------
    coords : ndarray, shape (n_frames, n_atoms, 3)
        Positions after ``interval``, 2 ``interval``, ... steps, Angstrom, not wrapped.
    labels : dict of ndarray
        ``energies`` (n_frames,) in eV, ``forces`` (n_frames, n_atoms, 3) in eV/Angstrom and, where the labeler gives
        them, ``virials`` (n_frames, 3, 3) in eV.
    stopped : str or None
        Why the run ended before its last step.
    seconds_per_step : float
        Wall time of one step.
    """

    coords: np.ndarray
    labels: dict[str, np.ndarray]
    stopped: str | None
    seconds_per_step: float


class Labeler(Driver):
    """What puts energies, forces and virials on frames: a kind of teacher or reference.

    A subclass needs :meth:`arguments` and :meth:`label`; its constructor takes the keys of its section of param.json
    as keyword arguments, without ``type``. What it knows from the section alone, without being made, are class
    methods: they are asked on the machine of ``dpgen run``, which need not have what the labeler needs.

    Attributes
    ----------
    frames_per_call : int
        How many frames at most :meth:`label` is given at once.
    elements : list of str or None
        The elements it knows; None if it cannot tell.
    """

    frames_per_call: ClassVar[int] = 1
    elements: list[str] | None = None

    @classmethod
    @abstractmethod
    def arguments(cls) -> list[Argument]:
        """The keys of its section of param.json. The class's docstring is the section's documentation."""

    @classmethod
    def files(cls, config: dict[str, Any]) -> list[str]:
        """The files on this machine that its section names, to be sent with every job; relative paths only."""
        return []

    @classmethod
    def known_elements(cls, config: dict[str, Any]) -> list[str] | None:
        """The elements it knows, as far as its section tells; None if it would have to be made to know."""
        return None

    @classmethod
    def neighbor_cutoff(cls, config: dict[str, Any]) -> float | None:
        """The distance, in Angstrom, within which every atom needs another, by the labeler's own word."""
        return None

    @classmethod
    def needs_cell(cls, config: dict[str, Any]) -> bool:
        """Whether it labels periodic structures only."""
        return False

    @classmethod
    def check(cls, config: dict[str, Any], here: bool) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with its section: the key, and what is wrong with its value.

        Parameters
        ----------
        config : dict
            The section, which agrees with :meth:`arguments`.
        here : bool
            Whether labelling jobs run on this machine and in this environment.
        """
        yield from ()

    @abstractmethod
    def label(self, data: dict[str, Any]) -> dict[str, Any]:
        """Label every frame.

        Parameters
        ----------
        data : dict
            dpdata data dictionary.

        Returns
        -------
        dict
            The data with ``energies`` (eV), ``forces`` (eV/Angstrom) and, where it can, ``virials`` (eV).

        Raises
        ------
        LabelerError
            If it cannot work at all. Any other exception means that one of these frames has no label.
        """


class DrivesMD(Labeler):
    """A labeler with molecular dynamics of its own; ASE drives that of any other."""

    @abstractmethod
    def run_md(self, data: dict[str, Any], settings: MDSettings, gate: Gate, progress: Progress) -> Trajectory:
        """Run Langevin dynamics from the only frame of ``data``; see :func:`ipip_dp.labelers.dynamics.run_md`."""


class Ensemble(Labeler):
    """A labeler of several models, whose label is their mean."""

    @abstractmethod
    def predict_members(self, data: dict[str, Any]) -> dict[str, np.ndarray]:
        """Predict with every model.

        Parameters
        ----------
        data : dict
            dpdata data dictionary.

        Returns
        -------
        dict of ndarray
            ``energies`` (n_models, n_frames) in eV, ``forces`` (n_models, n_frames, n_atoms, 3) in eV/Angstrom and,
            for periodic frames, ``virials`` (n_models, n_frames, 3, 3) in eV.
        """

    def label(self, data: dict[str, Any]) -> dict[str, Any]:
        """Label every frame with the mean over the models; see :meth:`Labeler.label`."""
        return {**data, **{name: values.mean(axis=0) for name, values in self.predict_members(data).items()}}


def files_among(words: Any) -> list[str]:
    """The words of a value of JSON, at any depth, that are relative paths of existing files."""
    if isinstance(words, str):
        return [word for word in {words, *words.split()} if not os.path.isabs(word) and os.path.isfile(word)]
    items = words.values() if isinstance(words, dict) else words if isinstance(words, (list, tuple)) else ()
    return [name for item in items for name in files_among(item)]
