# SPDX-License-Identifier: LGPL-3.0-or-later
"""Amounts of work, in figures and in words."""

from __future__ import annotations

import pytest

from ipip_dp.pace import Pace, amount, duration, read_amount


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (99, "99 s"),
        (99.6, "2 min"),
        (720, "12 min"),
        (99 * 60 + 45, "1 h 40 min"),
        (3 * 3600 + 20 * 60, "3 h 20 min"),
        (52 * 3600, "2 d 4 h"),
    ],
)
def test_a_time_has_units_of_its_size(seconds, words):
    assert duration(seconds) == words


def test_an_amount_can_be_read_again():
    text = amount(41_000, 100_000, "steps", 720)
    assert text == "41,000 of 100,000 steps, 12 min left"
    assert read_amount(f"MD at 300 K: 1 of 2 frames\n{text}") == (41_000, 100_000, "steps")
    assert read_amount("nothing of the kind") is None


def test_the_rest_takes_as_long_as_the_work_since_it_began_to_show():
    since = None
    for now in (Pace(0, 50), Pace(600, 50), Pace(620, 60)):  # it waits, from a checkpoint at 50
        since = now.since(since)
    assert since == Pace(600, 50)
    assert Pace(620, 60).left(since, 100) == pytest.approx(80)
    assert Pace(600, 50).left(since, 100) is None
    assert Pace(700, 100).left(since, 100) is None  # all is done
    assert Pace(800, 5).since(since) == Pace(800, 5)  # it began anew


def test_the_start_of_a_training_does_not_count():
    since = None
    for now in (Pace(0, 0), Pace(80, 1), Pace(90, 301)):
        since = now.since(since)
    assert since == Pace(80, 1)
    assert Pace(90, 301).left(since, 901) == pytest.approx(20)
