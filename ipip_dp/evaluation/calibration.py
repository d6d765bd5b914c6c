# SPDX-License-Identifier: LGPL-3.0-or-later
"""Who is expected to be less wrong on an explored frame, students or teacher, learnt from labelled ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.evaluation.on_policy import CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipip_dp.evaluation.on_policy import Row

MIN_FRAMES = 10  # labelled frames that say something
ENOUGH = 40  # with so many of one iteration, earlier ones are not asked


@dataclass(frozen=True)
class Crossing:
    """The force deviation from which on the teacher is less wrong than the students' mean, in eV/Angstrom.

    Parameters
    ----------
    deviation : float
        The crossing; 0 and inf where one of them is less wrong on all labelled frames.
    seen : (float, float)
        The smallest and the largest deviation of labelled frames.
    n_frames : int
        How many there were.
    """

    deviation: float
    seen: tuple[float, float]
    n_frames: int

    def __str__(self) -> str:
        """Say it in words."""
        if self.deviation in (0, np.inf):
            return f"{'students are' if self.deviation else 'the teacher is'} less wrong at every deviation seen"
        return f"from a deviation of {self.deviation:.3g} eV/Angstrom on the teacher is less wrong than the students"

    def students_are_better(self, deviations: np.ndarray, trust_class: str) -> np.ndarray:
        """Whether the students' mean is expected to be less wrong on frames of a trust class.

        Where no frame was labelled, the trust levels decide: below them the students, above them the teacher.

        Parameters
        ----------
        deviations : ndarray, shape (n_frames,)
            In eV/Angstrom.
        trust_class : str
            One of :data:`ipip_dp.evaluation.on_policy.CLASSES`.

        Returns
        -------
        ndarray of bool, shape (n_frames,)
        """
        better = deviations < self.deviation
        if trust_class == "accurate":
            return better | (deviations < self.seen[0])
        if trust_class == "failed":
            return better & (deviations <= self.seen[1])
        return better


def crossings(iterations: Sequence[Sequence[Row]]) -> dict[str | None, Crossing]:
    """Find the crossing of every system with enough labelled frames, and of all frames together.

    Parameters
    ----------
    iterations : sequence of sequence of dict
        Labelled frames (:func:`ipip_dp.evaluation.on_policy.frame_errors`) of every iteration, the latest last.

    Returns
    -------
    dict
        By formula, and under None for all others; empty with fewer than :data:`MIN_FRAMES` frames.
    """
    rows = [row for row in latest(iterations) if np.isfinite([row["ensemble"], row["teacher"], row["deviation"]]).all()]
    groups: dict[str | None, list[Row]] = {None: rows}
    for row in rows:
        groups.setdefault(row["system"], []).append(row)
    return {name: crossing(group) for name, group in groups.items() if len(group) >= MIN_FRAMES}


def latest(iterations: Sequence[Sequence[Row]]) -> list[Row]:
    """Labelled frames of the latest iteration, and of earlier ones until there are enough."""
    rows: list[Row] = []
    for found in reversed(iterations):
        if len(rows) < ENOUGH:
            rows += found
    return rows


def crossing(rows: Sequence[Row]) -> Crossing:
    """Find the deviation that splits frames with the smallest geometric mean error of who labels them."""
    deviation, students, teacher = (
        np.array([row[name] for row in rows]) for name in ("deviation", "ensemble", "teacher")
    )
    order = np.argsort(deviation)
    deviation = deviation[order]
    gain = np.log(teacher[order] / students[order])  # of letting the students label a frame
    split = int(np.argmax(np.concatenate([[0], np.cumsum(gain)])))
    between = np.concatenate([[0], np.sqrt(deviation[1:] * deviation[:-1]), [np.inf]])
    return Crossing(float(between[split]), (float(deviation[0]), float(deviation[-1])), len(rows))


def of_system(found: Mapping[str | None, Crossing], formula: str) -> Crossing | None:
    """The crossing that holds for a system; None where nothing is known."""
    return found.get(formula, found.get(None))


def expected_errors(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """The error to be expected at a deviation: isotonic regression of the students' log errors (``scipy.optimize``).

    Returns
    -------
    deviation, error : ndarray, shape (n_frames,)
        Of all rows with an error and a deviation, by increasing deviation, in eV/Angstrom.
    """
    from scipy.optimize import isotonic_regression

    rows = [row for row in rows if row["ensemble"] > 0 and np.isfinite([row["ensemble"], row["deviation"]]).all()]
    if not rows:
        return np.zeros(0), np.zeros(0)
    deviation, error = (np.array([row[name] for row in rows]) for name in ("deviation", "ensemble"))
    order = np.argsort(deviation)
    return deviation[order], np.exp(isotonic_regression(np.log(error[order])).x)


def trust_levels(
    rows: Sequence[Row], accurate: float, worthless: float, given: float = 0.0
) -> tuple[float, float] | None:
    """Trust levels for the force deviation, from the students' errors on labelled frames.

    Parameters
    ----------
    rows : sequence of dict
        Labelled frames.
    accurate, worthless : float
        The errors to be expected at the lower and at the upper level, in eV/Angstrom.
    given : float
        The upper level that holds now, in eV/Angstrom.

    Returns
    -------
    (float, float) or None
        The largest deviation up to which, and the smallest from which on, a frame is expected to be as wrong, in
        eV/Angstrom. If none has failed, the upper level is the given one, or the largest deviation if that is larger.
        None where no level can be told.
    """
    deviation, expected = expected_errors(rows)
    if len(deviation) < MIN_FRAMES:
        return None
    below, above = deviation[expected <= accurate], deviation[expected >= worthless]
    lower = below.max(initial=deviation.min())
    upper = above.min() if len(above) else max(given, deviation.max())
    return (float(lower), float(upper)) if lower < min(upper, deviation.max()) else None


def by_class(rows: Sequence[Row], levels: tuple[float, float]) -> dict[str, np.ndarray]:
    """The students' errors on labelled frames below, between and above trust levels.

    Parameters
    ----------
    rows : sequence of dict
        Labelled frames.
    levels : (float, float)
        In eV/Angstrom.

    Returns
    -------
    dict of str to ndarray
        Force RMSE, in eV/Angstrom, by :data:`ipip_dp.evaluation.on_policy.CLASSES`.
    """
    deviation, error = (np.array([row[name] for row in rows]) for name in ("deviation", "ensemble"))
    found = np.digitize(deviation, levels)
    return {name: error[found == number] for number, name in enumerate(CLASSES)}
