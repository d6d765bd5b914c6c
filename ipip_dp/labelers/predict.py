# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions of one or several models on labelled frames: the work behind ``ipip predict``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import labelled, systems
from ipip_dp.errors import IpipError
from ipip_dp.labelers.base import Ensemble
from ipip_dp.labelers.execute import Task, label_task
from ipip_dp.labelers.progress import Progress
from ipip_dp.labelers.registry import make_labeler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import dpdata

    from ipip_dp.labelers.base import Labeler


def predict(folders: Sequence[Path], output: Path, config: dict[str, Any], type_map: Sequence[str]) -> None:
    """Write the predictions of every model of a labeler on every system.

    Parameters
    ----------
    folders : sequence of Path
        Data folders; see :func:`ipip_dp.data.systems.find` for the order.
    output : Path
        Name of the ``.npz`` file: arrays ``{i}/energies`` (n_models, n_frames) in eV,
        ``{i}/forces`` (n_models, n_frames, n_atoms, 3) in eV/Angstrom and, where the
        labeler has them, ``{i}/virials`` (n_models, n_frames, 3, 3) in eV for block i of
        frames, counted through the :func:`ipip_dp.data.labelled.read` of all systems.
        A frame the labeler fails on is NaN.
    config : dict
        Labeler config.
    type_map : sequence of str
        The elements, in the order of param.json.
    """
    found = systems.find(folders)
    blocks = itertools.chain(*[labelled.read(system, type_map) for system in found])
    n_frames = sum(rows.stop - rows.start for system in found for _, rows in systems.blocks(system))
    with Progress("predicting", n_frames, "frames") as progress:
        labeler = make_labeler(config, list(type_map))
        if isinstance(labeler, Ensemble):
            predictions = _predict_members(labeler, blocks, progress)
        else:
            predictions = _predict_one_by_one(labeler, blocks, progress)
        workdir.write_arrays(
            output, ((f"{i}/{name}", values) for i, block in enumerate(predictions) for name, values in block.items())
        )


def _predict_members(
    labeler: Ensemble, blocks: Iterable[dpdata.LabeledSystem], progress: Progress
) -> Iterator[dict[str, np.ndarray]]:
    """Predictions of every model of a labeler."""
    for block in blocks:
        yield labeler.predict_members(block.data)
        progress.update(progress.done + len(block))


def _predict_one_by_one(
    labeler: Labeler, blocks: Iterable[dpdata.LabeledSystem], progress: Progress
) -> Iterator[dict[str, np.ndarray]]:
    """Predictions of a labeler that is one model; it may fail on some frames, but not on all."""
    size = labeler.frames_per_call
    n_labelled = 0
    reason = ""
    for block in blocks:
        n_frames, n_atoms = block["coords"].shape[:2]
        shapes = {"energies": (), "forces": (n_atoms, 3), "virials": (3, 3)}
        predictions = {name: np.full((1, n_frames, *shape), np.nan) for name, shape in shapes.items()}
        has_virials = False
        for start in range(0, n_frames, size):
            part = block[start : start + size]
            outcome = label_task(labeler, Task(0, np.arange(start, start + len(part)), part))
            for frame, labels in outcome.labels.items():
                for name, value in labels.items():
                    predictions[name][0, frame] = value
                has_virials |= "virials" in labels
            n_labelled += len(outcome.labels)
            reason = next(iter(outcome.reasons.values()), reason)
            progress.update(progress.done + len(part))
        if not has_virials:
            del predictions["virials"]
        yield predictions
    if not n_labelled:
        raise IpipError(f"the labeler failed on every frame; the last reason: {reason}")


def is_whole(path: Path) -> bool:
    """Whether predictions can be read."""
    try:
        return bool(list(load(path)))
    except IpipError:
        return False


def load(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """Read what :func:`predict` wrote: one dict of arrays per block.

    Raises
    ------
    IpipError
        If the file is missing, truncated or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names: dict[int, list[str]] = {}
            for key in file.files:
                names.setdefault(int(key.split("/")[0]), []).append(key)
            for number in sorted(names):
                yield {key.split("/")[1]: file[key] for key in names[number]}
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise IpipError(f"{path}: cannot be read: {error}; remove its folder to have it made again") from error
