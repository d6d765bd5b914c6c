# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether a run is alive: who has locked its folder, and the sign of life that a run leaves every few seconds."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ipip_dp import workdir
from ipip_dp.pace import Pace, duration

if TYPE_CHECKING:
    from collections.abc import Mapping

INTERVAL = 20.0  # seconds between two signs of life
FRESH = 3 * INTERVAL  # a run whose last one is older is taken for dead where its lock cannot be seen
FLOCK = "hhqqi4x"  # struct flock of Linux on 64 bits: type, whence, start, length, process


def this_process() -> str:
    """What ``ipip.lock`` says of the process that holds it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def typed() -> str:
    """What this process was started with, as a ``dpgen run``."""
    return shlex.join(["dpgen", "run", *(word for word in sys.argv[1:] if word != "run")])


@dataclass(frozen=True)
class Beat:
    """A sign of life.

    Parameters
    ----------
    stage : str
        The stage of DP-GEN's that is under way.
    folder : str or None
        Where the submission works whose end is awaited.
    jobs : mapping of str to int
        Its jobs by dpdispatcher's name of their state.
    retried : int
        How many of its jobs have failed and were submitted again.
    since : Pace or None
        When its work began to show, see :class:`ipip_dp.pace.Pace`.
    command : str
        What was typed to start the run.
    process : str
        Who it is, as in ``ipip.lock``.
    time : float
        When this was written, in seconds since the epoch.
    """

    stage: str
    folder: str | None = None
    jobs: Mapping[str, int] = field(default_factory=dict)
    retried: int = 0
    since: Pace | None = None
    command: str = field(default_factory=typed)
    process: str = field(default_factory=this_process)
    time: float = field(default_factory=time.time)

    def write(self) -> None:
        """Leave it in the run folder, if there is a run in it; that the disk is full others will say."""
        if workdir.STARTED.is_file():
            with suppress(OSError):
                workdir.write_json(workdir.PROGRESS, asdict(self))


def jobs_in_words(jobs: Mapping[str, int]) -> str:
    """The jobs of a submission: ``jobs: 3 running, 1 waiting``."""
    return "jobs: " + (", ".join(f"{number:,} {state}" for state, number in jobs.items()) or "being submitted")


def _read_beat() -> Beat | None:
    """The last sign of life of the run in this folder; None if it has left none."""
    try:
        value = json.loads(workdir.PROGRESS.read_text())
    except (OSError, ValueError):
        return None
    return Beat(**{**value, "since": Pace(*value["since"]) if value["since"] else None})


@dataclass(frozen=True)
class Life:
    """Whether a run is alive.

    Parameters
    ----------
    alive : bool
        Whether it is.
    why : str
        How that is known.
    beat : Beat or None
        Its last sign of life; of a run that is alive none of an earlier start.
    """

    alive: bool
    why: str
    beat: Beat | None


def life() -> Life:
    """Whether a ``dpgen run`` works in this folder, by its lock or, on another host, by its signs of life."""
    beat = _read_beat()
    holder = workdir.LOCK.read_text(errors="replace").strip() if workdir.LOCK.is_file() else ""
    locked = _is_locked()
    if locked:
        return Life(True, holder, beat if beat is not None and beat.process == holder else None)
    if locked is not None and holder.rpartition(" on ")[2] in ("", socket.gethostname()):
        return Life(False, "no process holds ipip.lock", beat)
    if beat is None:
        return Life(False, f"{holder}, which has left no sign of life", None)
    age = max(0.0, time.time() - beat.time)
    return Life(age < FRESH, f"{beat.process}; its last sign of life is {duration(age)} old", beat)


def _is_locked() -> bool | None:
    """Whether a process holds the lock, on any host if the file system passes locks on; None if it has no locks."""
    try:
        with workdir.LOCK.open("rb") as file:  # F_GETLK only asks; to take the lock for a moment could refuse a run
            asked = struct.pack(FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0)
            answer = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return answer[0] != fcntl.F_UNLCK
