# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions on held-out frames against their labels: points for pictures, and errors by what they are of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.data import labelled, systems
from ipip_dp.evaluation import compare, metrics, on_policy
from ipip_dp.labelers import predict
from ipip_dp.steps import evaluate
from ipip_dp.steps.labelling import PREDICTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipip_dp.report.run import Run
    from ipip_dp.workdir import Iteration

POINTS = 3000  # of a cloud, at most
EDGES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, np.inf)  # of bins of force magnitudes, eV/Angstrom
MODELS = ("students", "teacher")


@dataclass(frozen=True)
class Cloud:
    """Labels and predictions, thinned at random, and the errors of all of them.

    Parameters
    ----------
    points : ndarray, shape (n_points, 3)
        Label, mean of the students' predictions, the teacher's prediction (nan where it gave none).
    rmse : tuple of float
        Of students' mean and teacher.
    number : int
        How many there were.
    """

    points: np.ndarray
    rmse: tuple[float, float]
    number: int


@dataclass(frozen=True)
class HeldOut:
    """Held-out frames of one iteration.

    Parameters
    ----------
    elements, systems : dict of str to Cloud
        Force components, eV/Angstrom.
    magnitudes : dict of str to Cloud
        The same by the size of the reference force on the atom.
    energies : dict of str to Cloud
        By system: energies per atom, aligned, the label's counted from the mean of its system, eV.
    spread : ndarray, shape (n_points, 2)
        Of frames, thinned: the students' force deviation, and the force RMSE of their mean, in eV/Angstrom.
    """

    elements: Mapping[str, Cloud]
    systems: Mapping[str, Cloud]
    magnitudes: Mapping[str, Cloud]
    energies: Mapping[str, Cloud]
    spread: np.ndarray


class _Collector:
    """Rows of (label, students, teacher) as they come, of which a random part is kept, and sums of squares."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.keys: np.ndarray = np.zeros(0)
        self.rows: np.ndarray = np.zeros((0, 3))
        self.squares, self.finite, self.number = np.zeros(2), np.zeros(2), 0

    def add(self, rows: np.ndarray) -> None:
        errors = rows[:, 1:] - rows[:, :1]
        self.squares += np.nansum(errors**2, axis=0)
        self.finite += np.isfinite(errors).sum(axis=0)
        self.number += len(rows)
        keys = self.random.random(len(rows))
        if len(self.keys) == POINTS:  # only smaller keys than those kept can stay
            chosen = keys < self.keys.max()
            keys, rows = keys[chosen], rows[chosen]
        self.keys, self.rows = np.concatenate([self.keys, keys]), np.concatenate([self.rows, rows])
        if len(self.keys) > POINTS:
            kept = np.argpartition(self.keys, POINTS)[:POINTS]
            self.keys, self.rows = self.keys[kept], self.rows[kept]

    def cloud(self) -> Cloud:
        with np.errstate(invalid="ignore", divide="ignore"):
            rmse = np.sqrt(self.squares / self.finite)
        return Cloud(self.rows, (float(rmse[0]), float(rmse[1])), self.number)


def collect(run: Run, iteration: Iteration) -> HeldOut:
    """Read predictions of an iteration's students, and of its teacher, on all held-out frames.

    Raises
    ------
    IpipError
        If data or predictions are missing, or do not belong together.
    """
    context = run.context(iteration)
    folders = context.params.held_out
    files = {model: evaluate.work_path(context, model) / model / PREDICTIONS for model in MODELS}
    predictions = {model: (str(path), predict.load(path)) for model, path in files.items()}
    forces: dict[str, dict[str, _Collector]] = {
        name: defaultdict(lambda: _Collector(context.params.seed)) for name in ("elements", "systems", "magnitudes")
    }
    energies: dict[str, list[np.ndarray]] = defaultdict(list)
    differences: dict[str, list[tuple[str, metrics.Difference]]] = {model: [] for model in MODELS}
    spread = _Collector(context.params.seed)
    for name, system in zip(evaluate.system_names(folders), systems.find(folders), strict=True):
        for block in labelled.read(system, context.type_map):
            labels = block.data
            found = {model: compare.next_block(predictions[model], labels) for model in MODELS}
            mean = {model: {key: value.mean(axis=0) for key, value in each.items()} for model, each in found.items()}
            rows = np.stack([labels["forces"], *(mean[model]["forces"] for model in MODELS)], axis=-1)
            symbols = np.asarray(labels["atom_names"])[labels["atom_types"]]
            for element in dict.fromkeys(map(str, symbols)):
                forces["elements"][element].add(rows[:, symbols == element].reshape(-1, 3))
            forces["systems"][name].add(rows.reshape(-1, 3))
            sizes = np.digitize(np.linalg.norm(labels["forces"], axis=-1), EDGES) - 1
            for size in range(len(EDGES) - 1):
                forces["magnitudes"][_range(size)].add(rows[sizes == size].reshape(-1, 3))
            energies[name].append(labels["energies"])
            for model in MODELS:
                difference = metrics.difference(labels, {**labels, **mean[model]})
                differences[model].append((name, difference))
            rmse = np.sqrt(np.mean((rows[..., 1] - rows[..., 0]) ** 2, axis=(1, 2)))
            spread.add(np.stack([on_policy.force_deviation(found["students"]["forces"]), rmse, rmse], axis=-1))
    compare.require_end(*predictions.values())
    return HeldOut(
        elements={name: forces["elements"][name].cloud() for name in context.type_map if name in forces["elements"]},
        systems=_clouds(forces["systems"]),
        magnitudes={name: each.cloud() for name, each in forces["magnitudes"].items() if each.number},
        energies=_energies(energies, differences, context.params.seed),
        spread=spread.rows[:, :2],
    )


def _range(size: int) -> str:
    lower, upper = EDGES[size : size + 2]
    return f"above {lower:g} eV/Å" if np.isinf(upper) else f"{lower:g} to {upper:g} eV/Å"


def _clouds(collectors: Mapping[str, _Collector]) -> dict[str, Cloud]:
    """By number, the largest first."""
    return {name: each.cloud() for name, each in sorted(collectors.items(), key=lambda item: -item[1].number)}


def _energies(
    labels: Mapping[str, list[np.ndarray]], differences: Mapping[str, list[tuple[str, metrics.Difference]]], seed: int
) -> dict[str, Cloud]:
    residuals: dict[str, dict[str, list[np.ndarray]]] = {model: defaultdict(list) for model in MODELS}
    n_atoms: dict[str, int] = {}
    for model in MODELS:
        aligned = metrics.align([difference for _, difference in differences[model]])
        for (name, difference), residual in zip(differences[model], aligned, strict=True):
            residuals[model][name].append(residual)
            n_atoms[name] = difference.n_atoms
    collectors = {}
    for name, blocks in labels.items():
        own = np.concatenate(blocks) / n_atoms[name]
        own = own - own.mean()
        collectors[name] = _Collector(seed)
        collectors[name].add(
            np.stack([own, *(own + np.concatenate(residuals[model][name]) for model in MODELS)], axis=-1)
        )
    return _clouds(collectors)
