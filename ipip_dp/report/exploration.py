# SPDX-License-Identifier: LGPL-3.0-or-later
"""MD with the students: model deviations, trust levels, and runs that blew up."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.errors import IpipError
from ipip_dp.steps import explore, trust

if TYPE_CHECKING:
    from pathlib import Path

    from ipip_dp.report.run import Run
    from ipip_dp.workdir import Iteration


@dataclass(frozen=True)
class BlowUp:
    """An MD run that ended early because atoms flew apart."""

    task: str
    conditions: str
    step: int
    reason: str


@dataclass(frozen=True)
class Explored:
    """MD of one iteration.

    Parameters
    ----------
    deviations : ndarray, shape (n_frames,)
        Largest force deviation of each frame, as far as it is a number, in eV/Angstrom.
    levels : (float, float)
        The trust levels that its frames were sorted by.
    counts : dict
        Frames by trust class, and MD runs (``md``, ``held``, ``blown_up``); empty before DP-GEN has sorted them.
    blow_ups : list of BlowUp
        MD that blew up.
    """

    index: int
    deviations: np.ndarray
    levels: tuple[float, float]
    counts: dict[str, Any]
    blow_ups: list[BlowUp]


def collect(run: Run) -> list[Explored]:
    """Read the MD of all iterations that have any.

    Raises
    ------
    IpipError
        If none has.
    """
    found = [explored for each in run.iterations if (explored := _explored(run, each)) is not None]
    if not found:
        raise IpipError("No MD has been run with the students yet.")
    return found


def _explored(run: Run, iteration: Iteration) -> Explored | None:
    skip = run.jdata.get("model_devi_skip", 0)
    values, blow_ups = [], []
    for path in sorted(iteration.exploration.glob("task.*/model_devi.out")):
        rows = _rows(path)
        values.append(rows[rows[:, 0] >= skip, 1])
        if explore.blew_up(path.parent):
            blow_ups.append(_blow_up(path.parent, int(rows[-1, 0]) if len(rows) else 0))
    deviations = np.concatenate(values) if values else np.zeros(0)
    if not len(deviations):
        return None
    finite = deviations[np.isfinite(deviations) & (deviations > 0)]
    levels = trust.used(iteration, run.context(iteration).jdata)
    return Explored(iteration.index, finite, levels, run.counts.get(iteration.index, {}), blow_ups)


def _rows(path: Path) -> np.ndarray:
    """Step and deviation of every whole row: what follows the last line break is being written."""
    rows = [line.split() for line in path.read_text(errors="replace").split("\n")[:-1] if not line.startswith("#")]
    wanted = [(row[0], row[explore.MAX_FORCE_DEVIATION]) for row in rows if len(row) > explore.MAX_FORCE_DEVIATION]
    return np.array(wanted, dtype=float).reshape(-1, 2)


def _blow_up(task: Path, step: int) -> BlowUp:
    log = (task / "model_devi.log").read_text(errors="replace")
    reason = re.search(rf"{re.escape(explore.NOTE)}: *(?:ERROR[^:]*: *)?(.*)", log)
    job = task / "job.json"
    settings = json.loads(job.read_text()) if job.is_file() else {}
    words = [str(settings.get("ensemble", "")), f"{settings['temps']:g} K" if "temps" in settings else ""]
    if settings.get("press", -1) not in (-1, None) and "p" in words[0]:
        words.append(f"{settings['press']:g} bar")
    return BlowUp(task.name, " ".join(filter(None, words)), step, reason[1].strip() if reason else "")
