# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip` itself: help, version, completion, its log, and `python -m ipip_dp`."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

import ipip_dp
from ipip_dp import cli
from tests.conftest import ENVIRONMENT, ROOT


def test_the_screen_shows_our_log_and_warnings_of_others(monkeypatch, capfd):
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    other = logging.getLogger("deepmd.utils")
    monkeypatch.setattr(other, "level", logging.INFO)  # as DeePMD-kit sets it
    cli.show_log()
    other.info("You can use the environment variable DP_INFER_BATCH_SIZE")
    other.warning("no GPU")
    logging.getLogger("ipip_dp.labelers.progress").info("labelling: 1 of 2 frames")
    said = [line.split(" ", 1)[1] for line in capfd.readouterr().err.splitlines()]
    assert said == ["no GPU", "labelling: 1 of 2 frames"]


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["new", "-h"], ["predict", "-h"]])
def test_help(ipip, words):
    typed = ipip(*words)
    assert typed.status == 0 and "Usage: ipip" in typed.output


def test_help_of_predict_says_what_is_written(ipip):
    assert "i/forces" in ipip("predict", "-h").output


def test_version(ipip):
    typed = ipip("--version")
    assert (typed.status, typed.output) == (0, f"ipip-dp {ipip_dp.__version__}\n")


def test_as_a_module(tmp_path):
    command = [sys.executable, "-m", "ipip_dp", "--version"]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == f"ipip-dp {ipip_dp.__version__}\n"


def test_completion_knows_commands_and_choices(tmp_path):
    """What bash gets from the script that --show-completion prints."""

    def completed(words: str) -> set[str]:
        position = str(len(words.split(" ")) - 1)
        asked = {"_IPIP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position}
        done = subprocess.run(["ipip"], cwd=tmp_path, env={**ENVIRONMENT, **asked}, capture_output=True, text=True)
        return set(done.stdout.split())

    assert {"new", "check", "status"} <= completed("ipip ")
    assert completed("ipip new run Cu.cif --effort t") == {"try", "thorough"}
    assert "slurm" in completed("ipip new run Cu.cif --machine ")
