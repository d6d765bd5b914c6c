# SPDX-License-Identifier: LGPL-3.0-or-later
"""Compare predictions of students and teacher with reference labels, a block of frames at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.errors import IpipError
from ipip_dp.evaluation import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ipip_dp.evaluation.metrics import LabeledData

LABELS = ("energies", "forces", "virials")
Predictions = tuple[str, Iterator[dict[str, np.ndarray]]]
"""What they are called in messages, and one dict of arrays per block: see :func:`ipip_dp.labelers.predict.predict`."""


def compare(
    reference: Iterable[tuple[str, LabeledData]], students: Predictions, **teachers: Predictions
) -> dict[str, Any]:
    """Errors of predictions against reference labels.

    Parameters
    ----------
    reference : iterable of (str, dict)
        Name of its system, and labels, of every block of frames.
    students, **teachers : (str, iterator of dict)
        Predictions on the same blocks, in the same order.

    Returns
    -------
    dict
        ``students`` (one for each), ``ensemble`` (their mean), the teachers and, by name, ``systems``:
        see :class:`ipip_dp.evaluation.metrics.Errors`.

    Raises
    ------
    IpipError
        If predictions are of other data.
    """
    # of every model, the differences on every system
    found: dict[str | int, dict[str, list[metrics.Difference]]] = defaultdict(lambda: defaultdict(list))
    for name, labels in reference:
        predicted = next_block(students, labels)
        for member in range(len(predicted["energies"])):
            found[member][name].append(_difference(labels, {key: a[member] for key, a in predicted.items()}))
        mean = {key: array.mean(axis=0) for key, array in predicted.items()}
        found["ensemble"][name].append(_difference(labels, mean))
        for teacher, predictions in teachers.items():
            own = {key: array[0] for key, array in next_block(predictions, labels).items()}
            found[teacher][name].append(_difference(*_labelled(labels, own)))
    require_end(students, *teachers.values())
    errors = {model: metrics.errors(list(systems.values())) for model, systems in found.items()}
    result: dict[str, Any] = {model: errors[model][0].to_dict() for model in errors if isinstance(model, str)}
    result["students"] = [errors[model][0].to_dict() for model in errors if isinstance(model, int)]
    result["systems"] = {
        name: {model: errors[model][1][number].to_dict() for model in errors if isinstance(model, str)}
        for number, name in enumerate(found["ensemble"])
    }
    return result


def next_block(predictions: Predictions, reference: LabeledData) -> dict[str, np.ndarray]:
    """The predictions on the next block of frames.

    Raises
    ------
    IpipError
        If it is not the block of the reference.
    """
    where, blocks = predictions
    predicted = next(blocks, None)
    if predicted is None or predicted["forces"].shape[1:] != reference["forces"].shape:
        raise _other_data(where)
    return predicted


def require_end(*all_predictions: Predictions) -> None:
    """Check that no predictions are left.

    Raises
    ------
    IpipError
        If there are.
    """
    for where, blocks in all_predictions:
        if next(blocks, None) is not None:
            raise _other_data(where)


def _other_data(where: str) -> IpipError:
    return IpipError(
        f"{where}: predictions on other data than the held-out set as it is now; errors can be compared only if "
        "ipip.held_out stays the same during a run: restore it, or start a new run"
    )


def _difference(reference: LabeledData, predicted: LabeledData) -> metrics.Difference:
    """The difference of predictions, which carry no atoms of their own."""
    atoms = {name: reference[name] for name in ("atom_names", "atom_types")}
    return metrics.difference(reference, {**atoms, **predicted})


def _labelled(reference: LabeledData, predicted: Mapping[str, np.ndarray]) -> tuple[LabeledData, LabeledData]:
    """Both, without the frames the teacher cannot label: there it sets no standard to beat."""
    frames = np.isfinite(predicted["energies"]) & np.isfinite(predicted["forces"]).all(axis=(1, 2))
    labels = {name: reference[name][frames] for name in LABELS if name in reference}
    atoms = {name: reference[name] for name in ("atom_names", "atom_types")}
    return {**atoms, **labels}, {name: array[frames] for name, array in predicted.items()}
