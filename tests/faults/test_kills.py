# SPDX-License-Identifier: LGPL-3.0-or-later
"""A run that is struck down again and again ends like one that was not, and does nothing twice."""

from __future__ import annotations

import glob
import json
import os
import random
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dpdata
import pytest

from tests.conftest import DPGEN, Run, calls, counted, short

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Collection
    from pathlib import Path

pytestmark = pytest.mark.slow

# What a run consists of, bit for bit.
RESULTS = (
    "iter.*/00.train/*/input.json",
    "iter.*/00.train/*/lcurve.out",
    "iter.*/00.ipip/pretrain/*/lcurve.out",
    "iter.*/01.model_devi/task.*/model_devi.out",
    "iter.*/02.fp/*.out",
    "iter.*/02.fp/task.*/POSCAR",
    "iter.*/02.fp/data.*/*/*.raw",
    "iter.*/02.fp/data.*/*/set.*/*.npy",
    "iter.*/00.ipip/pool/*/*.raw",
    "iter.*/00.ipip/pool/*/set.*/*.npy",
    "iter.*/00.ipip/evaluate/metrics.json",
    "iter.*/00.ipip/stop.json",
    "learning_curve.csv",
    "record.dpgen",
)


def kill_all(process: subprocess.Popen) -> None:
    """DP-GEN and its jobs, as when the machine goes down."""
    os.killpg(process.pid, signal.SIGKILL)


def terminate_all(process: subprocess.Popen) -> None:
    """As a queue ends a job in which `dpgen run` works."""
    os.killpg(process.pid, signal.SIGTERM)


def interrupt(process: subprocess.Popen) -> None:
    """Ctrl-C reaches the jobs, too, but dpdispatcher has the shell start them so that they ignore it."""
    os.killpg(process.pid, signal.SIGINT)


def kill_alone(process: subprocess.Popen) -> None:
    """DP-GEN is killed and its jobs go on."""
    process.kill()


STRIKES = {
    kill_all: "SIGKILL of DP-GEN and its jobs",
    terminate_all: "SIGTERM to DP-GEN and its jobs",
    interrupt: "Ctrl-C",
    kill_alone: "SIGKILL of DP-GEN alone, its jobs go on",
}


@dataclass
class Struck:
    """A run, and what was finished at each strike."""

    run: Run
    wrappers: Path
    strikes: int = 0
    done: list[tuple[int, set[str]]] = field(default_factory=list)

    def go_on(self, due: Callable[[float], bool], strike: Callable[[subprocess.Popen], None]) -> bool:
        """Start the run and strike when it is due; whether it ended by itself before."""
        start = time.monotonic()
        with (self.run.folder / "run.log").open("a") as log:
            process = self.run.start(*DPGEN, stdout=log, **counted(self.run, self.wrappers))
        while process.poll() is None:
            if due(time.monotonic() - start):
                strike(process)
                process.wait(60)
                self.strikes += 1
                self.done.append((len(calls(self.run)), self.finished_tasks()))
                return False
            time.sleep(0.01)
        assert process.returncode == 0, (self.run.folder / "run.log").read_text()[-3000:]
        return True

    def finished_tasks(self) -> set[str]:
        tags = self.run.folder.glob("iter.*/**/*_task_tag_finished")
        return {str(tag.parent.relative_to(self.run.folder)) for tag in tags}

    def repeated(self) -> list[str]:
        """Calls in the folders of tasks that had finished before."""
        all_calls = calls(self.run)
        return [call for count, finished in self.done for call in all_calls[count:] if call.split(":")[0] in finished]

    def together(self) -> str:
        """Calls that ran in one folder at the same time."""
        path = self.run.folder.with_name(f"{self.run.folder.name}.calls") / "together"
        return path.read_text() if path.is_file() else ""


def markers(run: Run) -> set[str]:
    """What every finished step and stage leaves behind."""
    record = run.folder / "record.dpgen"
    # glob.glob, unlike Path.glob, minds no folder that is removed meanwhile
    done = set(glob.glob("iter.*/00.ipip/**/done", root_dir=run.folder, recursive=True))
    return done | set(record.read_text().splitlines() if record.is_file() else [])


def at_every_marker(run: Run, seen: Collection[str] = ()) -> Callable[[float], bool]:
    """Due as soon as a step or stage has finished, once for each that has not been seen."""
    seen = set(seen)

    def due(_: float) -> bool:
        new = markers(run) - seen
        seen.update(new)
        return bool(new)

    return due


def after(seconds: float) -> Callable[[float], bool]:
    return lambda elapsed: elapsed >= seconds


def random_instants(finished: Run, count: int, seed: str) -> list[float]:
    """Seconds after a start, in proportion to how long the uninterrupted run took on this machine."""
    timings = [json.loads(path.read_text()) for path in finished.folder.glob("iter.*/00.ipip/timing.json")]
    seconds = sum(stage["seconds"] for timing in timings for stage in timing.values())
    draw = random.Random(seed)
    return [draw.uniform(0.05, 0.35) * seconds for _ in range(count)]


def when(run: Run, pattern: str) -> Callable[[float], bool]:
    return lambda _: any(run.folder.glob(pattern))


def content(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for pattern in RESULTS for path in folder.glob(pattern)}
    assert len(found) > len(RESULTS)
    return found


def frames(run: Run) -> int:
    """Frames of the last pool and of all reference calculations."""
    types = [
        *run.folder.glob("iter.000001/00.ipip/pool/*/type.raw"),
        *run.folder.glob("iter.*/02.fp/data.*/*/type.raw"),
    ]
    return sum(len(dpdata.LabeledSystem(str(path.parent), fmt="deepmd/npy")) for path in types)


def commands(run: Run) -> set[str]:
    """Folder and command of every call; a training may have been called to start or to go on."""
    return {" ".join(call.split()[:3]) for call in calls(run)}


def require_same(struck: Struck, finished: Run, record_property: Callable) -> None:
    record_property("frames lost", frames(finished) - frames(struck.run))
    record_property("jobs repeated", len(struck.repeated()))
    assert struck.repeated() == []
    assert struck.together() == ""
    assert commands(struck.run) == commands(finished)
    assert markers(struck.run) == markers(finished)
    expected, seen = content(finished.folder), content(struck.run.folder)
    assert sorted(seen) == sorted(expected)
    assert [name for name in expected if seen[name] != expected[name]] == []


WANTED = "the same pool, reference data, metrics and chosen frames bit for bit; no finished job runs again"


@pytest.mark.long
@pytest.mark.fault("five strikes in one run: killed with and without its jobs, SIGTERM, Ctrl-C", WANTED)
def test_a_run_struck_in_five_ways_ends_the_same(finished, wrappers, tmp_path, record_property):
    struck = Struck(short(tmp_path / "run"), wrappers)
    run, instants = struck.run, random_instants(finished, 2, "five ways")
    ended = [
        struck.go_on(when(run, "iter.000000/00.ipip/pretrain/*/ipip.log"), kill_alone),
        struck.go_on(when(run, "iter.000000/00.train/000/train.log"), interrupt),
        struck.go_on(at_every_marker(run, markers(run)), kill_all),
    ]
    assert not any(ended)
    strikes = [
        (after(instants.pop()), terminate_all),
        (after(instants.pop()), kill_all),
        (after(float("inf")), kill_all),
    ]
    assert any(struck.go_on(*strike) for strike in strikes)  # it may end before a random instant
    require_same(struck, finished, record_property)


def for_every_strike(when: str) -> pytest.MarkDecorator:
    """The test once for every way of striking, each a row of the table."""
    marks = {strike: pytest.mark.fault(f"{how}, {when}", WANTED) for strike, how in STRIKES.items()}
    return pytest.mark.parametrize("strike", [pytest.param(strike, marks=mark) for strike, mark in marks.items()])


@pytest.mark.full
@for_every_strike("after every step and stage")
def test_a_run_struck_after_every_step_ends_the_same(strike, finished, wrappers, tmp_path, record_property):
    struck = Struck(short(tmp_path / "run"), wrappers)
    due = at_every_marker(struck.run)
    while not struck.go_on(due, strike):
        pass
    assert struck.strikes >= 12  # of 21 markers some appear at the same moment
    require_same(struck, finished, record_property)


@pytest.mark.full
@for_every_strike("at 30 random instants")
def test_a_run_struck_at_random_instants_ends_the_same(strike, finished, wrappers, tmp_path, record_property):
    instants = random_instants(finished, 30, strike.__name__)
    while instants:  # as many runs as that takes
        struck = Struck(short(tmp_path / f"run{len(instants)}"), wrappers)
        while not struck.go_on(after(instants[-1] if instants else float("inf")), strike):
            instants.pop()
        require_same(struck, finished, record_property)
