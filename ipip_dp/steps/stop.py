# SPDX-License-Identifier: LGPL-3.0-or-later
"""Stop: end the run when nothing improves any more beyond noise, and say why and with which models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipip_dp import workdir
from ipip_dp.evaluation import curve, stopping

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
    evaluated = curve.evaluated(context.jdata["model_devi_jobs"], context.iteration.index)
    since = stopping.without_improvement(evaluated, settings.min_improvement)
    if since < settings.patience:
        return None
    return (
        f"for {since} iterations (ipip.stop.patience: {settings.patience}) neither the held-out force RMSE nor the "
        f"error on explored frames nor the share of MD that holds has improved on its best value by more than noise "
        f"and {settings.min_improvement:.1%} (ipip.stop.min_improvement)"
    )


def record(context: Context, reason: str | None) -> None:
    """Write ``stop.json``, with the models of the best iteration; remove it if the run goes on (None)."""
    from dpgen import dlog

    if reason is None:
        context.iteration.stop.unlink(missing_ok=True)  # of a run that has been given more jobs
        return
    evaluated = curve.evaluated(context.jdata["model_devi_jobs"], context.iteration.index)
    best = workdir.Iteration(stopping.best(evaluated))
    models = [str(model) for model in best.models()]
    workdir.write_json(context.iteration.stop, {"reason": reason, "best_iteration": best.index, "models": models})
    dlog.info(f"ipip: the run ends: {reason}. Best models: {', '.join(models)}")
