"""Predictions of one or several models on labelled frames: the work behind ``ipip predict``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import data, labelers, workdir
from ipip_dp.errors import IpipError
from ipip_dp.labelers.execute import Task, run_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import dpdata

QUANTITIES = ("energies", "forces", "virials")


def predict(folders: Sequence[Path], output: Path, config: dict[str, Any], type_map: Sequence[str]) -> None:
    """Write the predictions of every model of a labeler on every system.

    Parameters
    ----------
    folders : sequence of Path
        Data folders; see :func:`ipip_dp.data.find_systems` for the order.
    output : Path
        Name of the ``.npz`` file: arrays ``{i}/energies`` (n_models, n_frames) in eV,
        ``{i}/forces`` (n_models, n_frames, n_atoms, 3) in eV/Angstrom and, where the
        labeler has them, ``{i}/virials`` (n_models, n_frames, 3, 3) in eV for system i.
        A frame the labeler fails on is NaN.
    config : dict
        Labeler config.
    type_map : sequence of str
        The elements, in the order of param.json.
    """
    systems = [data.read(path, type_map) for path in data.find_systems(folders)]
    if config["type"] == "dp":
        driver = labelers.make_driver(config, list(type_map))
        predictions = [driver.predict_members(system.data) for system in systems]
    else:
        predictions = _predict_one_by_one(systems, config, type_map)
    arrays = {f"{i}/{name}": values for i, system in enumerate(predictions) for name, values in system.items()}
    workdir.write_npz(output, **arrays)


def _predict_one_by_one(
    systems: Sequence[dpdata.LabeledSystem], config: dict[str, Any], type_map: Sequence[str]
) -> list[dict[str, np.ndarray]]:
    """Predictions of a labeler that is one model; it may fail on some frames, but not on all."""
    predictions = []
    tasks = []
    size = labelers.DRIVERS[config["type"]].frames_per_call
    for number, system in enumerate(systems):
        n_frames, n_atoms = system["coords"].shape[:2]
        shapes = {"energies": (), "forces": (n_atoms, 3), "virials": (3, 3)}
        predictions.append({name: np.full((1, n_frames, *shape), np.nan) for name, shape in shapes.items()})
        frames = np.arange(n_frames)
        tasks += [Task(number, frames[i : i + size], system[i : i + size]) for i in range(0, n_frames, size)]
    reason = ""
    for outcome in run_tasks(tasks, config, type_map, workers=1):
        for frame, labels in outcome.labels.items():
            for name, value in labels.items():
                predictions[outcome.group][name][0, frame] = value
        reason = next(iter(outcome.reasons.values()), reason)
    if all(np.isnan(system["energies"]).all() for system in predictions):
        raise IpipError(f"the labeler failed on every frame; the last reason: {reason}")
    return [
        {name: values for name, values in system.items() if name != "virials" or not np.isnan(values).all()}
        for system in predictions
    ]


def load(path: Path) -> list[dict[str, np.ndarray]]:
    """Read what :func:`predict` wrote: one dict of arrays per system."""
    systems: dict[int, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            number, name = key.split("/")
            systems.setdefault(int(number), {})[name] = file[key]
    return [systems[number] for number in sorted(systems)]
