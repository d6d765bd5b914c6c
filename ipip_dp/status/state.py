# SPDX-License-Identifier: LGPL-3.0-or-later
"""What there is to say about the run in a folder: put together here from what the rest of this room reads."""

from __future__ import annotations

import json
import shlex
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ipip_dp import workdir
from ipip_dp.config import inputs
from ipip_dp.errors import IpipError
from ipip_dp.evaluation import curve
from ipip_dp.pace import Pace
from ipip_dp.status import models, stages, work
from ipip_dp.status.life import Life, life

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ipip_dp.status.models import Best
    from ipip_dp.status.stages import Stage
    from ipip_dp.status.work import Work

State = Literal["not started", "running", "waiting", "stopped", "finished", "plain DP-GEN"]
DPGEN_LOG = Path("dpgen.log")
DPGEN_ENDED = "INFO : finished"  # how DP-GEN's log ends when a run has


@dataclass(frozen=True)
class Status:
    """How far the run in a folder is.

    Parameters
    ----------
    folder : Path
        The folder, absolute.
    state : str
        One of six; "waiting" is that of a live run all of whose jobs wait in a queue.
    why : str
        How it is known that the run is alive or not, or why it has ended.
    command : str
        What to type to start it, or to go on.
    missing : tuple of str
        Data that a run which has not started lacks.
    init : str
        What to type to make them, if that can be done.
    said : tuple of str
        What a run that has stopped said last, if it ended with an error.
    stage : Stage or None
        What is under way, or was when the run stopped.
    work : Work or None
        What the jobs there have done.
    jobs : mapping of str to int
        The jobs of a live run by their state.
    retried : int
        How many of them failed and run again.
    left : float or None
        Seconds until they have ended, if they go on like this.
    best : Best or None
        The model to use.
    curve : tuple of mapping
        The learning curve, one row per evaluated iteration.
    seconds, dispatched : float
        What all finished stages took, and the part of that in jobs.
    """

    folder: Path
    state: State
    why: str
    command: str = ""
    missing: tuple[str, ...] = ()
    init: str = ""
    said: tuple[str, ...] = ()
    stage: Stage | None = None
    work: Work | None = None
    jobs: Mapping[str, int] = field(default_factory=dict)
    retried: int = 0
    left: float | None = None
    best: Best | None = None
    curve: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0
    dispatched: float = 0.0


def read() -> Status:
    """The status of the run in the working directory.

    Raises
    ------
    IpipError
        If there is none.
    """
    alive = life()
    name, param = _param(alive)
    command = alive.beat.command if alive.beat else shlex.join(["dpgen", "run", name, _machine(name)])
    if "ipip" not in param:
        return _plain(name, command)
    if not workdir.STARTED.is_file():
        missing = _missing(param)
        init = shlex.join(["ipip", "init", name, _machine(name)]) if missing and param["ipip"].get("reference") else ""
        return Status(Path.cwd(), "not started", "", command, missing, init)
    return _of_run(alive, _started(param), command)


def _of_run(alive: Life, param: Mapping[str, Any], command: str) -> Status:
    beat = alive.beat if alive.alive else None
    stage = stages.under_way(param, beat.folder if beat else None)
    done = work.read(stage.folder)
    jobs = beat.jobs if beat and beat.folder else {}
    left = None
    if beat and beat.since and done:
        left = Pace(time.time(), done.done).left(beat.since, done.total)
    state: State = "stopped"
    why, said = alive.why, () if alive.alive else _said()
    ended = workdir.Iteration(stage.iteration).stop
    if ended.is_file():
        state, why = "finished", json.loads(ended.read_text())["reason"]
    elif alive.alive:
        # dpdispatcher takes a job for waiting until it asks for the first time.
        waits = jobs and set(jobs) <= {"waiting", "unsubmitted"} and not (done and done.begun)
        state = "waiting" if waits else "running"
    seconds, dispatched = _timing()
    return Status(
        folder=Path.cwd(),
        state=state,
        why=why,
        command=command,
        said=said,
        stage=None if state == "finished" else stage,
        work=None if state == "finished" else done,
        jobs=jobs,
        retried=beat.retried if beat else 0,
        left=left,
        best=models.best(param),
        curve=tuple(curve.rows()),
        seconds=seconds,
        dispatched=dispatched,
    )


def _plain(name: str, command: str) -> Status:
    why = f"{name} has no section ipip"
    if not any(workdir.iterations()):
        return Status(Path.cwd(), "plain DP-GEN", f"{why}, and nothing has run", command)
    if _log()[-1:] and _log()[-1].endswith(DPGEN_ENDED):
        return Status(Path.cwd(), "plain DP-GEN", f"{why}; the run has finished", command)
    stage = stages.under_way({}, None)
    return Status(Path.cwd(), "plain DP-GEN", why, command, stage=stage, work=work.read(stage.folder))


def _param(alive: Life) -> tuple[str, dict[str, Any]]:
    """The param.json of this folder, or of the run in it, and its name."""
    words = shlex.split(alive.beat.command) if alive.beat else []
    named = next((word for word in words[2:] if Path(word).is_file()), "param.json")
    if Path(named).is_file():
        if not workdir.STARTED.is_file():
            return named, inputs.load(Path(named))
        with suppress(IpipError):  # a run that has begun has a copy
            return named, inputs.load(Path(named))
    elif (found := _find(lambda value: "model_devi_jobs" in value)) is not None:
        return found
    if workdir.STARTED.is_file():
        return named, inputs.load(workdir.STARTED)
    run = next((parent for parent in Path.cwd().parents if (parent / workdir.STARTED).is_file()), None)
    where = f"the run is in {run}" if run else "give the folder of `dpgen run`: ipip status FOLDER"
    raise IpipError(f"{Path.cwd()}: no run in this folder, and no param.json; {where}")


def _started(param: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the latest start, or those of now if that copy is damaged."""
    with suppress(IpipError):
        return inputs.load(workdir.STARTED)
    return param


def _machine(param: str) -> str:
    if Path("machine.json").is_file():
        return "machine.json"
    found = _find(lambda value: any(isinstance(each, dict) and "machine" in each for each in value.values()))
    return found[0] if found is not None and found[0] != param else "machine.json"


def _find(fits: Callable[[dict[str, Any]], bool]) -> tuple[str, dict[str, Any]] | None:
    """A JSON or YAML file of this folder that fits, one with an ipip section if there is any."""
    found = []
    for path in sorted(path for path in Path().iterdir() if path.suffix in (".json", ".yaml", ".yml")):
        with suppress(IpipError):
            value = inputs.load(path)
            if fits(value):
                found.append((path.name, value))
    return min(found, key=lambda each: "ipip" not in each[1], default=None)


def _missing(param: Mapping[str, Any]) -> tuple[str, ...]:
    """The data that a run needs and that are not there."""
    prefix = Path(param.get("init_data_prefix") or ".")
    held_out = param["ipip"].get("held_out", [])
    needed = [prefix / name for name in param.get("init_data_sys", [])]
    needed += map(Path, [held_out] if isinstance(held_out, str) else held_out)
    return tuple(str(path) for path in needed if not path.exists())


def _log() -> list[str]:
    """The last lines of DP-GEN's log."""
    return work.tail(DPGEN_LOG).splitlines()


def _said() -> tuple[str, ...]:
    """The errors that DP-GEN's log ends with."""
    said: list[str] = []
    for line in reversed(_log()):
        _, error, text = line.partition(" - ERROR : ")
        if not error:
            break
        said.insert(0, text.removeprefix("ipip: "))
    return tuple(said)


def _timing() -> tuple[float, float]:
    """Seconds all finished stages took, and those of them spent in dispatched commands."""
    files = [iteration.timing for iteration in workdir.iterations() if iteration.timing.is_file()]
    found = [stage for path in files for stage in json.loads(path.read_text()).values()]
    return sum(stage["seconds"] for stage in found), sum(stage["dispatched"] for stage in found)
