# SPDX-License-Identifier: LGPL-3.0-or-later
"""Time and core hours, by step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp.errors import IpipError
from ipip_dp.workdir import read_json

if TYPE_CHECKING:
    from ipip_dp.report.run import Run

# Below iter.NNNNNN or its 00.ipip: the folder that the jobs of a step ran in, in the order of an iteration.
STEPS = {
    "seed": "teacher MD (seed of the pool)",
    "on_policy": "errors on explored frames",
    "relabel": "labels of explored frames",
    "teacher": "fine-tuning of the teacher",
    "forgotten": "forgetting, energy bias",
    "pretrain": "pretraining",
    "00.train": "fine-tuning",
    "evaluate": "errors on held-out frames",
    "01.model_devi": "exploration",
    "02.fp": "reference labels",
}
MIXED = "labels, forgetting and pretraining"  # jobs of make_train, where it is not known which
STAGES = {
    "run_train": STEPS["00.train"],
    "post_train": STEPS["evaluate"],
    "run_model_devi": STEPS["01.model_devi"],
    "run_fp": STEPS["02.fp"],
}  # a stage of DP-GEN and the step whose jobs it dispatches
OUTSIDE = "outside jobs"


@dataclass(frozen=True)
class Cost:
    """What a step took in all iterations: the time its jobs ran, and the cores and GPUs they had asked for, in hours.

    Core and GPU hours are None where it is not known what jobs asked for.
    """

    step: str
    hours: float
    core_hours: float | None
    gpu_hours: float | None


def collect(run: Run) -> list[Cost]:
    """Add up the time of finished stages, the steps in the order of an iteration.

    Raises
    ------
    IpipError
        If no stage has finished.
    """
    jobs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    outside = 0.0
    for iteration in run.iterations:
        for name, stage in read_json(iteration.timing).items():
            outside += stage["seconds"] - stage["dispatched"]
            if "jobs" in stage:
                for job in stage["jobs"]:
                    jobs[_step(Path(job["folder"]))].append(job)
            elif stage["dispatched"]:  # recorded by a version that did not say which jobs
                jobs[STAGES.get(name, MIXED)].append({"seconds": stage["dispatched"]})
    if not jobs and not outside:
        raise IpipError("No stage has finished yet, or none was timed (00.ipip/timing.json).")
    rank = {step: number for number, step in enumerate([MIXED, *STEPS.values()])}
    found = [_cost(step, jobs[step]) for step in sorted(jobs, key=lambda step: rank.get(step, len(rank)))]
    return [*found, Cost(OUTSIDE, outside / 3600, 0.0, 0.0)]


def _step(folder: Path) -> str:
    parts = folder.parts
    name = parts[2] if len(parts) > 2 and parts[1] == "00.ipip" else parts[min(1, len(parts) - 1)]
    return STEPS.get(name, name)


def _cost(step: str, jobs: list[dict[str, Any]]) -> Cost:
    known = all("cores" in job for job in jobs)
    core, gpu = (
        sum(job["seconds"] * job[name] for job in jobs) / 3600 if known else None for name in ("cores", "gpus")
    )
    return Cost(step, sum(job["seconds"] for job in jobs) / 3600, core, gpu)
