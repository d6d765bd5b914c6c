# SPDX-License-Identifier: LGPL-3.0-or-later
"""Atoms are matched by the names of their elements."""

from __future__ import annotations

import numpy as np
import pytest

from ipip_dp.labelers import frames
from ipip_dp.labelers.base import LabelerError

from .conftest import mos2

DATA = {"atom_names": ["O", "S", "Mo", "W"], "atom_types": np.array([2, 1, 1, 0])}


def test_atoms_get_their_places_in_another_list_of_elements():
    assert frames.symbols(DATA) == ["Mo", "S", "S", "O"]
    assert frames.element_indices(DATA, ["Mo", "O", "S"], "it").tolist() == [0, 2, 2, 1]


def test_only_elements_that_occur_must_be_known():
    assert frames.unknown_elements(DATA, ["Mo"]) == ["O", "S"]
    assert frames.unknown_elements(DATA, ["Mo", "S", "O"]) == []
    assert frames.unknown_elements(DATA, None) == []
    with pytest.raises(LabelerError, match="the teacher does not know O S: it knows Mo W"):
        frames.element_indices(DATA, ["Mo", "W"], "the teacher")


def test_isolated_atoms_have_no_cells():
    system = mos2(n_frames=2)
    np.testing.assert_array_equal(frames.periodic_cells(system.data), system["cells"])
    assert frames.periodic_cells({**system.data, "nopbc": True}) is None
