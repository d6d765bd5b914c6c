# SPDX-License-Identifier: LGPL-3.0-or-later
"""What every command has in common."""

from __future__ import annotations

import logging

from ipip_dp import cli


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
