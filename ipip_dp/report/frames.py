# SPDX-License-Identifier: LGPL-3.0-or-later
"""Where the frames of pool and reference data come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipip_dp.workdir import read_json

if TYPE_CHECKING:
    from ipip_dp.report.run import Run


@dataclass(frozen=True)
class Frames:
    """What the students of an iteration were trained on.

    Parameters
    ----------
    seed, teacher, students : int
        Frames of the pool: of the teacher's MD, and explored ones by who labelled them. Where the pool forgets frames,
        those of the teacher's MD that are left are not known, and count as the teacher's.
    first, explored : int
        Frames of the reference data: of init_data_sys, and explored ones that the reference has labelled.
    rejected : int
        Frames explored in the iteration before that the gate kept out of the pool.
    """

    index: int
    seed: int
    teacher: int
    students: int
    first: int
    explored: int
    rejected: int


def collect(run: Run) -> list[Frames]:
    """Read the provenance that was counted when each iteration was evaluated.

    Raises
    ------
    IpipError
        If no iteration has been evaluated.
    """
    first = run.metrics[run.evaluated[0].index]
    forgets = run.jdata.get("ipip", {}).get("pool", {}).get("retention", 1.0) < 1
    result = []
    for iteration in run.evaluated:
        errors = run.metrics[iteration.index]
        labels = {who: sum(numbers.values()) for who, numbers in errors.get("pool_labels", {}).items()}
        by_teacher = labels.get("teacher", 0)
        seed = 0 if forgets and iteration.index else min(first["pool_frames"], by_teacher)
        rejected = read_json(iteration.previous.relabel_summary).get("rejected", 0) if iteration.index else 0
        result.append(
            Frames(
                index=iteration.index,
                seed=seed,
                teacher=by_teacher - seed,
                students=labels.get("students", 0),
                first=first["reference_frames"],
                explored=errors["reference_frames"] - first["reference_frames"],
                rejected=rejected,
            )
        )
    return result
