# SPDX-License-Identifier: LGPL-3.0-or-later
"""Signs of life."""

from __future__ import annotations

import io
import logging
import sys
import time

import pytest

from ipip_dp.labelers import progress

from .conftest import counting, label, mos2, write


@pytest.mark.usefixtures("counting_calculator")
def test_progress_is_logged_while_one_frame_takes_long(caplog, monkeypatch):
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.2)
    write(mos2(n_frames=1))
    with caplog.at_level(logging.INFO):
        label("data", counting(seconds=1.0))
    lines = [r.message for r in caplog.records if r.message.startswith("labelling: 0 of 1 frames")]
    assert len(lines) >= 3


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.01)
    with caplog.at_level(logging.INFO), progress.Progress("labelling", 4, "frames") as shown:
        shown.update(3)
        time.sleep(0.1)
    assert "labelling (frames)" in sys.stderr.getvalue() and "3/4" in sys.stderr.getvalue()
    assert not caplog.records


def test_nothing_is_said_after_the_end(monkeypatch, caplog):
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.02)
    with caplog.at_level(logging.INFO):
        with progress.Progress("MD at 300 K", 10, "steps") as shown:
            shown.update(7)
            time.sleep(0.2)
        said = [record.message for record in caplog.records]
        assert said and said[-1].startswith("MD at 300 K: 7 of 10 steps")
        time.sleep(0.1)
    assert len(caplog.records) == len(said)
