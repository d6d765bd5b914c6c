# SPDX-License-Identifier: LGPL-3.0-or-later
"""Trust levels by the errors of explored frames, for param.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.errors import IpipError
from ipip_dp.evaluation import calibration, on_policy
from ipip_dp.report import figures, pictures, run
from ipip_dp.report.pictures import Picture, Table, number
from ipip_dp.steps import trust

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from ipip_dp.report.pictures import Draw


@dataclass(frozen=True)
class Levels:
    """Errors by trust level, what to know about them, and lines for param.json."""

    table: Table
    notes: list[str]
    lines: list[str]


def picture(
    measured: trust.Measured, present: tuple[float, float], draw: Draw, spread: np.ndarray | None = None
) -> tuple[Picture, list[str]]:
    """Deviation against true error, and what that says of the present trust levels."""
    proposed = measured.levels
    table = _table(measured, present)
    classes = calibration.by_class(measured.rows, present)
    wrong, lost = classes["accurate"] > measured.accurate, classes["failed"] < measured.worthless
    text = [
        f"{len(measured.rows)} explored frames have reference labels in the latest iterations that count. A frame is "
        f"accurate up to an error of {measured.accurate:.3f} eV/Å (1.5 times the held-out force RMSE) and has failed "
        f"from {measured.worthless:.3f} on (as large as the forces are). "
        f"By the levels now, {wrong.sum()} of {len(wrong)} labelled frames below the lower one are less accurate than "
        f"that, and {lost.sum()} of {len(lost)} above the upper one have not failed.",
        " ".join([f"Measured levels: {proposed[0]:.3g} and {proposed[1]:.3g} eV/Å.", *_remarks(measured)])
        if proposed
        else _refusal(measured),
    ]
    alt = f"True force RMSE against model deviation of {len(measured.rows)} labelled frames. {text[1]}"
    return Picture("trust", draw("trust", figures.calibrated(measured, present, spread)), alt, table), text


def _refusal(measured: trust.Measured) -> str:
    """Why labelled frames tell no trust levels, and what to do about it."""
    number = len(measured.rows)
    if number < calibration.MIN_FRAMES:
        return (
            f"{number} explored frames with reference labels tell no trust levels, expected {calibration.MIN_FRAMES} "
            "or more: let the reference label explored frames (fp_task_max, or ipip.evaluate.audit_frames, above 0)."
        )
    if measured.accurate >= measured.worthless:
        return (
            f"No trust levels: 1.5 times the held-out force RMSE, {measured.accurate:.3f} eV/Å, is more than "
            f"the forces themselves ({measured.worthless:.3f}, root mean square); train the students longer first."
        )
    _, expected = calibration.expected_errors(measured.rows)
    if expected.max() <= measured.accurate:
        return f"No trust levels: all {number} labelled frames are accurate; let MD go farther (temperatures, steps)."
    return f"No trust levels: all {number} labelled frames have failed; let the students get better first."


def _remarks(measured: trust.Measured) -> list[str]:
    """Where levels are only as far as labelled frames go."""
    deviation, expected = calibration.expected_errors(measured.rows)
    found = []
    if expected.min() > measured.accurate:
        found.append("None of these frames is expected to be accurate: the lower level is their smallest deviation.")
    if expected.max() < measured.worthless:
        beyond = "that of param.json" if measured.given > deviation.max() else "their largest deviation"
        found.append(f"None of these frames is expected to have failed: the upper level is {beyond}.")
    return found


def _table(measured: trust.Measured, present: tuple[float, float]) -> Table:
    """Errors of labelled frames below, between and above the trust levels, present and measured."""
    rows = []
    for name, levels in (("now", present), ("measured", measured.levels)):
        if levels is None:
            continue
        lower, upper = (f"{level:.3g}" for level in levels)
        ranges = (f"below {lower}", f"{lower} to {upper}", f"above {upper}")
        for where, (trust_class, errors) in zip(
            ranges, calibration.by_class(measured.rows, levels).items(), strict=True
        ):
            median, worst = np.quantile(errors, [0.5, on_policy.WORST]) if len(errors) else (np.nan, np.nan)
            rows.append(
                [f"{name}: {trust_class}", where, str(len(errors)), number(float(median)), number(float(worst))]
            )
    columns = ["levels", "deviation (eV/Å)", "labelled frames", "median error (eV/Å)", "worst tenth from"]
    return Table("True force RMSE of labelled frames, by trust levels", columns, rows)


def write(stem: Path) -> Levels:
    """Measure the trust levels of the run in the working directory, and draw them.

    Raises
    ------
    IpipError
        If too few explored frames have reference labels, or their errors tell no levels.
    """
    found = run.load()
    context = found.context(found.evaluated[-1])
    measured = trust.measure(context, found.iterations)
    if measured.levels is None:
        raise IpipError(_refusal(measured))
    explored = [each for each in found.iterations if each.job.is_file()]
    present = trust.used(explored[-1], context.jdata)

    def draw(name: str, figure: Figure) -> str:
        return pictures.save(figure, stem)

    pictures.make_folder(stem.parent)
    with pictures.style():
        drawn, (basis, *_) = picture(measured, present, draw)
    assert drawn.table is not None
    values = zip(trust.KEYS, measured.levels, strict=True)
    return Levels(drawn.table, [basis, *_remarks(measured)], [f'"{key}": {value:.3g},' for key, value in values])
