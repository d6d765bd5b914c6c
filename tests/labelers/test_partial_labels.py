# SPDX-License-Identifier: LGPL-3.0-or-later
"""Labels of a job under way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ipip_dp.labelers import partial_labels
from ipip_dp.labelers.execute import Outcome

PARTIAL = Path("labels/.partial")


def outcome(group, *frames):
    """Labels that tell the frame."""
    labels = {frame: {"energies": np.float64(frame), "forces": np.full((2, 3), frame)} for frame in frames}
    return Outcome(group, labels, {99: "failed"})


def saved(group):
    return {
        frame: (energy, forces[0, 0])
        for frames, labels in partial_labels.saved(PARTIAL, group)
        for frame, energy, forces in zip(frames, labels["energies"], labels["forces"], strict=True)
    }


def test_every_group_gets_its_own_labels_back():
    partial_labels.save(PARTIAL, [outcome(0, 4, 2), outcome(1, 0), outcome(0, 7)])
    partial_labels.save(PARTIAL, [outcome(0, 1), outcome(10, 5)])
    assert saved(0) == {frame: (frame, frame) for frame in (4, 2, 7, 1)}
    assert saved(1) == {0: (0, 0)}
    assert saved(10) == {5: (5, 5)}
    assert saved(2) == {}


def test_frames_without_labels_leave_no_file():
    partial_labels.save(PARTIAL, [outcome(0)])
    assert not PARTIAL.exists()


def test_labels_that_are_known_already_are_those_of_all_frames_of_the_first_group():
    partial_labels.keep_labels(PARTIAL.parent, {"energies": np.arange(3.0), "forces": np.zeros((3, 2, 3))})
    assert saved(0) == {0: (0, 0), 1: (1, 0), 2: (2, 0)}
