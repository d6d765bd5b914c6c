# SPDX-License-Identifier: LGPL-3.0-or-later
"""Numbers behind the pictures; the rest is in test_page.py."""

from __future__ import annotations

from ipip_dp import workdir
from ipip_dp.report import run, sections
from tests.report.conftest import evaluated
from tests.report.test_costs import job, stage


def no_picture(name, figure):
    return ""


def test_the_learning_curve_has_the_spread_of_students(empty):
    evaluated(0, [0.35, 0.29, 0.31], 0.3)
    (picture,) = sections.learning_curve(run.load(), no_picture)["pictures"]
    (row,) = picture.table.rows
    assert row[:5] == ["0", "24", "100", "0.400", "0.290 to 0.350"]
    assert row[5].startswith("0.300 ± 0.0")


def test_core_hours_are_added_up_only_where_all_are_known(empty):
    iteration = evaluated(0, [0.3], 0.3)
    workdir.write_json(iteration.timing, {"make_train": stage(2, job(iteration.pretrain, 1, 8))})
    (picture,) = sections.time(run.load(), no_picture)["pictures"]
    assert picture.table.rows[-1] == ["all", "2.00", "8.00", "0.00"]
    workdir.write_json(iteration.timing, {"run_train": {"seconds": 7200, "dispatched": 3600}})
    (picture,) = sections.time(run.load(), no_picture)["pictures"]
    assert picture.table.rows[-1] == ["all", "2.00", "–", "–"]
