# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip status`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ipip_dp import workdir
from tests.cli.conftest import check_mistake
from tests.conftest import Run

# What is typed, and the line that answers.
WRONG = [
    (["status", "no-such-folder"], "no-such-folder: No such file or directory; expected the folder of a `dpgen run`"),
    (["status", "param.json"], "param.json: Not a directory; expected the folder of a `dpgen run`"),
    (["status", "--json", "--watch"], "--json and --watch: expected one of them"),
    (["status", "--watch"], "--watch: expected a terminal; `ipip status --json` is for programs"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line(ipip, words, line):
    check_mistake(ipip, words, line)


def test_a_run_that_has_not_started(ipip):
    assert ipip("status").output == "Not started.\nTo start, type: dpgen run param.json machine.json\n"
    Path("param.json").rename("mos2.json")
    Path("machine.json").rename("node7.json")
    shutil.rmtree("data/held_out")
    assert ipip("status", ".").output == (
        "Not started.\nMissing: data/held_out.\nTo make that, type: ipip init mos2.json node7.json\n"
        "To start then, type: dpgen run mos2.json node7.json\n"
    )
    workdir.INIT.mkdir()
    assert "To go on making that, type: ipip init mos2.json node7.json\n" in ipip("status").output
    workdir.INIT.rmdir()
    param = json.loads(Path("mos2.json").read_text())
    del param["ipip"]["reference"]
    workdir.write_json(Path("mos2.json"), param)
    assert "ipip init" not in ipip("status").output


def test_a_plain_run(ipip):
    ipip.run.param = {key: value for key, value in ipip.run.param.items() if key != "ipip"}
    assert ipip("status").output == "A plain DP-GEN run: param.json has no section ipip, and nothing has run.\n"
    Path("iter.000000/00.train").mkdir(parents=True)
    Path("record.dpgen").write_text("0 0\n0 1\n")
    lines = ipip("status").output.splitlines()
    assert lines[0] == "A plain DP-GEN run: param.json has no section ipip."
    assert lines[1].startswith("Iteration 0, train (DP-GEN's stage 02, post_train, the first that has not finished)")


def test_a_run_that_has_stopped_says_why_and_how_it_goes_on(ipip):
    workdir.write_json(workdir.STARTED, ipip.run.param)
    Path("dpgen.log").write_text("1 - ERROR : ipip: old\n2 - INFO : start\n3 - ERROR : ipip: lr\n4 - ERROR : ipip: x\n")
    assert ipip("status").output.splitlines() == [
        "Stopped here (no process holds ipip.lock).",
        "It ended with: lr",
        "It ended with: x",
        "To go on, type: dpgen run param.json machine.json",
        "Iteration 0, seed (DP-GEN's stage 00, make_train, the first that has not finished), "
        "in iter.000000/00.ipip/seed",
    ]


def test_where_no_run_is_the_answer_is_one_line(ipip, monkeypatch):
    typed = ipip("status", "structures")
    folder = ipip.run.folder / "structures"
    assert (typed.status, typed.output) == (1, "")
    assert typed.errors == (
        f"ipip: {folder}: no run in this folder, and no param.json; give the folder of `dpgen run`: "
        "ipip status FOLDER\n"
    )
    monkeypatch.chdir(ipip.run.folder)
    workdir.write_json(workdir.STARTED, ipip.run.param)
    monkeypatch.chdir("iter.000000")
    typed = ipip("status")
    assert (typed.status, typed.errors.count("\n")) == (1, 1)
    assert f"the run is in {ipip.run.folder}" in typed.errors


@pytest.mark.slow
def test_a_finished_run_copied_to_where_nobody_can_write(finished, tmp_path):
    copy = Run(tmp_path / "copy")
    shutil.copytree(finished.folder, copy.folder, symlinks=True)
    paths = [copy.folder, *copy.folder.rglob("*")]
    for path in paths:
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.lstat().st_mtime_ns for path in paths}
    said = json.loads(copy("ipip", "status", "--json").stdout)
    stop = json.loads((finished.folder / "iter.000001/00.ipip/stop.json").read_text())
    assert (said["state"], said["why"]) == ("finished", stop["reason"])
    assert said["best"]["iteration"] == stop["best_iteration"] and said["best"]["model"] in stop["models"]
    assert [row["iteration"] for row in said["curve"]] == [0, 1]
    assert {path: path.lstat().st_mtime_ns for path in [copy.folder, *copy.folder.rglob("*")]} == before
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
