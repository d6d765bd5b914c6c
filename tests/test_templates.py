# SPDX-License-Identifier: LGPL-3.0-or-later
"""The templates and examples are valid inputs as they stand."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from ipip_dp.checks import run_input as check
from ipip_dp.config.params import Params
from tests.conftest import EXAMPLES, ROOT


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "param_templates").glob("*.json")))
def test_template_fits_the_schema(name):
    jdata = json.loads((ROOT / "param_templates" / name).read_text())
    params = Params.from_jdata(check.normalized(jdata, name))
    assert params.pretrain.numb_steps >= 100_000


@pytest.mark.parametrize("name", ["mo_s_quick", "mo_s_o", "mo_s_o_cp2k"])
def test_example_has_no_problem(name, tmp_path, monkeypatch):
    shutil.copytree(EXAMPLES / name, tmp_path / "run")
    shutil.copytree(EXAMPLES / "mo_s_o/structures", tmp_path / "run/structures", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "run")
    if not shutil.which("cp2k.psmp"):  # a machine without CP2K
        (tmp_path / "cp2k.psmp").symlink_to("/bin/true")
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    jdata, mdata = (json.loads((EXAMPLES / name / file).read_text()) for file in ("param.json", "machine.json"))
    with_data = name != "mo_s_o"  # for which `ipip init` makes them
    assert check.problems(jdata, mdata, "param.json", "machine.json", with_data) == []
