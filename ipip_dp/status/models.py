# SPDX-License-Identifier: LGPL-3.0-or-later
"""The one model of a run to use in MD, and the ensemble it belongs to."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipip_dp.config.trainings import learns_virials
from ipip_dp.evaluation import curve, stopping
from ipip_dp.workdir import Iteration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Best:
    """The best student of the best iteration.

    Parameters
    ----------
    iteration : int
        The best iteration, see :func:`ipip_dp.evaluation.stopping.best`.
    model : Path
        Its student with the smallest force error on the held-out frames.
    force_rmse : float
        That error, in eV/Angstrom.
    energy_rmse_per_atom : float
        Its energy error on these frames, in eV.
    ensemble : tuple of Path
        All students of that iteration.
    ensemble_force_rmse : float
        The force error of their mean, in eV/Angstrom.
    teacher_force_rmse : float
        That of the teacher on the same frames, in eV/Angstrom.
    elements : tuple of str
        The elements in the order of their LAMMPS types.
    ignores_virials : bool
        Whether the reference has virials that it was not trained on, so that its pressures mean nothing.
    """

    iteration: int
    model: Path
    force_rmse: float
    energy_rmse_per_atom: float
    ensemble: tuple[Path, ...]
    ensemble_force_rmse: float
    teacher_force_rmse: float
    elements: tuple[str, ...]
    ignores_virials: bool

    def lammps(self, files: list[str], options: str = "") -> list[str]:
        """The lines of a LAMMPS input that use models; one with PyTorch's exported format needs an atom map."""
        before = ["atom_modify map yes  # in front of read_data"] if self.model.suffix == ".pt2" else []
        return [*before, f"pair_style deepmd {' '.join(files)}{options}", f"pair_coeff * * {' '.join(self.elements)}"]


def ignores_virials(param: Mapping[str, Any], errors: Mapping[str, Any]) -> bool:
    """Whether the held-out frames of these errors have virials and students do not train on any."""
    return errors["ensemble"].get("virial_rmse_per_atom") is not None and not learns_virials(param)


def best(param: Mapping[str, Any]) -> Best | None:
    """The model to use, as far as the run has come; None before the first evaluation, or if its models are gone."""
    iterations = [row["iteration"] for row in curve.rows()]
    if not iterations:
        return None
    iteration = Iteration(iterations[stopping.best(curve.evaluated(param["model_devi_jobs"], iterations[-1]))])
    errors, models = json.loads(iteration.metrics.read_text()), iteration.models()
    students = errors["students"]
    if len(models) != len(students):
        return None
    number = min(range(len(models)), key=lambda n: (math.isnan(students[n]["force_rmse"]), students[n]["force_rmse"]))
    return Best(
        iteration=iteration.index,
        model=models[number],
        force_rmse=students[number]["force_rmse"],
        energy_rmse_per_atom=curve.aligned(students[number]),
        ensemble=tuple(models),
        ensemble_force_rmse=errors["ensemble"]["force_rmse"],
        teacher_force_rmse=errors["teacher"]["force_rmse"],
        elements=tuple(param["type_map"]),
        ignores_virials=ignores_virials(param, errors),
    )
