# SPDX-License-Identifier: LGPL-3.0-or-later
"""The first data of a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import dpdata
import numpy as np
import pytest

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.steps import init_data

if TYPE_CHECKING:
    from ipip_dp.steps.context import Context


@pytest.mark.long
@pytest.mark.slow
def test_init_asks_a_reference_for_labels_before_it_runs_md(quick):
    param = quick.param
    param["init_data_sys"], param["ipip"]["held_out"] = ["new/train"], ["new/held_out"]
    param["ipip"]["reference"]["kwargs"]["max_iterations"] = 1
    param["ipip"]["init"] = {"train_frames": 2, "held_out_frames": 1, "temperatures": [300], "nsteps": 60}
    quick.param = param
    done = quick("ipip", "init")
    assert done.returncode == 1
    assert "0 of 1 frames labelled, 1 failed" in done.stdout and "at least 100% must succeed" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (quick.folder / "new").exists() and not list(quick.folder.glob("init/md.*"))


@pytest.mark.long
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


def labelled_md(name: str) -> list[Path]:
    """Two short labelled trajectories in the place of the teacher's, of 12 and 6 frames."""
    frames = dpdata.LabeledSystem("data/train/Mo9S18", fmt="deepmd/npy")
    folders = []
    for structure, rows in (("000.0000", slice(0, 12)), ("001.0000", slice(12, 18))):
        task = workdir.INIT / f"md.{name}" / f"task.{structure}"
        frames.sub_system(rows).to("deepmd/npy", str(task / "labels/300K/Mo9S18"), set_size=20, prec=np.float64)
        workdir.write_json(task / "md.json", {"seed": structure})
        folders.append(task / "labels")
    return folders


def chosen(context: Context, name: str, labels: list[Path]) -> dict[str, list[int]]:
    """The numbers in data/train of the frames that are chosen of every structure."""
    known = dpdata.LabeledSystem("data/train/Mo9S18", fmt="deepmd/npy")["coords"]
    init_data._choose(context, name, labels)
    found = {}
    for folder in sorted((workdir.INIT / name / "frames").iterdir()):
        system = dpdata.System(str(folder), fmt="deepmd/npy")
        places = [np.abs(known - frame).max(axis=(1, 2)) for frame in system["coords"]]
        assert max(place.min() for place in places) < 1e-5
        found[folder.name] = [int(place.argmin()) for place in places]
    return found


@pytest.mark.parametrize("name", ["train", "held_out"])
def test_every_structure_gives_its_share_of_what_follows_the_first_third(make_context, name):
    context = make_context(ipip={"init": {"train_frames": 5, "held_out_frames": 5}})
    found = chosen(context, name, labelled_md(name))
    assert {structure: len(numbers) for structure, numbers in found.items()} == {"000.0000": 3, "001.0000": 2}
    assert all(len(set(numbers)) == len(numbers) for numbers in found.values())
    assert set(found["000.0000"]) <= set(range(4, 12)) and set(found["001.0000"]) <= set(range(14, 18))


def test_frames_are_chosen_once_and_anew_when_more_are_wanted(make_context):
    contexts = [make_context(ipip={"init": {"held_out_frames": number}}) for number in (2, 4)]
    labels = labelled_md("held_out")
    first = chosen(contexts[0], "held_out", labels)
    times = {path: path.stat().st_mtime_ns for path in (workdir.INIT / "held_out").rglob("*.npy")}
    assert chosen(contexts[0], "held_out", labels) == first
    assert times == {path: path.stat().st_mtime_ns for path in (workdir.INIT / "held_out").rglob("*.npy")}
    assert sum(map(len, chosen(contexts[1], "held_out", labels).values())) == 4


def test_it_makes_one_folder_of_each_kind(make_context):
    assert init_data.targets(make_context()) == {"train": Path("data/train"), "held_out": Path("data/held_out")}
    with pytest.raises(IpipError, match="ipip.held_out: `ipip init` makes one folder; expected .* found 2"):
        init_data.targets(make_context(ipip={"held_out": ["a", "b"]}))


def test_what_is_there_is_left_alone_and_counted(make_context):
    before = sorted(Path().rglob("*"))
    assert init_data.init(make_context()) == {"train": 24, "held_out": 24}
    assert sorted(Path().rglob("*")) == before
