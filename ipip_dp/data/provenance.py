# SPDX-License-Identifier: LGPL-3.0-or-later
"""Where a frame's labels come from, carried by the frame itself.

Every frame of a pool has three values of ours beside its labels, one array each in every set:

============================  ==================================================================
``ipip_label_source.npy``     who computed the labels: 0 the teacher, 1 the students (:class:`LabelSource`)
``ipip_label_iteration.npy``  the iteration in which they were computed
``ipip_model_deviation.npy``  largest force deviation of the ensemble, eV/Angstrom; nan where unknown
============================  ==================================================================

dpdata and ``dp train`` know nothing of them and ignore them: to both, a pool is plain data, which joins with
any other. :mod:`ipip_dp.data.systems` reads and writes them where they are there. In memory they
stand in ``System.data`` under the same names; what dpdata makes of such a system (a part, a perturbed
or newly labelled one) does not have them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from dpdata.data_type import Axis, DataType

if TYPE_CHECKING:
    import dpdata

LABEL_SOURCE = "ipip_label_source"
LABEL_ITERATION = "ipip_label_iteration"
MODEL_DEVIATION = "ipip_model_deviation"
NAMES = (LABEL_SOURCE, LABEL_ITERATION, MODEL_DEVIATION)
DATA_TYPES = tuple(DataType(name, np.ndarray, (Axis.NFRAMES,), required=False) for name in NAMES)


class LabelSource(IntEnum):
    """Who computed the labels of a frame."""

    TEACHER = 0
    STUDENTS = 1


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
        Who computed, or is to compute, its labels.
    iteration : int
        Iteration in which they were computed.
    model_deviation : np.ndarray, shape (n_frames,), eV/Angstrom, optional
        Maximum force deviation of the ensemble on each frame; nan where unknown.

    Raises
    ------
    ValueError
        If there is not one deviation for every frame.
    """
    n_frames = system.get_nframes()
    if model_deviation is None:
        model_deviation = np.full(n_frames, np.nan)
    if np.shape(model_deviation) != (n_frames,):
        raise ValueError(f"{np.shape(model_deviation)} model deviations for {n_frames} frames")
    system.data[LABEL_SOURCE] = np.full(n_frames, int(source))
    system.data[LABEL_ITERATION] = np.full(n_frames, iteration)
    system.data[MODEL_DEVIATION] = np.array(model_deviation, dtype=float)
