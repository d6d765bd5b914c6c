# SPDX-License-Identifier: LGPL-3.0-or-later
"""The study of tests/benchmarks/mo_s_o: its data, its arms, and the model that came out of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import dpdata
import numpy as np
import pytest

from ipip_dp import workdir
from ipip_dp.checks import run_input as check
from ipip_dp.config import inputs
from tests.benchmarks.mo_s_o import EXAMPLE, arms, study


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study's data."""
    folder = tmp_path_factory.mktemp("study")
    study.unpack(folder, [60, 120, 240, 1000], [200])
    return folder


def frames(folder: Path) -> dict[str, np.ndarray]:
    """Coordinates of every system of a data folder."""
    systems = {path.name: dpdata.LabeledSystem(str(path), fmt="deepmd/npy") for path in sorted(folder.iterdir())}
    return {name: system["coords"].reshape(len(system), -1) for name, system in systems.items()}


def test_no_frame_is_in_two_sets(root):
    sets = {name: frames(root / "data" / name) for name in ("train", "validation", "held_out", "pool")}
    sizes = {name: sum(map(len, systems.values())) for name, systems in sets.items()}
    assert sizes == {"train": 500, "validation": 90, "held_out": 180, "pool": 1800}
    for system in sets["train"]:
        together = np.concatenate([systems[system] for systems in sets.values()])
        assert len(np.unique(together, axis=0)) == len(together)
    for name, coords in frames(root / "data/pool_reference").items():
        np.testing.assert_array_equal(coords, sets["pool"][name])


@pytest.mark.parametrize(
    ("whole", "part", "number"),
    [
        ("train", "train-60", 60),
        ("train", "train-240", 240),
        ("train", "train-1000/train", 500),
        ("pool", "train-1000/pool_reference", 500),
        ("pool", "pool-200", 200),
    ],
)
def test_fewer_frames_are_a_part_of_all(root, whole, part, number):
    chosen = frames(root / "data" / part)
    assert sum(map(len, chosen.values())) == number
    for name, coords in frames(root / "data" / whole).items():
        assert {tuple(row) for row in chosen[name]} <= {tuple(row) for row in coords}


@pytest.mark.parametrize(
    ("sizes", "number", "wanted"),
    [([83, 84, 83], 50, [17, 17, 16]), ([1, 163, 21], 60, [1, 38, 21]), ([1, 2], 9, [1, 2]), ([5, 5], 0, [0, 0])],
)
def test_small_systems_are_taken_whole(sizes, number, wanted):
    assert study.shares(sizes, number) == wanted


def test_labels_of_explored_frames_are_counted(root, tmp_path):
    for iteration in (0, 1):
        for number, system in enumerate(("Mo9S18O0", "Mo3S18O0")):
            labelled = tmp_path / f"iter.{iteration:06d}/02.fp/data.{number:03d}"
            workdir.link(root / "data/train-60" / system, labelled / system)
    assert [study.explored(tmp_path, iteration) for iteration in range(3)] == [0, 20, 40]


@pytest.mark.parametrize("size", arms.SIZES.values(), ids=arms.SIZES)
def test_arms_start_from_what_they_share(size):
    """The same training in iteration 0, up to where they part, and every name once."""
    all_arms = {arm.name: arm for arm in arms.arms(size)}
    assert len(all_arms) == len(arms.arms(size))
    for arm in all_arms.values():
        if arm.after is None:
            continue
        mine, theirs = (study.parameters(which, size) for which in (arm, all_arms[arm.after]))
        assert mine["ipip"]["pretrain"] == theirs["ipip"]["pretrain"]
        assert mine["ipip"]["seed"] == theirs["ipip"]["seed"]
        if arm.stage != "pretrain":
            assert mine["default_training_param"] == theirs["default_training_param"]
            assert mine["init_data_sys"] == theirs["init_data_sys"]
            forgets = [param["ipip"].get("forget", {}) for param in (mine, theirs)]
            if any(forget.get("at", "pretrain") != "pretrain" for forget in forgets):  # alone is nothing in iteration 0
                assert forgets[0] == {**forgets[1], "at": forgets[0]["at"]}


def test_arms_are_valid_input(root, monkeypatch):
    for arm in arms.arms(arms.SIZES["full"]):
        if not arm.plain and arm.labels < 500:
            folder = root / f"check-{arm.name}"
            folder.mkdir()
            workdir.write_json(folder / "param.json", study.parameters(arm, arms.SIZES["full"]))
            for name in (arm.train, next(iter(arm.tests.values()))):
                workdir.link(root / "data" / name, folder / name)
            workdir.link(EXAMPLE / "structures", folder / "structures")
            workdir.link(arms.tuner("chgnet"), folder / arms.tuner("chgnet").name)
            monkeypatch.chdir(folder)
            jdata, mdata = inputs.load_input(Path("param.json"), EXAMPLE / "machine.json")
            assert check.problems(jdata, mdata, "param.json", "machine.json", True) == []


@pytest.mark.parametrize(("column", "file"), enumerate(("mo_s_o.pb", "mo_s_o_dpa4c.pt")))
def test_a_model_is_as_good_as_its_card_says(root, column, file):
    models = EXAMPLE / "models"
    study.evaluate(root / file, "iter.000000", {"type": "dp", "models": [str(models / file)]}, arms.Arm("model", "", 0))
    card = (models / "README.md").read_text()
    assert re.findall(r"\| \| `(.*)` \| `(.*)` \|", card)[0][column] == file
    stated = re.findall(r"force RMSE \((.*)\), eV/Å \| ([0-9.]+) \| ([0-9.]+) \|", card)
    assert {name for name, *_ in stated} == {"held-out", "paper"}
    for name, *values in stated:
        errors = json.loads((root / file / "errors" / f"iter.000000.{name.replace('-', '_')}.json").read_text())
        assert errors["ensemble"]["force_rmse"] == pytest.approx(float(values[column]), abs=0.0006)
