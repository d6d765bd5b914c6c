# SPDX-License-Identifier: LGPL-3.0-or-later
"""examples/copper does what its README says."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tests.conftest import EXAMPLES, Run

(BLOCK,) = re.findall(r"```sh\n(.*?)```", (EXAMPLES / "copper/README.md").read_text(), re.DOTALL)
COMMANDS = BLOCK.splitlines()


@pytest.fixture
def copper(tmp_path) -> Run:
    shutil.copytree(EXAMPLES / "copper", tmp_path / "copper")
    return Run(tmp_path / "copper")


def test_the_new_folder_has_no_problem(copper):
    assert COMMANDS[0].startswith("ipip new ") and COMMANDS[1:3] == ["cd run", "ipip check"]
    made = copper(*COMMANDS[0].split())
    assert "structures/copper.vasp: 32 atoms" in made.stdout and "To fill in" not in made.stdout
    checked = Run(copper.folder / "run")("ipip", "check")
    assert checked.returncode == 0 and "no problem found" in checked.stdout, checked.stdout


@pytest.mark.long
@pytest.mark.slow
def test_the_students_come_closer_to_the_reference_than_their_teacher(copper):
    done = copper("bash", "-ec", BLOCK)
    assert done.returncode == 0, done.stdout[-3000:]
    (last,) = (copper.folder / "run").glob("iter.000001/00.ipip/evaluate/metrics.json")
    errors = json.loads(last.read_text())
    assert errors["ensemble"]["force_rmse"] < 0.3 * errors["teacher"]["force_rmse"]
