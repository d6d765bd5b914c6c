# SPDX-License-Identifier: LGPL-3.0-or-later
"""The learning curve of a run, from the files on disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.evaluation.stopping import Evaluated, held_out_figures, md_figures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


COUNTED = {"in_domain": "accurate", "candidate": "candidate", "failed": "failed", "md": "md", "md_held": "held"}


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
            "ensemble_energy_rmse_per_atom_aligned": aligned(errors["ensemble"]),
            "teacher_virial_rmse_per_atom": _virial(errors["teacher"]),
            "ensemble_virial_rmse_per_atom": _virial(errors["ensemble"]),
        }
        result.append({**row, **_explored(iteration)})
    return result


def _virial(errors: dict[str, Any]) -> Any:
    value = errors.get("virial_rmse_per_atom")
    return "" if value is None else value  # no labels of virials


def _explored(iteration: workdir.Iteration) -> dict[str, Any]:
    """What MD of an iteration came to, and errors there: empty where nothing is known."""
    counts = {**_read(iteration.relabel_summary), **_read(iteration.explored_counts)}
    counts.setdefault("accurate", counts.get("in_domain", ""))  # its name until version 0.1
    errors = _read(iteration.on_policy_metrics)
    columns = {name: counts.get(key, "") for name, key in COUNTED.items()}
    columns["on_policy_frames"] = errors.get("n_frames", "")
    for model, name in (("ensemble", "on_policy"), ("teacher", "on_policy_teacher")):
        for error in ("force_median", "force_worst_tenth", "force_rmse"):
            columns[f"{name}_{error}"] = errors.get(model, {}).get(error, "")
    return columns


def evaluated(jobs: Sequence[dict[str, Any]], last: int) -> list[Evaluated]:
    """What is known of every iteration up to ``last``; ``jobs`` are DP-GEN's, one for the MD of each."""
    found = [iteration for iteration in workdir.iterations() if iteration.index <= last and iteration.metrics.is_file()]
    errors = [_read(iteration.metrics) for iteration in found]
    held_out = held_out_figures(
        [[student["force_rmse"] for student in each["students"]] for each in errors],
        [each["ensemble"]["force_rmse"] for each in errors],
    )
    result = []
    for iteration, figure in zip(found, held_out, strict=True):
        counts = _read(iteration.explored_counts)
        md = md_figures(counts, _read(iteration.on_policy_metrics))
        job = jobs[iteration.index] if iteration.index < len(jobs) else {}
        conditions = {key: value for key, value in job.items() if not key.startswith("_")}  # _idx, comments
        result.append(Evaluated(figure, md, conditions, counts.get("trust_levels")))
    return result


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def aligned(errors: dict[str, Any]) -> Any:
    """The energy error after alignment; until version 0.1 there was no other, and it had this name."""
    return errors.get("energy_rmse_per_atom_aligned", errors.get("energy_rmse_per_atom"))


def write() -> None:
    """Rebuild ``learning_curve.csv`` in the run folder."""
    workdir.write_csv(workdir.LEARNING_CURVE, rows())
