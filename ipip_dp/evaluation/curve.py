# SPDX-License-Identifier: LGPL-3.0-or-later
"""The learning curve of a run, and whether it has ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir

if TYPE_CHECKING:
    from collections.abc import Sequence


def rows() -> list[dict[str, Any]]:
    """One row per evaluated iteration, from the files on disk."""
    result = []
    for iteration in workdir.iterations():
        if not iteration.metrics.is_file():
            continue
        errors = json.loads(iteration.metrics.read_text())
        row = {
            "iteration": iteration.index,
            "pool_frames": errors["pool_frames"],
            "reference_frames": errors["reference_frames"],
            "teacher_force_rmse": errors["teacher"]["force_rmse"],
            "student_force_rmse": float(np.mean([student["force_rmse"] for student in errors["students"]])),
            "ensemble_force_rmse": errors["ensemble"]["force_rmse"],
            "ensemble_energy_rmse_per_atom_raw": errors["ensemble"].get("energy_rmse_per_atom_raw", ""),
            "ensemble_energy_rmse_per_atom_aligned": _aligned(errors["ensemble"]),
        }
        summary = iteration.relabel / "summary.json"
        counts = json.loads(summary.read_text()) if summary.is_file() else {}
        result.append({**row, **{name: counts.get(name, "") for name in ("in_domain", "candidate", "failed")}})
    return result


def _aligned(errors: dict[str, Any]) -> Any:
    """The energy error after alignment; until version 0.1 there was no other, and it had this name."""
    return errors.get("energy_rmse_per_atom_aligned", errors.get("energy_rmse_per_atom"))


def write() -> None:
    """Rebuild ``learning_curve.csv`` in the run folder."""
    workdir.write_csv(workdir.LEARNING_CURVE, rows())


def best_iteration(force_rmse: Sequence[float]) -> int:
    """Index of the smallest error."""
    return int(np.argmin(force_rmse))


def stop_reason(force_rmse: Sequence[float], min_improvement: float, patience: int) -> str | None:
    """Why the run should end, or None.

    Parameters
    ----------
    force_rmse : sequence of float
        Held-out force RMSE of the ensemble in every iteration so far, in eV/Angstrom.
    min_improvement, patience : float, int
        An iteration improves if its error is below the best one so far by the
        fraction ``min_improvement``; the run ends after ``patience`` iterations in a row
        that do not. A worse error is no convergence by itself.
    """
    best, since = force_rmse[0], 0
    for error in force_rmse[1:]:
        if error < best * (1 - min_improvement):
            best, since = error, 0
        else:
            since += 1
    if since < patience:
        return None
    return (
        f"the held-out force RMSE has not fallen by {min_improvement:.1%} below its best value, "
        f"{best:.4f} eV/Angstrom, for {since} iterations (ipip.stop.patience: {patience})"
    )
