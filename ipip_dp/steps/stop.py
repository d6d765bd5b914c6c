# SPDX-License-Identifier: LGPL-3.0-or-later
"""Stop: end the run when the held-out error has stopped falling, and say why and with which models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipip_dp import workdir
from ipip_dp.evaluation import curve

if TYPE_CHECKING:
    from ipip_dp.steps.context import Context

OUT_OF_JOBS = "model_devi_jobs has no job for this iteration"


def reason(context: Context) -> str | None:
    """Why the run should end here, or None; logs how far it is."""
    from dpgen import dlog

    rows = [row for row in curve.rows() if row["iteration"] <= context.iteration.index]
    last = rows[-1]
    dlog.info(
        f"ipip: held-out force RMSE {last['ensemble_force_rmse']:.4f} eV/Angstrom "
        f"(teacher {last['teacher_force_rmse']:.4f}), pool {last['pool_frames']} frames, "
        f"reference {last['reference_frames']} frames"
    )
    settings = context.params.stop
    errors = [row["ensemble_force_rmse"] for row in rows]
    return curve.stop_reason(errors, settings.min_improvement, settings.patience)


def record(context: Context, reason: str | None) -> None:
    """Write ``stop.json``, with the models of the best iteration; remove it if the run goes on (None)."""
    from dpgen import dlog

    if reason is None:
        context.iteration.stop.unlink(missing_ok=True)  # of a run that has been given more jobs
        return
    rows = [row for row in curve.rows() if row["iteration"] <= context.iteration.index]
    best = workdir.Iteration(rows[curve.best_iteration([row["ensemble_force_rmse"] for row in rows])]["iteration"])
    models = [str(model) for model in best.models()]
    workdir.write_json(context.iteration.stop, {"reason": reason, "best_iteration": best.index, "models": models})
    dlog.info(f"ipip: the run ends: {reason}. Best models: {', '.join(models)}")
