# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip report` and `ipip trust`: where they read and write, and mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.workdir import Iteration
from tests.cli.conftest import check_mistake

# What is typed, and the line that answers.
WRONG = [
    (["report"], "{folder}: no run here, for there is no iter.000000; name the folder of `dpgen run`"),
    (["report", "nowhere"], "nowhere: No such file or directory; expected the folder of a `dpgen run`"),
    (["report", "param.json"], "param.json: Not a directory; expected the folder of a `dpgen run`"),
    (["report", "--output", "mine"], "--output mine: expected a file name that ends with .html"),
    (["trust"], "{folder}: no run here, for there is no iter.000000; name the folder of `dpgen run`"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line(ipip, words, line):
    check_mistake(ipip, words, line)


def test_a_folder_without_a_run(ipip):
    typed = ipip("report", "data")
    assert typed.status == 1
    assert "/data: no run here" in typed.errors and not Path("report").exists()


def begun(folder: Path) -> None:
    """A run that has not trained anything."""
    (folder / Iteration(0).ipip).mkdir(parents=True)
    workdir.write_json(folder / workdir.STARTED, {})


def test_the_page_of_a_run_that_has_just_begun(ipip):
    begun(Path("run"))
    start = Path.cwd()
    typed = ipip("report", "run")
    assert typed.status == 0, typed.errors
    assert typed.output.startswith(
        "run/report.html: written, pictures in run/report; left out, as the page says: Verdict"
    )
    text = (start / "run/report.html").read_text()
    assert "Left out: No iteration has been evaluated yet." in text
    assert text.count("Left out: ") == 10


def test_another_place(ipip):
    begun(Path("run"))
    start = Path.cwd()
    assert ipip("report", "run", "--output", "elsewhere/mine.html").status == 0
    assert (start / "elsewhere/mine.html").is_file() and (start / "elsewhere/mine").is_dir()
    assert not (start / "run/report.html").exists()


def test_a_place_that_cannot_be_written_to(ipip):
    begun(Path("run"))
    typed = ipip("report", "run", "--output", "param.json/mine.html")
    assert typed.status == 1
    assert "cannot be written to" in typed.errors and len(typed.errors.splitlines()) == 1


def test_no_labelled_frame_no_trust_levels(ipip):
    begun(Path("run"))
    typed = ipip("trust", "run")
    assert typed.status == 1
    assert typed.errors == "ipip: No iteration has been evaluated yet.\n"
