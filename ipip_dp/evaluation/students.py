# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which of several students to use where one model is wanted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def best(errors: Sequence[Mapping[str, float]]) -> int:
    """Index of the student with the smallest held-out force RMSE; nan is larger than any number."""
    rmse = [error["force_rmse"] for error in errors]
    return min(range(len(rmse)), key=lambda member: math.inf if math.isnan(rmse[member]) else rmse[member])
