# SPDX-License-Identifier: LGPL-3.0-or-later
"""A command typed in a copy of the quick example, and what it answers."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipip_dp import cli
from tests.conftest import ENVIRONMENT, Run

if TYPE_CHECKING:
    from collections.abc import Callable

CHEAP = {"type": "ase", "calculator": "ase.calculators.lj:LennardJones", "kwargs": {"sigma": 2.0}}
BY_CHEAP = ["--labeler", "cheap.json", "--type-map", "Mo,S"]
TEACHER = {"type": "lammps", "pair_style": "sw/mod", "pair_coeff": ["* * tmd.sw.mod Mo S"], "elements": ["Mo", "S"]}
START = "structures/mos2_mono27.vasp"
ON_TEACHER = ["--labeler", "teacher", "--param", "param.json"]
MD = {
    "labeler": CHEAP,
    "type_map": ["Mo", "S"],
    "format": "vasp/poscar",
    "temperatures": [300],
    "timestep": 1.0,
    "friction": 0.01,
    "nsteps": 20,
    "interval": 10,
    "seed": 1,
    "min_distance": 0.5,
    "max_force": 100,
}


class Typed:
    """What a typed command answered."""

    def __init__(self, status: int, output: str, errors: str) -> None:
        self.status, self.output, self.errors = status, output, errors


@pytest.fixture
def ipip(quick: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Type a command in a copy of the quick example, in this process."""
    monkeypatch.chdir(quick.folder)
    monkeypatch.setenv("PATH", ENVIRONMENT["PATH"])
    monkeypatch.delenv("COLUMNS", raising=False)  # which pytest-xdist sets
    monkeypatch.setattr(logging.root, "handlers", [*logging.root.handlers])  # the command sets its own
    Path("cheap.json").write_text(json.dumps(CHEAP))

    def type_(*words: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["ipip", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Typed(int(end.value.code or 0), *capfd.readouterr())

    type_.run = quick
    return type_


def check_mistake(ipip: Callable[..., Typed], words: list[str], line: str) -> None:
    """A mistake is answered in one line, and nothing is left behind."""
    files = {
        "broken.json": "{type: 1}",
        "labeler.json": json.dumps(TEACHER),
        "misspelt.json": json.dumps({("pair_styl" if key == "pair_style" else key): v for key, v in TEACHER.items()}),
        "good.json": json.dumps(MD),
        "md.json": json.dumps({**MD, "interval": 0}),
    }
    for name, text in files.items():
        Path(name).write_text(text)
    before = sorted(Path().rglob("*"))
    typed = ipip(*words)
    assert typed.status == 1
    assert len(typed.errors.splitlines()) == 1, typed.errors
    assert typed.errors.startswith(f"ipip: {line.format(folder=Path.cwd())}")
    assert sorted(Path().rglob("*")) == before
