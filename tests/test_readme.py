# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the README says of the `ipip` section and of the demonstration; its commands are in test_docs.py."""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest

from ipip_dp.labelers import labeler_arguments
from tests.conftest import EXAMPLES, ROOT, Run

README = (ROOT / "README.md").read_text()


def test_json_of_the_readme_is_valid(quick):
    blocks = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    section = json.loads("{" + blocks[0] + "}")["ipip"]
    param = quick.param
    param["ipip"] = {**section, "teacher": param["ipip"]["teacher"], "reference": param["ipip"]["reference"]}
    quick.param = param
    assert quick("ipip", "check", "param.json", "machine.json").returncode == 0
    for line in [json.dumps(section["teacher"]), *blocks[1].strip().splitlines()]:
        argument = labeler_arguments("teacher", "")
        argument.check_value(argument.normalize_value(json.loads(line)), strict=True)


@pytest.mark.long
@pytest.mark.slow
def test_the_demonstration_in_small(tmp_path):
    """`ipip init`, `dpgen run`, baseline, MD, table and picture: all of `make demo` on one structure."""
    folder = tmp_path / "demo"
    shutil.copytree(EXAMPLES / "mo_s_o", folder)
    small = Run(folder)
    param = small.param
    param["sys_configs"] = [["mo3o9_s2.vasp"]]
    param["model_devi_jobs"][0].update(sys_idx=[0], nsteps=50)
    param["ipip"]["teacher_md"].update(temperatures=[600], nsteps=10, interval=1)
    param["ipip"]["init"].update(temperatures=[600], nsteps=10, interval=1, train_frames=4, held_out_frames=4)
    param["ipip"]["pretrain"]["numb_steps"] = 40
    param["default_training_param"]["training"].update(numb_steps=40, disp_freq=20)
    param["ratio_failed"] = 1.0  # students of 40 steps explore nonsense, which the reference may refuse
    small.param = param
    done = small(sys.executable, str(ROOT / "examples/demo.py"), str(folder), timeout=900)
    assert done.returncode == 0, done.stdout[-3000:]
    for expected in ("teacher (CHGNet)", "without IPIP", "Loop time", "not DFT", "outside dispatched commands"):
        assert expected in done.stdout
    assert (folder / "demo.png").stat().st_size > 10_000
    assert list(folder.glob("iter.000001/00.train/graph.*.pb"))

    again = small(sys.executable, str(ROOT / "examples/demo.py"), str(folder), timeout=120)
    assert again.returncode == 0
    assert "done already" in again.stdout
