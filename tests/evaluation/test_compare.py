# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions are compared with reference labels block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.evaluation.compare import compare

ATOMS = {"atom_names": ["Mo", "S"], "atom_types": np.array([0, 1, 1])}


def labels(n_frames: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        **ATOMS,
        "energies": rng.normal(size=n_frames),
        "forces": rng.normal(size=(n_frames, 3, 3)),
        "virials": rng.normal(size=(n_frames, 3, 3)),
    }


def shifted(block: dict[str, Any], *force_errors: float) -> dict[str, np.ndarray]:
    """Predictions of one model for each error of its forces."""
    return {
        "energies": np.array([block["energies"]] * len(force_errors)),
        "forces": np.array([block["forces"] + error for error in force_errors]),
        "virials": np.array([block["virials"]] * len(force_errors)),
    }


def predictions(name: str, blocks: list[dict[str, Any]], *force_errors: float):
    return name, iter([shifted(block, *force_errors) for block in blocks])


def test_students_their_mean_and_the_teacher_have_errors_of_their_own():
    blocks = [labels(3, 1), labels(2, 2)]
    found = compare(
        zip("ab", blocks, strict=True),
        predictions("students", blocks, 0.3, -0.1),
        teacher=predictions("teacher", blocks, 0.2),
    )
    assert [student["force_rmse"] for student in found["students"]] == pytest.approx([0.3, 0.1])
    assert found["ensemble"]["force_rmse"] == pytest.approx(0.1)
    assert found["teacher"]["force_rmse"] == pytest.approx(0.2)
    assert {name: system["ensemble"]["n_frames"] for name, system in found["systems"].items()} == {"a": 3, "b": 2}
    assert set(found["systems"]["a"]) == {"ensemble", "teacher"}


def test_blocks_of_one_system_are_one_system():
    whole = labels(5, 1)
    frames = ("energies", "forces", "virials")
    parts = [{**ATOMS, **{key: whole[key][rows] for key in frames}} for rows in (slice(0, 2), slice(2, 5))]
    rng = np.random.default_rng(0)
    errors = rng.normal(size=5)
    guess = {**shifted(whole, 0.3, 0.1), "energies": whole["energies"] + errors * [[1], [2]]}
    halves = [{key: guess[key][:, rows] for key in frames} for rows in (slice(0, 2), slice(2, 5))]
    one = compare([("a", whole)], ("students", iter([guess])))
    two = compare([("a", part) for part in parts], ("students", iter(halves)))
    assert list(two["systems"]) == ["a"]
    assert two["systems"]["a"]["ensemble"] == pytest.approx(one["systems"]["a"]["ensemble"])
    assert two["ensemble"]["energy_rmse_per_atom_aligned"] == pytest.approx(np.std(1.5 * errors) / 3)


def test_the_teacher_is_not_measured_where_it_fails_and_students_are():
    block = labels(4, 1)
    guess = shifted(block, 0.2)
    guess["forces"][0, 1, 2, 0] = np.nan
    guess["energies"][0, 3] = np.inf
    found = compare([("a", block)], predictions("students", [block], 0.1), teacher=("teacher", iter([guess])))
    assert (found["teacher"]["n_frames"], found["ensemble"]["n_frames"]) == (2, 4)
    assert found["teacher"]["force_rmse"] == pytest.approx(0.2)
    found = compare([("a", block)], ("students", iter([guess])))
    assert np.isnan(found["students"][0]["force_rmse"])


@pytest.mark.parametrize("n_blocks", [1, 3])
@pytest.mark.parametrize("where", ["students", "teacher"])
def test_predictions_of_fewer_or_more_blocks_are_refused(where, n_blocks):
    blocks = [labels(2, seed) for seed in range(3)]
    guesses = {who: predictions(who, blocks[: n_blocks if who == where else 2], 0.1) for who in ("students", "teacher")}
    with pytest.raises(IpipError, match=f"{where}: predictions on other data than the held-out set"):
        compare([("a", block) for block in blocks[:2]], guesses["students"], teacher=guesses["teacher"])


def test_predictions_of_another_number_of_frames_are_refused():
    with pytest.raises(IpipError, match="students: predictions on other data"):
        compare([("a", labels(3, 1))], predictions("students", [labels(2, 1)], 0.1))
