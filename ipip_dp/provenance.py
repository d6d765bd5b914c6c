"""Where a frame's labels come from, carried by the frame itself.

Three per-frame arrays travel with every pool frame as registered dpdata data types, so
that dpdata reads, writes, slices, sorts and merges them like energies and forces. On
disk they are ``set.*/label_source.npy`` and so on, which ``dp train`` ignores.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import dpdata

LABEL_SOURCE = "label_source"
LABEL_ITERATION = "label_iteration"
MODEL_DEVIATION = "model_deviation"
NAMES = (LABEL_SOURCE, LABEL_ITERATION, MODEL_DEVIATION)


class LabelSource(IntEnum):
    """Who computed the labels of a frame."""

    TEACHER = 0
    STUDENTS = 1
    REFERENCE = 2


def register() -> None:
    """Register the provenance arrays on dpdata's System and LabeledSystem.

    May be called at any time and any number of times, also while ``import dpdata`` is
    loading its plugins: dpdata's classes do not exist yet then, and dpdata itself adds
    what is in its registry to them at the end of ``dpdata/system.py``
    (``add_format_methods``). Importing this module does not import dpdata, which would
    be circular there.
    """
    import dpdata
    from dpdata.data_type import Axis, DataType, register_data_type

    data_types = [DataType(name, np.ndarray, (Axis.NFRAMES,), required=False) for name in NAMES]
    for data_type in data_types:
        register_data_type(data_type, labeled=False)
    if hasattr(dpdata, "LabeledSystem"):
        dpdata.System.register_data_type(*data_types)
        dpdata.LabeledSystem.register_data_type(*data_types)


def mark(
    system: dpdata.System,
    source: LabelSource,
    iteration: int,
    model_deviation: np.ndarray | None = None,
) -> None:
    """Write the provenance of all frames of a system into it, in place.

    Parameters
    ----------
    system : dpdata.System
        The system to mark.
    source : LabelSource
        Who computed its labels.
    iteration : int
        Iteration in which they were computed.
    model_deviation : np.ndarray, shape (n_frames,), eV/Angstrom, optional
        Maximum force deviation of the ensemble on each frame; nan where unknown.
    """
    n_frames = system.get_nframes()
    if model_deviation is None:
        model_deviation = np.full(n_frames, np.nan)
    system.data[LABEL_SOURCE] = np.full(n_frames, int(source))
    system.data[LABEL_ITERATION] = np.full(n_frames, iteration)
    system.data[MODEL_DEVIATION] = np.array(model_deviation, dtype=float)
    system.check_data()
