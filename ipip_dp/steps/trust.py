# SPDX-License-Identifier: LGPL-3.0-or-later
"""Trust levels from errors on explored frames, in place of those of param.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import labelled, systems
from ipip_dp.evaluation import calibration
from ipip_dp.steps import on_policy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipip_dp.evaluation.on_policy import Row
    from ipip_dp.steps.context import Context

ACCURATE = 1.5  # times the held-out error: where MD goes it is about twice as large (the Mo-S-O study)
KEYS = ("model_devi_f_trust_lo", "model_devi_f_trust_hi")


@dataclass(frozen=True)
class Measured:
    """Trust levels, and what they rest on.

    Parameters
    ----------
    rows : list of dict
        Explored frames with reference labels, of the latest iterations
        (:func:`ipip_dp.evaluation.on_policy.frame_errors`).
    accurate, worthless : float
        The force RMSE up to which a frame is accurate, 1.5 times that on held-out frames, and from which on it has
        failed, as large as the forces of the reference data (their root mean square), in eV/Angstrom.
    given : float
        The upper level of param.json, of the job if it has one, in eV/Angstrom.
    """

    rows: list[Row]
    accurate: float
    worthless: float
    given: float

    @property
    def levels(self) -> tuple[float, float] | None:
        """The lower and the upper level, in eV/Angstrom; None where the rows tell none."""
        return calibration.trust_levels(self.rows, self.accurate, self.worthless, self.given)


def measure(context: Context, explored: Iterable[workdir.Iteration]) -> Measured:
    """Measure trust levels by explored frames, and by the held-out error and the data of the context's iteration."""
    held_out = json.loads(context.iteration.metrics.read_text())["ensemble"]["force_rmse"]
    rows = calibration.latest([on_policy.read_rows(iteration) for iteration in explored])
    jobs = context.jdata["model_devi_jobs"]
    job = jobs[context.iteration.index] if context.iteration.index < len(jobs) else {}
    given = max(_values(context.jdata[KEYS[1]] if job.get(KEYS[1]) is None else job[KEYS[1]]))
    return Measured(rows, ACCURATE * held_out, _root_mean_square_force(context), given)


def apply(context: Context) -> None:
    """Let DP-GEN sort the frames of this iteration by measured levels, if these count.

    It takes the levels from a file that it has written before MD, and from param.json only what that lacks.
    """
    from dpgen import dlog

    if context.params.trust == "given":
        return
    measured = measure(context, [workdir.Iteration(index) for index in range(context.iteration.index)])
    if measured.levels is None:
        dlog.info(f"ipip: {len(measured.rows)} labelled frames of earlier MD tell no trust levels; param.json's count")
        return
    lower, upper = measured.levels
    dlog.info(f"ipip: trust levels {lower:.3f} and {upper:.3f} eV/Angstrom, from {len(measured.rows)} labelled frames")
    job = json.loads(context.iteration.job.read_text())
    workdir.write_json(context.iteration.job, {**job, **dict(zip(KEYS, measured.levels, strict=True))})


def used(iteration: workdir.Iteration, jdata: dict[str, Any]) -> tuple[float, float]:
    """The levels that DP-GEN sorts the frames of an iteration by; of several systems, the outermost."""
    job = json.loads(iteration.job.read_text()) if iteration.job.is_file() else {}
    lower, upper = (_values(jdata[key] if job.get(key) is None else job[key]) for key in KEYS)
    return min(lower), max(upper)


def _values(level: Any) -> list[float]:
    """A level for all systems, or one for each."""
    if isinstance(level, dict):
        return list(level.values())
    return level if isinstance(level, list) else [level]


def _root_mean_square_force(context: Context) -> float:
    """Over force components of the reference data, in eV/Angstrom."""
    squares = [
        np.mean(block["forces"] ** 2, axis=(1, 2))
        for path in systems.find(context.reference_data())
        for block in labelled.read(path, context.type_map)
    ]
    return float(np.sqrt(np.mean(np.concatenate(squares))))
