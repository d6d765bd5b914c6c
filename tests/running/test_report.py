# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a run says of its jobs while they work."""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.running import dispatch
from ipip_dp.status import life

RESOURCES = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 0}
SHELL = {"batch_type": "Shell", "context_type": "LazyLocalContext", "local_root": "./"}
MACHINE = {"ipip_label": {"machine": SHELL, "resources": RESOURCES}}
TRAIN = "for step in 100 200 300 400; do echo $step 0.1 >> lcurve.out; sleep 0.5; done"


@pytest.fixture
def said(tmp_path, monkeypatch, caplog):
    """The lines of a stage that trains for two seconds and then works without jobs."""
    from dpdispatcher.dlog import dlog

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(life, "INTERVAL", 0.2)
    monkeypatch.setattr(dlog, "propagate", True)
    workdir.write_json(workdir.STARTED, {})
    workdir.write_json(Path("work/one/input.json"), {"training": {"numb_steps": 500}})
    with caplog.at_level(logging.INFO, logger=dlog.name):
        with dispatch.submissions(MACHINE, 0.1, "run_train"):
            dispatch.submit(MACHINE, "ipip_label", Path("work"), ["one"], ["sh", "-c", TRAIN])
            time.sleep(0.5)
        lines = [line for line in caplog.messages if line.startswith("ipip: ")]
        time.sleep(0.5)
        assert lines == [line for line in caplog.messages if line.startswith("ipip: ")]  # nothing after its end
    return lines


def test_the_log_says_how_far_the_jobs_are_and_how_long_they_take(said):
    training = re.compile(r"ipip: work: 200 of 500 steps, \d+ s left, 0 of 1 task finished, 1 begun")
    assert any(training.fullmatch(line) for line in said), said
    assert said[-1].startswith("ipip: run_train: no jobs under way, ")


def test_it_leaves_signs_of_life(said):
    beat = json.loads(workdir.PROGRESS.read_text())
    assert (beat["stage"], beat["folder"]) == ("run_train", None)
    assert time.time() - beat["time"] < 60
