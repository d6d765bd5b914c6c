# SPDX-License-Identifier: LGPL-3.0-or-later
"""How much of a piece of work is done and how long the rest will take, in figures and in words."""

from __future__ import annotations

import re
from typing import NamedTuple

AMOUNT = re.compile(r"([\d,]+) of ([\d,]+) (\w+)")


class Pace(NamedTuple):
    """A moment, in seconds, and the amount of work that was done then."""

    time: float
    done: int

    def since(self, earlier: Pace | None) -> Pace:
        """The moment to reckon from: waiting does not count, nor does the start of a program.

        So it is the first at which work shows; where a part was done already, the last before it goes on.
        """
        return earlier if earlier is not None and 0 < earlier.done < self.done else self

    def left(self, since: Pace | None, total: int) -> float | None:
        """Seconds until the total is reached, if work goes on as since an earlier moment; None if it does not show."""
        if since is None or not since.done < self.done < total:
            return None
        return (total - self.done) * (self.time - since.time) / (self.done - since.done)


def duration(seconds: float) -> str:
    """A time in units of a sensible size: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def amount(done: int, total: int, unit: str, left: float | None) -> str:
    """Work done, and the seconds that are left if they are known: ``41,000 of 100,000 steps, 12 min left``."""
    return f"{done:,} of {total:,} {unit}" + ("" if left is None else f", {duration(left)} left")


def read_amount(text: str) -> tuple[int, int, str] | None:
    """The last amount that a text names as :func:`amount` does: done, total and unit."""
    found = AMOUNT.findall(text)
    if not found:
        return None
    done, total, unit = found[-1]
    return int(done.replace(",", "")), int(total.replace(",", "")), unit
