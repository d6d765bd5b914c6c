# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import json
import re

import pytest

from ipip_dp.checks import run_input
from ipip_dp.checks.estimate import Estimate, estimate
from ipip_dp.config.params import Params


def of(param: dict) -> Estimate:
    jdata = run_input.normalized(param, "param.json")
    return estimate(jdata, Params.from_jdata(jdata))


def amounts(found: Estimate) -> dict[str, list[int]]:
    """The numbers of every kind of work."""
    return {item.name: [int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", item.amount)] for item in found.items}


def test_the_quick_example(run):
    param = run.param
    found = of(param)
    assert found.iterations == 2
    assert amounts(found) == {
        "teacher MD": [2, 2000, 200],
        "training": [8, 2 * 2 * (600 + 400)],
        "exploration": [1, 500, 50, 50],
        "reference": [4],
    }


def test_data_that_are_not_there_yet_are_counted(run):
    param = run.param
    param["init_data_sys"], param["ipip"]["held_out"] = ["new/train"], ["new/held_out"]
    found = amounts(of(param))
    assert found["teacher MD"] == [2 + 4, 2000 + 4 * 600, 200]
    assert found["reference"] == [24 + 24 + 4]


def test_what_costs_more(run):
    param = run.param
    job = param["model_devi_jobs"][0]
    param["model_devi_jobs"].append({**job, "ensemble": "npt", "press": [0, 1000], "temps": [300, 600, 900]})
    param["ipip"]["pretrain"]["numb_models"] = 1
    param["ipip"]["evaluate"] = {"audit_frames": 7}
    param["ipip"]["teacher"] = {"type": "ase", "calculator": "ase.calculators.lj:LennardJones"}
    found, before = of(param), of(run.param)
    assert found.iterations == 3
    assert amounts(found)["exploration"][:3] == [7, 3500, 350]
    assert amounts(found)["training"] == [9, 3 * (600 + 2 * 400)]
    assert amounts(found)["reference"] == [2 * (4 + 7)]
    assert found.items[0].seconds > 10 * before.items[0].seconds
    assert found.disk > before.disk


def test_a_job_with_a_template(run):
    param = run.param
    (run.folder / "in.lammps").write_text("")
    variables = {"V_NSTEPS": ["1e3"], "V_TEMP": [300, 600]}
    param["model_devi_jobs"] = [
        {"sys_idx": [0], "trj_freq": 10, "template": {"lmp": "in.lammps"}, "rev_mat": {"lmp": variables}}
    ]
    assert amounts(of(param))["exploration"][:3] == [2, 2000, 200]


@pytest.mark.slow
def test_it_is_what_a_run_does(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    found = amounts(of(finished.param))
    curves = [path for path in finished.folder.rglob("lcurve.out") if "forgotten" not in path.parts]
    assert found["training"][0] == len(curves)
    assert found["training"][1] == sum(int(path.read_text().split("\n")[-2].split()[0]) for path in curves)
    rows = [path.read_text().count("\n") - 2 for path in finished.folder.rglob("model_devi.out")]  # heading, step 0
    assert found["exploration"][0] == len(rows) and found["exploration"][2] == sum(rows)
    pool = json.loads((finished.folder / "iter.000000/00.ipip/evaluate/metrics.json").read_text())["pool_frames"]
    assert found["teacher MD"][2] == pool
