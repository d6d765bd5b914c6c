"""Predictions of one or several models on labelled frames: the work behind ``ipip predict``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import data, labelers
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    driver = labelers.make_driver(config, list(type_map))
    arrays = {}
    for number, path in enumerate(data.find_systems(folders)):
        system = data.read(path, type_map)
        for name, values in _predict_system(driver, system.data).items():
            arrays[f"{number}/{name}"] = values
    temporary = output.with_name(f".{output.name}.tmp.npz")
    np.savez(temporary, allow_pickle=False, **arrays)
    os.replace(temporary, output)


def _predict_system(driver: Any, frames: dict[str, Any]) -> dict[str, np.ndarray]:
    if hasattr(driver, "predict_members"):
        return driver.predict_members(frames)
    n_frames, n_atoms = frames["coords"].shape[:2]
    result = {
        "energies": np.full((1, n_frames), np.nan),
        "forces": np.full((1, n_frames, n_atoms, 3), np.nan),
        "virials": np.full((1, n_frames, 3, 3), np.nan),
    }
    reason = None
    for i in range(n_frames):
        frame = {**frames, "coords": frames["coords"][i : i + 1], "cells": frames["cells"][i : i + 1]}
        try:
            labeled = driver.label(frame)
        except IpipError:
            raise
        except Exception as error:  # a calculator's own failure on this frame
            reason = error
            continue
        for name in QUANTITIES:
            if name in labeled:
                result[name][0, i] = np.asarray(labeled[name])[0]
    if np.isnan(result["energies"]).all():
        raise IpipError(f"the labeler failed on all {n_frames} frames; the last reason: {reason}")
    if np.isnan(result["virials"]).all():
        del result["virials"]
    return result


def load(path: Path) -> list[dict[str, np.ndarray]]:
    """Read what :func:`predict` wrote: one dict of arrays per system."""
    systems: dict[int, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            number, name = key.split("/")
            systems.setdefault(int(number), {})[name] = file[key]
    return [systems[number] for number in sorted(systems)]
