# SPDX-License-Identifier: LGPL-3.0-or-later
"""One of several students."""

from __future__ import annotations

import pytest

from ipip_dp.evaluation import students


@pytest.mark.parametrize(
    ("errors", "member"), [([0.3, 0.2], 1), ([0.2, 0.2], 0), ([float("nan"), 0.5], 1), ([float("nan")] * 2, 0)]
)
def test_the_smallest_error_wins(errors, member):
    assert students.best([{"force_rmse": error} for error in errors]) == member
