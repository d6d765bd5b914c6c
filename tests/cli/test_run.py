# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip check`, `ipip init` and `ipip doc`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import check_mistake
from tests.conftest import ROOT

# What is typed, and the line that answers.
WRONG = [
    (["check", "parm.json"], "parm.json: does not exist (working directory {folder})"),
    (["check", "broken.json"], "broken.json: not valid JSON at line 1, column 2: Expecting property name enclosed"),
    (["init", "parm.json"], "parm.json: does not exist"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line(ipip, words, line):
    check_mistake(ipip, words, line)


def test_check_reports_every_problem_on_a_line_of_its_own(ipip):
    param, machine = ipip.run.param, ipip.run.machine
    param["ipip"]["pool"] = {"retention": 2}
    param["init_data_sys"] = ["nowhere"]
    del machine["train"]["resources"]["group_size"]
    ipip.run.param, ipip.run.machine = param, machine
    typed = ipip("check")
    assert typed.status == 1
    assert [line.split(": ")[:3] for line in typed.errors.splitlines()] == [
        ["ipip", "machine.json", "train.resources.group_size"],
        ["ipip", "param.json", "ipip.pool.retention"],
        ["ipip", "param.json", "init_data_sys"],
    ]


def test_check_says_what_a_good_input_asks_for(ipip):
    typed = ipip("check")
    assert (typed.status, typed.errors) == (0, "")
    first, second, *items, last = typed.output.splitlines()
    assert first == "param.json and machine.json: no problem found"
    assert re.fullmatch(r"Up to 2 iterations, \d+ core minutes without the reference, \d+ MB of disk:", second)
    assert [item.split("  ")[1] for item in items] == ["teacher MD", "training", "exploration", "reference"]
    assert last.startswith("Rough")


def test_check_warns_of_a_volume_that_nothing_has_been_learnt_for(ipip):
    param = ipip.run.param
    param["model_devi_jobs"][0].update(ensemble="npt")
    ipip.run.param = param
    typed = ipip("check")
    (line,) = (line for line in typed.output.splitlines() if "virials" in line)
    assert (typed.status, line[: line.index(":", 12)]) == (0, "param.json: model_devi_jobs[0].ensemble")
    param["default_training_param"]["loss"].update(start_pref_v=0.02, limit_pref_v=1)
    ipip.run.param = param
    assert "virials" not in ipip("check").output


def test_check_warns_of_masses_in_another_order_than_elements(ipip):
    param = ipip.run.param
    param["mass_map"] = [32.06, 95.95]
    assert param["type_map"] == ["Mo", "S"]
    ipip.run.param = param
    typed = ipip("check")
    lines = [line for line in typed.output.splitlines() if "mass_map" in line]
    assert typed.status == 0
    assert lines == [
        "param.json: mass_map: gives Mo the mass of S, 32.06; its order is to be that of type_map",
        "param.json: mass_map: gives S the mass of Mo, 95.95; its order is to be that of type_map",
    ]
    param["mass_map"] = [97.9, 34.0]  # isotopes
    ipip.run.param = param
    assert "mass_map" not in ipip("check").output


def test_check_warns_of_exploration_that_the_teachers_md_does_not_follow(ipip):
    param = ipip.run.param
    Path("input.lammps").write_text(
        "boundary f f f\npair_style deepmd\nthermo_style custom step\ndump dpgen_dump all custom 10 x.dump id\n"
    )
    (job,) = param["model_devi_jobs"]
    template = {key: job[key] for key in ("sys_idx", "trj_freq")} | {"template": {"lmp": "input.lammps"}}
    param.update(shuffle_poscar=True, model_devi_jobs=[template], fp_task_max=3, fp_task_min=5)
    ipip.run.param = param
    typed = ipip("check")
    assert (typed.status, typed.errors) == (0, "")
    assert "shuffle_poscar: shuffles the structures that explore, and by no seed" in typed.output
    assert "fp_task_min: 5 is more than fp_task_max, so that nothing will ever be labelled" in typed.output
    assert (
        "model_devi_jobs[0].template.lmp: has open boundaries, but the teacher's MD those of the start" in typed.output
    )
    param.update(shuffle_poscar=False, model_devi_nopbc=True)
    ipip.run.param = param
    assert not {"shuffle_poscar", "boundaries"} & set(ipip("check").output.split())


def test_check_warns_of_time_steps_in_another_unit(ipip):
    param = ipip.run.param
    param["model_devi_dt"] = 2.0
    param["ipip"]["teacher_md"]["timestep"] = 0.002
    ipip.run.param = param
    typed = ipip("check")
    assert (typed.status, typed.errors) == (0, "")
    assert "param.json: model_devi_dt: 2.0 ps is 2000 fs; 0.001 is 1 fs" in typed.output
    assert "param.json: ipip.teacher_md.timestep: 0.002 fs; unlike model_devi_dt, it is in fs" in typed.output


def test_a_wrong_value_is_reported_once(ipip):
    param = ipip.run.param
    param["model_devi_jobs"][0]["temps"] = 300
    ipip.run.param = param
    text = "ipip: param.json: model_devi_jobs[0].temps: expected a list of numbers, found 300"
    assert ipip("check").errors.splitlines() == [text]


def test_check_does_not_ask_for_data_that_init_makes(ipip):
    param = ipip.run.param
    param["init_data_sys"], param["ipip"]["held_out"] = ["new/train"], ["new/held_out"]
    ipip.run.param = param
    typed = ipip("check")
    assert (typed.status, typed.errors) == (0, "")
    assert "new/train and new/held_out: not there yet; `ipip init param.json machine.json` makes them" in typed.output
    Path("new/train").mkdir(parents=True)
    typed = ipip("check")
    assert typed.status == 1 and "ipip.held_out: data folder new/held_out does not exist" in typed.errors


def test_the_keys_are_documented(ipip):
    """`ipip doc > docs/ipip.rst` makes that file; dargs gives the types of a key in any order."""
    said, written = (
        [sorted(re.findall(r"[^\s,|]+", line)) for line in text.splitlines()]
        for text in (ipip("doc").output, (ROOT / "docs/ipip.rst").read_text())
    )
    assert said == written


def test_init_without_a_reference(ipip):
    param = ipip.run.param
    del param["ipip"]["reference"]
    param["fp_task_max"] = 0
    ipip.run.param = param
    machine = ipip.run.machine
    del machine["fp"]
    ipip.run.machine = machine
    typed = ipip("init")
    assert typed.status == 1
    assert typed.errors == "ipip: ipip.reference is missing; `ipip init` needs a labeler for the reference data\n"
    assert not Path("init").exists()


def test_init_needs_a_frame_of_every_structure(ipip):
    param = ipip.run.param
    param["init_data_sys"] = ["new/train"]
    param["sys_configs"] = [["mos2_*.vasp"], ["mos2_mono27.vasp"]]
    param["ipip"]["init"]["train_frames"] = 1
    ipip.run.param = param
    assert ipip("init").errors == (
        "ipip: ipip.init.train_frames: expected at least one frame of each of the 2 start structures of sys_configs, "
        "found 1\n"
    )
    assert not Path("init").exists()


BAD_RUNS = {
    "key": ({"pol": {}}, "param.json: ipip.pol: unknown key; did you mean pool?"),
    "value": ({"stop": {"patience": 0}}, "param.json: ipip.stop.patience: expected an integer greater than 0, found 0"),
    "data": ({"held_out": "nowhere"}, "param.json: ipip.held_out: data folder nowhere does not exist"),
}


STARTS = [(what, command) for what in BAD_RUNS for command in ("ipip check", "ipip init", "dpgen run")]
STARTS.remove(("data", "ipip init"))  # it makes the data


@pytest.mark.parametrize(("what", "command"), STARTS)
def test_nothing_starts_on_bad_input(quick, what, command):
    change, line = BAD_RUNS[what]
    param = quick.param
    param["ipip"].update(change)
    quick.param = param
    before = sorted(quick.folder.rglob("*"))
    done = quick(*command.split(), "param.json", "machine.json")
    assert done.returncode == 1
    assert f"ipip: {line}" in done.stdout
    assert "Traceback" not in done.stdout
    left = {path.name for path in quick.folder.rglob("*")} - {path.name for path in before}
    assert left <= {"dpgen.log", "dpdispatcher.log"}
