# SPDX-License-Identifier: LGPL-3.0-or-later
"""Errors where MD goes: on explored frames with reference labels that no student has trained on.

A few broken frames own a root mean square, so median and worst tenth stand beside it. Frames of a stratum count by how
many were explored for each that was labelled: DP-GEN labels candidates only, about as many of each entry of
sys_configs (strata ``candidate.000``, ...), an audit labels all trust classes alike (strata ``accurate``, ...).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.evaluation.compare import next_block, require_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ipip_dp.evaluation.compare import Predictions
    from ipip_dp.evaluation.metrics import LabeledData

CLASSES = ("accurate", "candidate", "failed")
"""DP-GEN's words for frames below, between and above the trust levels."""
WORST = 0.9  # the worst tenth begins at this quantile
RESAMPLINGS = 200

Row = dict[str, Any]


def frame_errors(
    reference: Iterable[tuple[str, str, LabeledData]], students: Predictions, teacher: Predictions
) -> tuple[list[Row], dict[str, dict[str, float]]]:
    """Force errors of every frame, and of every element.

    Parameters
    ----------
    reference : iterable of (str, str, dict)
        Formula, stratum and labels of every block of frames.
    students, teacher : (str, iterator of dict)
        Predictions on the same blocks, in the same order.

    Returns
    -------
    list of dict
        Of every frame ``system``, ``trust_class``, ``stratum``, ``deviation`` (see :func:`force_deviation`), and the
        force RMSE of the ``ensemble`` mean, the ``teacher`` (nan where it gave no label) and each student
        (``student_0``, ...), all in eV/Angstrom.
    dict of str to dict
        Force RMSE by element, of ``ensemble`` and ``teacher``, in eV/Angstrom.

    Raises
    ------
    IpipError
        If predictions are of other data.
    """
    rows: list[Row] = []
    squares: dict[str, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    for system, stratum, labels in reference:
        of_block = {"system": system, "trust_class": stratum.partition(".")[0], "stratum": stratum}
        forces = next_block(students, labels)["forces"]
        found = {f"student_{member}": own for member, own in enumerate(forces)}
        found = {"ensemble": forces.mean(axis=0), "teacher": next_block(teacher, labels)["forces"][0], **found}
        by_atom = {name: np.sum((own - labels["forces"]) ** 2, axis=-1) for name, own in found.items()}
        rmse = {name: np.sqrt(of_atoms.mean(axis=1) / 3) for name, of_atoms in by_atom.items()}
        for number, deviation in enumerate(force_deviation(forces)):
            errors = {name: float(values[number]) for name, values in rmse.items()}
            rows.append({**of_block, "deviation": float(deviation), **errors})
        symbols = np.asarray(labels["atom_names"])[labels["atom_types"]]
        for element in np.unique(symbols):
            for model in ("ensemble", "teacher"):
                squares[str(element)][model].append(by_atom[model][:, symbols == element].ravel())
    require_end(students, teacher)
    elements = {
        element: {model: float(np.sqrt(np.nanmean(np.concatenate(parts)) / 3)) for model, parts in models.items()}
        for element, models in squares.items()
    }
    return rows, elements


def force_deviation(forces: np.ndarray) -> np.ndarray:
    """Largest force deviation of an ensemble in every frame (``calc_model_devi_f`` of DeePMD-kit's model_devi.py).

    Parameters
    ----------
    forces : ndarray, shape (n_models, n_frames, n_atoms, 3)
        eV/Angstrom.

    Returns
    -------
    ndarray, shape (n_frames,)
        The root mean square distance of the models' forces from their mean, of the atom where it is largest,
        in eV/Angstrom.
    """
    return np.linalg.norm(np.std(forces, axis=0), axis=-1).max(axis=1)


def summary(rows: Sequence[Row], explored: Mapping[str, int]) -> dict[str, Any]:
    """Median, worst tenth and RMSE of all frames, by system and by trust class.

    Parameters
    ----------
    rows : sequence of dict
        See :func:`frame_errors`.
    explored : mapping of str to int
        How many frames of each stratum there were to choose from.

    Returns
    -------
    dict
        ``n_frames``; ``covered``, the share of explored frames in strata with labels; ``ensemble``, ``teacher`` and
        ``students`` (one for each), the same by name in ``systems`` and ``trust_classes``. Each has ``force_rmse``,
        ``force_median``, ``force_median_noise`` (its standard error, of resampled frames) and ``force_worst_tenth``
        (where it begins), in eV/Angstrom.
    """
    labelled = Counter(row["stratum"] for row in rows)
    weight = {name: max(explored[name], 1) / number for name, number in labelled.items()}
    total = sum(explored.values())

    def of(chosen: Sequence[Row]) -> dict[str, Any]:
        weights = np.array([weight[row["stratum"]] for row in chosen])
        models = [name for name in chosen[0] if name in ("ensemble", "teacher") or name.startswith("student_")]
        errors = {name: _errors(np.array([row[name] for row in chosen]), weights, name) for name in models}
        students = [errors.pop(name) for name in models if name.startswith("student_")]
        return {"n_frames": len(chosen), **errors, "students": students}

    return {
        "covered": sum(explored[name] for name in weight) / total if total else 1.0,
        **of(rows),
        "systems": {name: of(part) for name, part in _grouped(rows, "system").items()},
        "trust_classes": {name: of(part) for name, part in _grouped(rows, "trust_class").items()},
    }


def _grouped(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return dict(groups)


def _errors(rmse: np.ndarray, weights: np.ndarray, model: str) -> dict[str, float]:
    if model == "teacher":  # which may fail on frames, and sets no standard there
        weights, rmse = weights[np.isfinite(rmse)], rmse[np.isfinite(rmse)]
    if not len(rmse):
        return dict.fromkeys(("force_rmse", "force_median", "force_median_noise", "force_worst_tenth"), np.nan)
    draws = np.random.default_rng(0).integers(len(rmse), size=(RESAMPLINGS, len(rmse)))
    medians = [quantile(rmse[draw], weights[draw], 0.5) for draw in draws]
    return {
        "force_rmse": float(np.sqrt(np.average(rmse**2, weights=weights))),
        "force_median": quantile(rmse, weights, 0.5),
        "force_median_noise": float(np.std(medians)),
        "force_worst_tenth": quantile(rmse, weights, WORST),
    }


def quantile(values: np.ndarray, weights: np.ndarray, q: float) -> float:
    """The smallest value that is not exceeded by values of at least the share ``q`` of the weight."""
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(share, q - 1e-9)])
