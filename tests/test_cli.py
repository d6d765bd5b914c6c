"""The command line: what a user types wrong is told in one line, and nothing is left behind."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from ipip_dp import cli
from tests.conftest import ENVIRONMENT, ROOT, Run

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
    Path("cheap.json").write_text(json.dumps(CHEAP))

    def type_(*words: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["ipip", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Typed(int(end.value.code or 0), *capfd.readouterr())

    type_.run = quick
    return type_


# What is typed, and the line that answers.
WRONG = [
    (["check", "parm.json"], "parm.json: does not exist (working directory {folder})"),
    (["check", "broken.json"], "broken.json: not valid JSON at line 1, column 2: Expecting property name enclosed"),
    (["init", "parm.json"], "parm.json: does not exist"),
    (["status"], "no evaluated iteration in this folder; run `ipip status` in the folder of `dpgen run`"),
    (["label", "nothing.vasp", "out", *ON_TEACHER], "input nothing.vasp does not exist"),
    (["label", "param.json", "out", *ON_TEACHER], "the format of param.json is not clear from its name; give it"),
    (["label", START, "out", "--labeler", "nothing.json"], "nothing.json: does not exist"),
    (["label", START, "out", "--labeler", "teacher"], "teacher: does not exist"),
    (
        ["label", START, "out", "--labeler", "student", "--param", "param.json"],
        "--labeler student: expected teacher or reference, one that param.json has in its ipip section",
    ),
    (
        ["label", START, "out", "--labeler", "labeler.json"],
        "--type-map: expected every element once, in order, as in Mo,S,O; found none",
    ),
    (
        ["label", START, "out", "--labeler", "labeler.json", "--type-map", "Mo,,S"],
        "--type-map: expected every element once, in order, as in Mo,S,O; found Mo,,S",
    ),
    (
        ["label", START, "out", "--labeler", "misspelt.json", "--type-map", "Mo,S"],
        "misspelt.json: pair_styl: unknown key; did you mean pair_style?",
    ),
    (
        ["label", START, "out", "--labeler", "labeler.json", "--type-map", "Mo,Se"],
        f"{START} cannot be read as vasp/poscar with type_map Mo Se",
    ),
    (["predict", "nowhere", "out/p.npz", *ON_TEACHER], "data folder nowhere does not exist"),
    (
        ["predict", "data/train", "out/p.npz", *ON_TEACHER, "--type-map", "S,Mo"],
        "data/train/Mo9S18/type_map.raw: the order ['Mo', 'S'] differs from type_map ['S', 'Mo']",
    ),
    (["evaluate", "graph.pb", "--data", "nowhere", "--type-map", "Mo,S"], "data folder nowhere does not exist"),
    (["evaluate", "graph.pb", "--data", "data/train", "--type-map", ""], "--type-map: expected every element once"),
    (["forget", "model.ckpt", "out/model.ckpt"], "No checkpoint at model.ckpt: expected model.ckpt.index or"),
    (["forget", "model.ckpt", "out/model.ckpt", "--seed-file", "param.json"], "param.json: expected a file with one"),
    (["forget", "model.ckpt", "out/model.ckpt", "--seed-file", "no.json"], "no.json: expected a file with one integer"),
    (["md", START, "out", "--settings", "nothing.json"], "nothing.json: does not exist"),
    (["md", START, "out", "--settings", "md.json"], "md.json: interval: expected a number greater than 0, found 0"),
    (["md", "nothing.vasp", "out", "--settings", "good.json"], "input nothing.vasp does not exist"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line(ipip, words, line):
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


def test_check_is_silent_about_a_good_input(ipip):
    typed = ipip("check")
    assert (typed.status, typed.output, typed.errors) == (
        0,
        "param.json and machine.json: no problem found\n",
        "",
    )


def test_the_keys_are_documented(ipip):
    """`ipip doc > docs/ipip.rst` makes that file; dargs gives the types of a key in any order."""
    said, written = (
        [sorted(re.findall(r"[^\s,|]+", line)) for line in text.splitlines()]
        for text in (ipip("doc").output, (ROOT / "docs/ipip.rst").read_text())
    )
    assert said == written


def test_label_and_predict_agree(ipip):
    assert ipip("label", START, "labels", *BY_CHEAP).output == "labels: 1 of 1 frames labelled, 0 failed\n"
    assert ipip("predict", "labels", "new/predictions.npz", *BY_CHEAP).status == 0
    from ipip_dp import data, predict

    (system,) = data.find_systems([Path("labels")])
    (predicted,) = predict.load(Path("new/predictions.npz"))
    assert predicted["energies"].ravel() == pytest.approx(data.read(system, ["Mo", "S"])["energies"])


def test_labels_that_all_fail_are_an_error_with_the_reason(ipip):
    typed = ipip("label", START, "labels", *BY_CHEAP, "--max-force", "1e-9")
    assert typed.status == 1
    last = typed.errors.splitlines()[-1]
    assert last.startswith("ipip: 0 of 1 frames labelled, 1 failed; 1 x ")
    assert last.endswith("at least 50% must succeed. All failures: labels/failed.json")
    assert not list(Path("labels").glob("*/type.raw"))
    assert not Path("labels/labels.json").exists()


def test_labels_that_all_fail_may_be_allowed(ipip):
    typed = ipip("label", START, "labels", *BY_CHEAP, "--max-force", "1e-9", "--min-success", "0")
    assert typed.status == 0
    assert typed.output.startswith("labels: 0 of 1 frames labelled, 1 failed; 1 x ")


def test_md_writes_a_folder_per_temperature(ipip):
    Path("md.json").write_text(json.dumps(MD))
    assert ipip("md", START, "labels", "--settings", "md.json").status == 0
    assert (Path("labels") / "300K" / "labels.json").is_file()


def test_label_keeps_to_the_gate_of_param_json(ipip):
    param = ipip.run.param
    param["ipip"]["gate"] = {"min_distance": 5.0}
    ipip.run.param = param
    by_teacher = ["--labeler", "teacher", "--param", "param.json", "--min-success", "0"]
    assert "0 of 1 frames labelled, 1 failed" in ipip("label", START, "refused", *by_teacher).output
    assert "1 of 1 frames labelled" in ipip("label", START, "taken", *by_teacher, "--min-distance", "1").output


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


@pytest.mark.slow
def test_init_whose_reference_labels_all_fail_makes_no_data(quick):
    param = quick.param
    param["init_data_sys"], param["ipip"]["held_out"] = ["new/train"], ["new/held_out"]
    param["ipip"]["reference"]["kwargs"]["max_iterations"] = 1
    param["ipip"]["init"] = {"train_frames": 2, "held_out_frames": 1, "temperatures": [300], "nsteps": 60}
    quick.param = param
    done = quick("ipip", "init")
    assert done.returncode == 1
    assert "0 of 2 frames labelled, 2 failed" in done.stdout and "at least 50% must succeed" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (quick.folder / "new").exists()


@pytest.mark.slow
def test_init_follows_edited_settings(quick):
    param = quick.param
    param["init_data_sys"], param["ipip"]["held_out"] = ["new/train"], ["new/held_out"]
    settings = {"train_frames": 2, "held_out_frames": 1, "temperatures": [300], "nsteps": 60}
    for edit, frames in ({}, 2), ({"train_frames": 3, "temperatures": [900]}, 3):
        shutil.rmtree(quick.folder / "new/train", ignore_errors=True)
        param["ipip"]["init"] = settings = {**settings, **edit}
        quick.param = param
        done = quick("ipip", "init")
        assert f"new/train: {frames} frames" in done.stdout, done.stdout
        assert "new/held_out: 1 frames" in done.stdout
    assert [path.name for path in (quick.folder / "init/md.train").glob("task.*/labels/*K")] == ["900K"]


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
