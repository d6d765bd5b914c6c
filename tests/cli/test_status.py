# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip status`."""

from __future__ import annotations

import re

import pytest

from ipip_dp import workdir
from ipip_dp.workdir import Iteration
from tests.cli.conftest import check_mistake

# What is typed, and the line that answers.
WRONG = [
    (["status"], "no evaluated iteration in this folder; run `ipip status` in the folder of `dpgen run`"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line(ipip, words, line):
    check_mistake(ipip, words, line)


def evaluated(index: int, ensemble: float, **changes) -> Iteration:
    """An iteration on disk with its errors and the time it took."""
    iteration = Iteration(index)
    errors = {
        "pool_frames": 100 + index,
        "reference_frames": 24,
        "teacher": {"force_rmse": 0.4},
        "students": [{"force_rmse": ensemble + 0.1}, {"force_rmse": ensemble + 0.3}],
        "ensemble": {"force_rmse": ensemble, "energy_rmse_per_atom": 0.01},
    }
    workdir.write_json(iteration.metrics, {**errors, **changes})
    workdir.write_json(iteration.timing, {"train": {"seconds": 60.0, "dispatched": 45.0}})
    return iteration


def test_the_learning_curve_and_where_the_run_is(ipip):
    first, second = evaluated(0, 0.5), evaluated(1, 0.25)
    counts = {"accurate": 3, "candidate": 2, "failed": 1, "md": 8, "blown_up": 1, "held": 7}
    workdir.write_json(first.relabel / "explored.json", counts)
    median = {"n_frames": 2, "ensemble": {"force_median": 0.55}, "teacher": {"force_median": 0.81}}
    workdir.write_json(first.on_policy / "metrics.json", median)
    second.pool.mkdir()
    typed = ipip("status")
    rows = [re.findall(r"[\d.]+", line) for line in typed.output.splitlines() if "│" in line]
    assert rows == [
        ["0", "100", "24", "0.4000", "0.7000", "0.5000"],
        ["1", "101", "24", "0.4000", "0.4500", "0.2500"],
        ["0", "8", "7", "3", "2", "1", "0.8100", "0.5500"],
    ]
    assert all(name in typed.output for name in ("iteration", "teacher", "student", "ensemble", "candidate"))
    assert "Iteration 1 is under way; on disk: pool, evaluate." in typed.output
    assert "120 s in finished stages, 25.0% of it outside dispatched commands." in typed.output


def test_why_the_run_ended_and_where_the_models_are(ipip):
    iteration = evaluated(0, 0.5)
    models = ["iter.000000/00.train/graph.000.pb", "iter.000000/00.train/graph.001.pb"]
    workdir.write_json(iteration.stop, {"reason": "it is enough", "best_iteration": 0, "models": models})
    lines = ipip("status").output.splitlines()
    assert "The run ended: it is enough." in lines
    assert f"Best models (iteration 0): {' '.join(models)}" in lines
    assert not any("under way" in line for line in lines)
