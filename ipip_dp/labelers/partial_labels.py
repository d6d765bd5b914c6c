# SPDX-License-Identifier: LGPL-3.0-or-later
"""Raw labels of a job under way, kept on disk so that a kill does not cost them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.labelers.execute import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ipip_dp.labelers.execute import Outcome

PARTIAL = ".partial"
"""Folder below that of the labels, which goes when they are complete."""


def save(partial: Path, outcomes: Sequence[Outcome]) -> None:
    """Write labels to one new file per group."""
    for group in {outcome.group for outcome in outcomes}:
        labels: dict[int, dict[str, np.ndarray]] = {}
        for outcome in outcomes:
            if outcome.group == group:
                labels.update(outcome.labels)
        if not labels:
            continue
        frames = list(labels)
        arrays: dict[str, Any] = {name: np.array([labels[i][name] for i in frames]) for name in labels[frames[0]]}
        workdir.write_npz(partial / f"group{group}.{frames[0]}.npz", frames=frames, **arrays)


def keep_labels(output: Path, labels: dict[str, np.ndarray]) -> None:
    """Keep labels that are known already, of all frames of the first group that :func:`label_groups` will be given."""
    workdir.write_npz(output / PARTIAL / "group0.0.npz", frames=np.arange(len(labels["energies"])), **labels)


def any_saved(partial: Path) -> bool:
    """Whether labels of any group are there."""
    return any(partial.glob("group*.npz"))


def saved(partial: Path, group: int) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
    """Yield (frames, labels) of every saved file of a group."""
    for path in sorted(partial.glob(f"group{group}.*.npz")):
        with np.load(path, allow_pickle=False) as file:
            yield file["frames"].tolist(), {name: file[name] for name in LABELS if name in file}
