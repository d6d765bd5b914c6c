# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether a run has ended, and which iteration was best: figures with their noise, and what counts as better."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HELD_OUT, ON_POLICY, NOT_ACCURATE, NOT_HELD = (
    "held-out force RMSE",
    "median force RMSE on explored frames",
    "share of explored frames that are not accurate",
    "share of MD runs that did not hold",
)
SEEDS = 0.03  # relative spread of seeds where there is only one student: that of the Mo-S-O study


@dataclass(frozen=True)
class Figure:
    """A measurement, the smaller the better, and its standard error."""

    value: float
    noise: float

    def better_than(self, other: Figure, min_improvement: float = 0.0) -> bool:
        """Whether it is smaller by more than the noise of both and by the given fraction; nan never is."""
        if math.isnan(other.value):
            return not math.isnan(self.value)
        margin = max(math.hypot(self.noise, other.noise), min_improvement * other.value)
        return self.value < other.value - margin


@dataclass(frozen=True)
class Evaluated:
    """What is known of an iteration.

    Parameters
    ----------
    held_out : Figure
        Force RMSE of the ensemble on held-out frames, in eV/Angstrom.
    md : mapping of str to Figure
        Errors where its MD went, and how that went: by name, empty before it has run.
    conditions : object
        What its MD explored; figures of MD under other conditions do not compare.
    levels : object
        The trust levels that sorted its frames; shares of frames and runs by other levels do not compare.
    """

    held_out: Figure
    md: Mapping[str, Figure] = field(default_factory=dict)
    conditions: Any = None
    levels: Any = None

    def compares(self, other: Evaluated, name: str) -> bool:
        """Whether a figure of its MD can be compared with that of another iteration."""
        alike = self.conditions == other.conditions and (name == ON_POLICY or self.levels == other.levels)
        return alike and name in self.md and name in other.md


def held_out_figures(students: Sequence[Sequence[float]], ensemble: Sequence[float]) -> list[Figure]:
    """Held-out errors of the ensemble, with the noise of seeds.

    Parameters
    ----------
    students : sequence of sequence of float
        Force RMSE of every student in every iteration, in eV/Angstrom.
    ensemble : sequence of float
        Force RMSE of their mean in every iteration, in eV/Angstrom.

    Returns
    -------
    list of Figure
        The noise is the relative spread of students, pooled over iterations, over the square root of their number.
    """
    spreads = [np.var(errors, ddof=1) / np.mean(errors) ** 2 for errors in students if len(errors) > 1]
    finite = [spread for spread in spreads if np.isfinite(spread)]
    relative = float(np.sqrt(np.mean(finite))) if finite else SEEDS
    return [
        Figure(error, relative * error / math.sqrt(len(members)))
        for error, members in zip(ensemble, students, strict=True)
    ]


def md_figures(counts: Mapping[str, int], errors: Mapping[str, Any]) -> dict[str, Figure]:
    """How MD of an iteration went.

    Parameters
    ----------
    counts : mapping of str to int
        Frames by trust class, and MD runs: ``accurate``, ``candidate``, ``failed``, ``md``, ``held``.
    errors : mapping
        See :func:`ipip_dp.evaluation.on_policy.summary`; empty where no explored frame was labelled.
    """
    figures = {}
    runs, frames = counts.get("md", 0), sum(counts.get(name, 0) for name in ("accurate", "candidate", "failed"))
    if runs and frames:
        figures[NOT_ACCURATE] = _share(frames - counts["accurate"], frames, runs)
        figures[NOT_HELD] = _share(runs - counts["held"], runs, runs)
    if errors.get("n_frames"):
        error = errors["ensemble"]
        figures[ON_POLICY] = Figure(error["force_median"], error["force_median_noise"])
    return figures


def _share(part: int, whole: int, runs: int) -> Figure:
    """A share; frames of one MD run are alike, so that its noise is that of so many draws (rule of succession)."""
    smoothed = (part / whole * runs + 1) / (runs + 2)
    return Figure(part / whole, math.sqrt(smoothed * (1 - smoothed) / runs))


def without_improvement(iterations: Sequence[Evaluated], min_improvement: float) -> int:
    """How many of the latest iterations in a row have improved nothing.

    An iteration improves if its held-out error, or any figure of the MD before it, is better than the best so far. One
    after MD under new conditions is not counted: there is nothing yet to compare that MD with.
    """
    since = 0
    for index in range(1, len(iterations)):
        now, before = iterations[index], iterations[:index]
        *earlier, explored = before
        improved = all(now.held_out.better_than(other.held_out, min_improvement) for other in before)
        for name, figure in explored.md.items():
            alike = [other.md[name] for other in earlier if explored.compares(other, name)]
            improved |= bool(alike) and all(figure.better_than(other, min_improvement) for other in alike)
        if improved:
            since = 0
        elif not earlier or any(other.conditions == explored.conditions for other in earlier):
            since += 1
    return since


def best(iterations: Sequence[Evaluated]) -> int:
    """Index of the best iteration: the latest, unless an earlier one is better beyond noise.

    Two whose MD explored the same compare by the error there, others by the held-out error.
    """
    best = len(iterations) - 1
    for index in reversed(range(best)):
        one, other = iterations[index], iterations[best]
        if one.compares(other, ON_POLICY):
            better = one.md[ON_POLICY].better_than(other.md[ON_POLICY])
        else:
            better = one.held_out.better_than(other.held_out)
        if better:
            best = index
    return best
