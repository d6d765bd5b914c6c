# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a run leaves on disk, without its data."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ipip_dp import workdir
from ipip_dp.workdir import Iteration

# A process that claims the run folder as `dpgen run` does and leaves one sign of life.
HOLD = """import json, sys, time
from pathlib import Path
from ipip_dp.dpgen_plugin import restart
from ipip_dp.status.life import Beat
restart.claim(Path.cwd())
beat = json.loads(sys.argv.pop())
Beat(**{"stage": "make_train", **beat}).write()
print(flush=True)
time.sleep(60)
"""
PARAM = {"type_map": ["Mo", "S"], "model_devi_jobs": [{"nsteps": 10}], "ipip": {"held_out": ["data/held_out"]}}


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """The folder of a run that has begun, as the working directory."""
    monkeypatch.chdir(tmp_path)
    workdir.write_json(tmp_path / "param.json", PARAM)
    workdir.write_json(workdir.STARTED, PARAM)
    return tmp_path


@pytest.fixture
def hold(run_folder):
    """Let a process hold the folder until the test ends; what it is given is its sign of life."""
    started = []

    def hold_(**beat: object) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLD, json.dumps(beat)], stdout=subprocess.PIPE)
        process.stdout.readline()
        started.append(process)
        return process

    yield hold_
    for process in started:
        process.kill()
        process.wait()


def evaluated(index: int, ensemble: float, *students: float) -> Iteration:
    """An iteration with its errors, its models, and the time it took."""
    iteration = Iteration(index)
    errors = {
        "pool_frames": 100_000 + index,
        "reference_frames": 24,
        "teacher": {"force_rmse": 0.4},
        "students": [{"force_rmse": error, "energy_rmse_per_atom_aligned": 0.01} for error in students],
        "ensemble": {"force_rmse": ensemble, "energy_rmse_per_atom_aligned": 0.01},
    }
    workdir.write_json(iteration.metrics, errors)
    workdir.write_json(iteration.timing, {"train": {"seconds": 60.0, "dispatched": 45.0}})
    for member in range(len(students)):
        workdir.write_text(iteration.train / f"graph.{member:03d}.pb", "")
    return iteration


def explored(iteration: Iteration) -> None:
    """How the MD of an iteration went."""
    counts = {"accurate": 100_003, "candidate": 2, "failed": 1, "md": 1000, "blown_up": 1, "held": 700}
    workdir.write_json(iteration.explored_counts, counts)
    error = {"force_median": 0.55, "force_median_noise": 0.01, "force_rmse": 0.6, "force_worst_tenth": 1.0}
    teacher = {**error, "force_median": 0.81}
    workdir.write_json(iteration.on_policy_metrics, {"n_frames": 40, "ensemble": error, "teacher": teacher})
