# SPDX-License-Identifier: LGPL-3.0-or-later
"""Where frames come from."""

from __future__ import annotations

import dataclasses

from ipip_dp import workdir
from ipip_dp.report import frames, run
from tests.report.conftest import evaluated


def test_seed_teacher_students_and_reference(empty):
    first = evaluated(0, [0.3, 0.4], 0.3)
    workdir.write_json(first.relabel_summary, {"rejected": 7})
    labels = {"teacher": {"0": 130}, "students": {"0": 10, "1": 5}}
    evaluated(1, [0.3, 0.4], 0.3, pool_frames=145, pool_labels=labels, reference_frames=30)
    assert [dataclasses.astuple(each) for each in frames.collect(run.load())] == [
        (0, 100, 0, 0, 24, 0, 0),
        (1, 100, 30, 15, 24, 6, 7),
    ]


def test_what_is_left_of_the_seed_is_unknown_where_the_pool_forgets(make_context):
    jdata = make_context(ipip={"pool": {"retention": 0.5}}).jdata
    workdir.write_json(workdir.STARTED, jdata)
    evaluated(0, [0.3], 0.3)
    evaluated(1, [0.3], 0.3, pool_labels={"teacher": {"0": 80}})
    assert [(each.seed, each.teacher) for each in frames.collect(run.load())] == [(100, 0), (0, 80)]
