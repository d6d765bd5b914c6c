# SPDX-License-Identifier: LGPL-3.0-or-later
"""Frames of many sets in random order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.data import pool, shuffle, systems
from tests.data.conftest import check_frames, energies, frames, make_pool, make_system

if TYPE_CHECKING:
    from pathlib import Path

    import dpdata
    import pytest


def test_grow_shuffles_new_frames_into_every_set(tmp_path: Path) -> None:
    old = make_pool(tmp_path / "old", make_system(n_frames=500))
    new = make_pool(tmp_path / "new", make_system(n_frames=500, start=500))
    pool.grow(old, [new], tmp_path / "next", retention=1, seed=0, set_size=100)
    for system in frames(tmp_path / "next"):
        assert len(system) == 100
        assert 25 < np.sum(system["energies"] >= 500) < 75
    assert energies(tmp_path / "next") == list(range(1000))


def test_grow_gives_the_same_pool_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = make_pool(tmp_path / "new", make_system(n_frames=99), set_size=10)
    pool.grow(None, [new], tmp_path / "whole", retention=1, seed=3, set_size=8)
    monkeypatch.setattr(shuffle, "BLOCK_BYTES", 4000)
    pool.grow(None, [new], tmp_path / "blocks", retention=1, seed=3, set_size=8)
    for one, other in zip(frames(tmp_path / "whole"), frames(tmp_path / "blocks"), strict=True):
        np.testing.assert_array_equal(one["energies"], other["energies"])
    check_frames(tmp_path / "blocks")


def sources(folder: Path) -> list[shuffle.Source]:
    return [shuffle.Source(path, slice(0, 5)) for system in systems.below(folder) for path in systems.sets(system)]


def shuffled(folder: Path, chosen: list[int], seed: int = 0, set_size: int = 4) -> list[dpdata.LabeledSystem]:
    rng = np.random.default_rng(seed)
    numbers = np.array(chosen, dtype=int)
    found = shuffle.shuffled(
        sources(folder / "data"), numbers, rng, systems.LABELLED, np.float32, set_size, scratch=folder
    )
    return list(found)


def test_every_chosen_frame_comes_once_with_its_own_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pool(tmp_path / "data", make_system(n_frames=40), set_size=5)
    chosen = list(range(1, 40, 3))
    (whole,) = shuffled(tmp_path, chosen)
    assert sorted(whole["energies"]) == chosen != list(whole["energies"])
    assert whole["forces"].dtype == np.float32
    np.testing.assert_allclose(whole.data["ipip_model_deviation"], whole["energies"] / 7, rtol=1e-6)
    np.testing.assert_allclose(whole["forces"][:, 0, 0], whole["energies"] / 1000, rtol=1e-6, atol=1e-7)
    # the order depends on the seed, and not on the size of blocks
    assert list(shuffled(tmp_path, chosen, seed=1)[0]["energies"]) != list(whole["energies"])
    monkeypatch.setattr(shuffle, "BLOCK_BYTES", 1000)
    parts = shuffled(tmp_path, chosen, set_size=2)
    assert len(parts) > 2
    assert {len(part) % 2 for part in parts[:-1]} == {0}
    assert [float(energy) for part in parts for energy in part["energies"]] == list(whole["energies"])
    assert [path.name for path in tmp_path.iterdir()] == ["data"], "the scratch file is gone"


def test_none_of_many_is_nothing(tmp_path: Path) -> None:
    make_pool(tmp_path / "data", make_system(n_frames=10), set_size=5)
    assert shuffled(tmp_path, []) == []
