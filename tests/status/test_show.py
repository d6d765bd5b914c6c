# SPDX-License-Identifier: LGPL-3.0-or-later
"""The status in words and tables."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from ipip_dp import workdir
from ipip_dp.status import show, state
from tests.status.conftest import evaluated, explored


def shown(width: int, folder: str = ".") -> str:
    console = Console(file=io.StringIO(), width=width)
    for item in show.renderables(state.read(), Path(folder)):
        console.print(item)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [50, 80])
def test_a_narrow_terminal_gets_all_of_it(run_folder, width):
    first = evaluated(0, 0.5, 0.6, 0.8)
    explored(first)
    evaluated(10, 0.25, 0.35, 0.55)
    text = shown(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text and "|D|" not in text
    rows = [line.split() for line in text.splitlines() if re.match(r" *\d+ ", line)]
    assert rows == [
        ["0", "100000", "24", "0.4000", "0.7000", "0.5000"],
        ["10", "100010", "24", "0.4000", "0.4500", "0.2500"],
        ["0", "1000", "700", "100003", "2", "1"],
        ["0", "40", "0.8100", "0.5500"],
    ]


def test_models_are_named_from_where_the_user_is(run_folder):
    evaluated(0, 0.5, 0.6, 0.4)
    text = shown(200, "runs/first")
    assert "  pair_style deepmd runs/first/iter.000000/00.train/graph.001.pb\n" in text
    both = " ".join(f"runs/first/iter.000000/00.train/graph.{member:03d}.pb" for member in (0, 1))
    assert f"  pair_style deepmd {both} out_freq 100 out_file model_devi.out\n" in text
    assert "iteration 0: 0.4000 eV/Angstrom on held-out frames (teacher: 0.4000); it is worse than the teacher" in text
    assert "To go on in runs/first, type: dpgen run param.json machine.json" in text


def test_the_end_and_the_time_it_took(run_folder):
    iteration = evaluated(0, 0.5, 0.6)
    evaluated(1, 0.5, 0.6)
    workdir.write_json(iteration.stop, {"reason": "it is enough", "best_iteration": 0, "models": []})
    text = shown(80)
    assert text.startswith("Finished: it is enough.\nFinished stages took 2 min.\n")
    assert "Iteration 0, " not in text


def test_json_has_no_nan(run_folder):
    evaluated(0, float("nan"), 0.5, 0.8)
    best = json.loads(json.dumps(show.document(state.read()), allow_nan=False))["best"]
    assert best["force_rmse"] == 0.5 and best["ensemble_force_rmse"] is None
