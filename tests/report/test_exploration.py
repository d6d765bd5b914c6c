# SPDX-License-Identifier: LGPL-3.0-or-later
"""Deviations of MD that may be running, and runs that blew up."""

from __future__ import annotations

import pytest

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.report import exploration, run
from ipip_dp.steps import explore
from ipip_dp.workdir import Iteration

HEAD = "#       step         max_devi_v         min_devi_v         avg_devi_v         max_devi_f\n"


def task(index: int, name: str, rows: str, log: str = ""):
    folder = Iteration(index).exploration / name
    workdir.write_text(folder / "model_devi.out", HEAD + rows)
    workdir.write_text(folder / "model_devi.log", log)
    workdir.write_json(folder / "job.json", {"ensemble": "npt", "press": 1.0, "temps": 600})


def test_what_has_been_written_so_far_is_read(empty):
    task(0, "task.000.000000", "0 1 1 1 0.1 0 0\n10 1 1 1 0.3 0 0\n20 1 1 1 nan 0 0\n30 1 1 1 0.2")
    (explored,) = exploration.collect(run.load())
    assert explored.deviations.tolist() == [0.1, 0.3]
    assert explored.levels == (0.15, 0.6)
    assert explored.blow_ups == []


def test_md_that_blew_up(empty):
    lost = f"Step\n{explore.NOTE}: ERROR: Lost atoms: original 27 current 26 (src/thermo.cpp:494)\n"
    task(0, "task.000.000000", "0 1 1 1 0.1 0 0\n")
    task(0, "task.000.000001", "0 1 1 1 0.1 0 0\n40 1 1 1 9 0 0\n", lost)
    (explored,) = exploration.collect(run.load())
    (blown,) = explored.blow_ups
    assert (blown.task, blown.conditions, blown.step) == ("task.000.000001", "npt 600 K 1 bar", 40)
    assert blown.reason == "Lost atoms: original 27 current 26 (src/thermo.cpp:494)"


def test_levels_are_those_that_frames_were_sorted_by(empty):
    task(0, "task.000.000000", "0 1 1 1 0.1 0 0\n")
    workdir.write_json(Iteration(0).job, {"model_devi_f_trust_lo": 0.3, "model_devi_f_trust_hi": 0.9})
    assert exploration.collect(run.load())[0].levels == (0.3, 0.9)


def test_no_md(empty):
    with pytest.raises(IpipError, match="No MD"):
        exploration.collect(run.load())
