# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a run has reached so far, from what is on disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.evaluation import curve

if TYPE_CHECKING:
    from rich.table import Table

TABLES = {
    "Force RMSE on held-out reference frames (eV/Angstrom)": {
        "iteration": "iteration",
        "pool": "pool_frames",
        "|D|": "reference_frames",
        "teacher": "teacher_force_rmse",
        "student": "student_force_rmse",
        "ensemble": "ensemble_force_rmse",
    },
    "Exploration, and the median force RMSE of explored frames with reference labels (eV/Angstrom)": {
        "iteration": "iteration",
        "MD": "md",
        "held": "md_held",
        "in-domain": "in_domain",
        "candidate": "candidate",
        "failed": "failed",
        "teacher": "on_policy_teacher_force_median",
        "ensemble": "on_policy_force_median",
    },
}


def tables() -> list[Table]:
    """The learning curve: errors on held-out frames, and where MD went.

    Raises
    ------
    IpipError
        If no iteration has been evaluated.
    """
    from rich.table import Table

    rows = curve.rows()
    if not rows:
        raise IpipError("no evaluated iteration in this folder; run `ipip status` in the folder of `dpgen run`")
    result = []
    for title, columns in TABLES.items():
        table = Table(title=title)
        for name in columns:
            table.add_column(name, justify="right")
        for row in rows:
            values = [row[key] for key in columns.values()]
            if any(value != "" for value in values[1:]):
                table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in values))
        if table.row_count:
            result.append(table)
    return result


def timing() -> tuple[float, float]:
    """Seconds all finished stages took, and those of them spent in dispatched commands."""
    total = dispatched = 0.0
    for iteration in workdir.iterations():
        if iteration.timing.is_file():
            for stage in json.loads(iteration.timing.read_text()).values():
                total += stage["seconds"]
                dispatched += stage["dispatched"]
    return total, dispatched


def lines() -> list[str]:
    """Where the run is, why it ended, where the models are, how the time was spent."""
    last = workdir.iterations()[-1]
    result = []
    if last.stop.is_file():
        stop = json.loads(last.stop.read_text())
        result.append(f"The run ended: {stop['reason']}.")
        result.append(f"Best models (iteration {stop['best_iteration']}): {' '.join(stop['models'])}")
    else:
        done = [name for name in ("seed", "pool", "pretrain", "evaluate", "relabel") if (last.ipip / name).exists()]
        result.append(f"Iteration {last.index} is under way; on disk: {', '.join(done)}.")
    total, dispatched = timing()
    if total:
        result.append(
            f"{total:.0f} s in finished stages, {100 * (total - dispatched) / total:.1f}% of it outside "
            f"dispatched commands."
        )
    return result
