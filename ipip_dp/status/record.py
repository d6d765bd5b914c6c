# SPDX-License-Identifier: LGPL-3.0-or-later
"""DP-GEN's record of the stages that have finished, as a run that starts would take it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ipip_dp import workdir

if TYPE_CHECKING:
    from pathlib import Path

Finished = tuple[int, int]  # iteration, and the number of DP-GEN's stage in it


def finished_stages() -> list[Finished]:
    """The stages that have finished.

    Of ``record.dpgen`` the lines count that DP-GEN can read, or of our copy if that got further. The last stages do
    not count if their folder has been removed: that is how to have a stage, and all later ones, done again on purpose.
    """
    texts = [path.read_text(errors="replace") for path in (workdir.RECORD, workdir.RECORD_COPY) if path.is_file()]
    stages = max(map(_stages, texts), key=lambda stages: stages[-1:], default=[])
    while stages and not _folder(*stages[-1]).is_dir():
        stages.pop()
    return stages


def _folder(index: int, stage: int) -> Path:
    """DP-GEN's folder of a stage."""
    iteration = workdir.Iteration(index)
    return (iteration.train, iteration.exploration, iteration.fp)[stage // 3]


def _stages(text: str) -> list[Finished]:
    """The stages in a record up to the first line that DP-GEN cannot read."""
    stages = []
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(\d+)\s+([0-8])\s*", line)
        if match is None and line.strip():
            break
        if match is not None:
            stages.append((int(match[1]), int(match[2])))
    return stages
