# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``default_training_param`` says: one training input of DeePMD-kit for all students, or one for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMB_STEPS = ("numb_steps", "stop_batch", "num_step", "num_steps", "numb_step")
"""DeePMD-kit's names of one key."""


def inputs(jdata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The training inputs."""
    given = jdata.get("default_training_param", {})
    return given if isinstance(given, list) else [given]


def numb_steps(training_input: Mapping[str, Any]) -> int | None:
    """How many steps a training input asks for; None where it counts epochs."""
    training = training_input.get("training", {})
    return next((training[name] for name in NUMB_STEPS if name in training), None)


def learns_virials(jdata: Mapping[str, Any]) -> bool:
    """Whether fine-tuning trains on virials; DeePMD-kit does not by default."""
    losses = [each.get("loss", {}) for each in inputs(jdata)]
    return all(loss.get("start_pref_v") or loss.get("limit_pref_v") for loss in losses)
