# SPDX-License-Identifier: LGPL-3.0-or-later
"""DP-GEN's record of finished stages; what a start makes of it is in tests/dpgen_plugin/test_restart.py."""

from __future__ import annotations

from ipip_dp import workdir
from ipip_dp.status.record import finished_stages
from ipip_dp.workdir import Iteration


def test_what_counts_is_what_a_start_would_go_on_from(run_folder):
    assert finished_stages() == []
    Iteration(0).train.mkdir(parents=True)
    workdir.RECORD.write_text("0 0\n0 1\n0 ")
    assert finished_stages() == [(0, 0), (0, 1)]
    workdir.write_text(workdir.RECORD_COPY, "0 0\n0 1\n0 2\n")
    assert finished_stages()[-1] == (0, 2)
    Iteration(0).train.rmdir()  # to have it done again
    assert finished_stages() == []
    assert workdir.RECORD.read_text() == "0 0\n0 1\n0 "
