# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which stage of DP-GEN's is under way in a run, and which of our steps in it; :mod:`ipip_dp.loop` runs them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.status.record import finished_stages
from ipip_dp.workdir import Iteration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STAGES = (
    *("make_train", "run_train", "post_train"),
    *("make_model_devi", "run_model_devi", "post_model_devi"),
    *("make_fp", "run_fp", "post_fp"),
)
# Part of a run folder -> the step that works there, by its name in the README.
STEPS = {
    r"00\.ipip/seed": "seed",
    r"00\.ipip/on_policy(/audit)?": "measure",
    r"00\.ipip/relabel": "relabel",
    r"00\.ipip/forgotten/pretrain": "forget",
    r"00\.ipip/teacher": "fine-tune the teacher",
    r"00\.ipip/pretrain": "pretrain",
    r"00\.ipip/forgotten/finetune": "hand over",
    r"00\.train": "fine-tune",
    r"00\.ipip/evaluate(/.*)?": "evaluate",
    r"01\.model_devi": "explore",
    r"02\.fp": "reference",
}


@dataclass(frozen=True)
class Stage:
    """What a run does, or did when it stopped.

    Parameters
    ----------
    iteration : int
        As DP-GEN counts.
    task : int
        DP-GEN's number of the stage in the iteration, 0 to 8: in record.dpgen when it has finished.
    name : str
        DP-GEN's name of the stage.
    step : str
        The step, by its name in the README.
    folder : Path
        Where that works.
    """

    iteration: int
    task: int
    name: str
    step: str
    folder: Path


def under_way(param: Mapping[str, Any], folder: str | None) -> Stage:
    """The stage that follows the last finished one.

    Parameters
    ----------
    param : mapping
        param.json.
    folder : str or None
        Where a submission works that the run is waiting for, if that is known.
    """
    iteration, last = (finished_stages() or [(0, -1)])[-1]
    iteration, task = (iteration + 1, 0) if last == len(STAGES) - 1 else (iteration, last + 1)
    where = Path(folder) if folder and step_of(Path(folder)) else _folder(Iteration(iteration), task, param)
    step = "train" if where.name == "00.train" and "ipip" not in param else step_of(where)
    return Stage(iteration, task, STAGES[task], step, where)


def step_of(folder: Path) -> str:
    """The step that works in a folder, "" if none does."""
    inside = "/".join(folder.parts[1:])
    return next((name for pattern, name in STEPS.items() if re.fullmatch(pattern, inside)), "")


def _folder(iteration: Iteration, task: int, param: Mapping[str, Any]) -> Path:
    """Where a stage works; in make_train it is our first step that has not finished, in order."""
    if task == 0 and "ipip" in param:
        return next((step for step in _before_training(iteration, param) if not workdir.is_done(step)), iteration.train)
    folders = [iteration.train, iteration.train, iteration.evaluate if "ipip" in param else iteration.train]
    return [*folders, *[iteration.exploration] * 3, *[iteration.fp] * 3][task]


def _before_training(iteration: Iteration, param: Mapping[str, Any]) -> Iterator[Path]:
    if iteration.index == 0:
        yield iteration.seed_pool
    else:
        yield iteration.previous.on_policy
        yield iteration.previous.relabel
        yield iteration.handover("pretrain")
    new_data = iteration.index == 0 or any(iteration.previous.fp.glob("data.*"))
    if param["ipip"].get("teacher_fine_tune") and new_data:
        yield iteration.teacher
    yield iteration.pretrain
    yield iteration.handover("finetune")
