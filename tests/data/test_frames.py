# SPDX-License-Identifier: LGPL-3.0-or-later
"""Frames in memory: only frames of the same atoms and boundaries can be joined."""

from __future__ import annotations

import numpy as np
import pytest

from ipip_dp.data.frames import joined, sorted_by_type, take
from tests.data.conftest import make_system


def test_joined_frames_keep_their_order() -> None:
    whole = joined([make_system(n_frames=2), make_system(n_frames=3, start=10)])
    assert whole["energies"].tolist() == [0, 1, 10, 11, 12]
    assert len(whole.data["ipip_label_source"]) == 5


@pytest.mark.parametrize("difference", ["elements", "order", "number", "boundaries", "kinds of data"])
def test_frames_that_differ_cannot_be_joined(difference: str) -> None:
    other = {"elements": "Mo O O O O", "order": "O O O S Mo", "number": "Mo O O S"}.get(difference, "Mo O O S O")
    second = make_system(other, virials=difference != "kinds of data")
    second.nopbc = difference == "boundaries"
    with pytest.raises(ValueError, match="cannot be joined"):
        joined([make_system(), second])


def test_sorting_keeps_labels_with_their_atoms_and_the_original_as_it_was() -> None:
    system = make_system("O Mo S O O", n_frames=2)
    ordered = sorted_by_type(system)
    assert ordered["atom_types"].tolist() == [0, 1, 2, 2, 2]
    np.testing.assert_allclose(ordered["forces"][0, :, 0], ordered["atom_types"])
    assert system["atom_types"].tolist() == [2, 0, 1, 2, 2]
    assert "ipip_label_source" in ordered.data
    assert sorted_by_type(ordered) is ordered


def test_frames_are_taken_in_the_order_given() -> None:
    part = take(make_system(n_frames=5), np.array([3, 1]))
    assert part["energies"].tolist() == [3, 1]
    assert part.data["ipip_model_deviation"].tolist() == [3 / 7, 1 / 7]
