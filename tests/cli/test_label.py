# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip md`, `ipip label` and `ipip predict`."""

from __future__ import annotations

import json
from pathlib import Path

import dpdata
import numpy as np
import pytest

from ipip_dp.data import labelled, systems
from tests.cli.conftest import BY_CHEAP, MD, ON_TEACHER, START, check_mistake

# What is typed, and the line that answers.
WRONG = [
    (["label", "nothing.vasp", "out", *ON_TEACHER], "input nothing.vasp does not exist"),
    (["label", "param.json", "out", *ON_TEACHER], "the format of param.json is not clear from its name; give it"),
    (
        ["label", START, "out", "--labeler", "labeler.json", "--type-map", "Mo,Se"],
        f"{START} cannot be read as vasp/poscar with type_map Mo Se",
    ),
    (["predict", "nowhere", "out/p.npz", *ON_TEACHER], "data folder nowhere does not exist"),
    (
        ["predict", "data/train", "out/p.npz", *ON_TEACHER, "--type-map", "S,Mo"],
        "data/train/Mo9S18/type_map.raw: the order ['Mo', 'S'] differs from type_map ['S', 'Mo']",
    ),
    (["md", START, "out", "--settings", "nothing.json"], "nothing.json: does not exist"),
    (["md", START, "out", "--settings", "md.json"], "md.json: interval: expected a number greater than 0, found 0"),
    (["md", "nothing.vasp", "out", "--settings", "good.json"], "input nothing.vasp does not exist"),
    (["label", START, "data/train", *ON_TEACHER], "data/train: has data already, which are of no labelling job"),
    (["predict", "data/train", "structures", *ON_TEACHER], "structures: is a folder; expected the name of a file"),
    (["label", "x" * 300, "out", *ON_TEACHER], "expected the name of a file, found"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line(ipip, words, line):
    check_mistake(ipip, words, line)


def test_label_and_predict_agree(ipip):
    assert ipip("label", START, "labels", *BY_CHEAP).output == "labels: 1 of 1 frames labelled, 0 failed\n"
    assert ipip("predict", "labels", "new/predictions.npz", *BY_CHEAP).status == 0
    from ipip_dp.labelers import predict

    (system,) = systems.find([Path("labels")])
    (predicted,) = predict.load(Path("new/predictions.npz"))
    assert predicted["energies"].ravel() == pytest.approx(next(labelled.read(system, ["Mo", "S"]))["energies"])


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


def test_md_needs_no_settings(ipip):
    """Those of a short run by options, the rest by default; the teacher of param.json is the labeler."""
    short = ["--nsteps", "20", "--temperatures", "300,600"]
    assert ipip("md", START, "labels", *ON_TEACHER[2:], *short).status == 0
    assert ipip("md", START, "cheap", *BY_CHEAP, *short[:2]).status == 0
    assert json.loads(Path("labels/600K/md.json").read_text())["friction"] == 0.01
    assert json.loads(Path("cheap/300K/md.json").read_text())["nsteps"] == 20
    assert not Path("cheap/600K").exists()
    assert len(list(Path("labels").glob("*/labels.json"))) == 2


def test_md_at_two_temperatures_is_no_trajectory_at_two_scales(ipip):
    """Equal random numbers at all temperatures move atoms alike; frames that are alike teach no more than one."""
    assert ipip("md", START, "labels", *ON_TEACHER[2:], "--nsteps", "20", "--temperatures", "300,600").status == 0
    start = dpdata.System(START, fmt="vasp/poscar")["coords"][0]
    moved = []
    for temperature in (300, 600):
        (path,) = systems.find([Path(f"labels/{temperature}K")])
        moved.append((dpdata.System(str(path), fmt="deepmd/npy")["coords"][-1] - start).ravel())
    assert abs(np.corrcoef(moved)[0, 1]) < 0.5
