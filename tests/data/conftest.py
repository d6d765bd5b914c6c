# SPDX-License-Identifier: LGPL-3.0-or-later
"""Small labelled systems whose frames can be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dpdata
import numpy as np

from ipip_dp.data import pool, provenance, systems
from ipip_dp.data.provenance import LabelSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


TYPE_MAP = ["Mo", "S", "O"]


def make_system(
    symbols: str = "Mo O O S O",
    n_frames: int = 10,
    start: int = 0,
    source: LabelSource = LabelSource.TEACHER,
    virials: bool = True,
    type_map: list[str] | None = None,
) -> dpdata.LabeledSystem:
    """Frames whose energy is their number, and whose atoms can be told apart."""
    type_map = type_map or TYPE_MAP
    types = np.array([type_map.index(symbol) for symbol in symbols.split()])
    number = np.arange(start, start + n_frames, dtype=float)
    coords = 1.5 * np.arange(len(types))[:, None] + 0.5 * types[:, None] + np.zeros(3)
    coords = coords + np.random.default_rng(start).uniform(0, 0.1, (n_frames, len(types), 3))
    data = {
        "atom_names": list(type_map),
        "atom_numbs": [int(np.sum(types == t)) for t in range(len(type_map))],
        "atom_types": types,
        "orig": np.zeros(3),
        "cells": np.tile(np.eye(3) * 12.0, (n_frames, 1, 1)),
        "coords": coords,
        "energies": number,
        # type, so that a wrong atom order shows
        "forces": np.broadcast_to(types[None, :, None] + number[:, None, None] / 1000, coords.shape).copy(),
    }
    if virials:
        data["virials"] = np.broadcast_to(number[:, None, None], (n_frames, 3, 3)).copy()
    system = dpdata.LabeledSystem(data=data)
    provenance.mark(system, source, iteration=start // 100, model_deviation=number / 7)
    return system


def make_pool(path: Path, *many: dpdata.LabeledSystem, set_size: int = 4) -> Path:
    for system in many:
        pool.append(path, system, set_size)
    return path


def frames(path: Path) -> Iterator[dpdata.LabeledSystem]:
    """The frames of a pool or of other labelled data, a block at a time."""
    for system in systems.below(path):
        for folder, rows in systems.blocks(system):
            yield systems.read_sorted(folder, systems.LABELLED, rows=rows)


def energies(path: Path) -> list[float]:
    return sorted(float(energy) for system in frames(path) for energy in system["energies"])


def check_frames(path: Path, marked: bool = True) -> None:
    """Every frame still carries its own labels, atom order and, if it had one, provenance."""
    for system in frames(path):
        number = system["energies"].astype(float)
        types = system["atom_types"]
        np.testing.assert_allclose(system["forces"][:, :, 0], types + number[:, None] / 1000, rtol=1e-6)
        assert marked == ("ipip_label_source" in system.data)
        if not marked:
            continue
        np.testing.assert_allclose(system.data["ipip_model_deviation"], number / 7, rtol=1e-6)
        np.testing.assert_array_equal(system.data["ipip_label_iteration"], number // 100)
