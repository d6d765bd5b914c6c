# SPDX-License-Identifier: LGPL-3.0-or-later
"""Put the loop of :mod:`ipip_dp.loop` around DP-GEN's stages, once per process, when a run starts."""

from __future__ import annotations

import functools
import json
import os
import random
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import loop, workdir
from ipip_dp.checks import fp, run_input
from ipip_dp.config import changes, inputs
from ipip_dp.config.params import Params, ipip_argument
from ipip_dp.dpgen_plugin import restart, upstream
from ipip_dp.errors import IpipError, disk_full
from ipip_dp.running import dispatch
from ipip_dp.steps.context import Context
from ipip_dp.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from dargs import Argument


def extended(argument: Argument, runs: list[ModuleType], loaded: list[tuple[str, Any]]) -> Argument:
    """DP-GEN's schema of param.json with the ``ipip`` section; the stages of DP-GEN are wrapped as well.

    If this DP-GEN is not the one we know, its stages are left alone, and the section is refused.

    Parameters
    ----------
    argument : dargs.Argument
        DP-GEN's.
    runs : list of module
        ``dpgen.generator.run``, possibly as ``__main__``, where it is loaded.
    loaded : list of (str, object)
        Names and contents of the files that DP-GEN reads, as it reads them: param.json, machine.json.
    """
    section = ipip_argument(optional=True)
    for run in runs:
        found = upstream.problems(run)
        if found:
            section.extra_check = functools.partial(_refuse, found)
        elif not hasattr(run, "ipip_installed"):
            install(run, loaded)
    argument.extend_subfields([section])
    return argument


def _refuse(found: list[str], section: Any) -> bool:
    with user_errors():
        raise IpipError(upstream.refusal(found))


def install(run: ModuleType, loaded: list[tuple[str, Any]]) -> None:
    """Wrap the stages of ``dpgen.generator.run``."""
    run.ipip_installed = True  # type: ignore[attr-defined]  # a module takes any attribute
    for name in upstream.STAGES:
        setattr(run, name, _wrap(run, name))
    run.normalize = _checked(run.normalize, loaded)  # type: ignore[attr-defined]  # run_iter looks it up here
    run.record_iter = restart.keep_record(run.record_iter)  # type: ignore[attr-defined]


class _Stage:
    """A stage of DP-GEN in one iteration, see :class:`ipip_dp.loop.Stage`."""

    def __init__(self, run: ModuleType, name: str, stage: Callable, context: Context) -> None:
        self.run, self.name, self.stage, self.context = run, name, stage, context

    def __call__(self, jdata: dict | None = None, mdata: dict | None = None, **functions: Callable) -> Any:
        context = self.context
        arguments = [context.iteration.index, jdata or context.jdata, mdata or context.mdata]
        with upstream.replaced(self.run, **functions):
            # Only here: each submission calls random.seed, and finished steps submit nothing.
            random.seed(context.random_seed(self.name))
            np.random.seed(context.random_seed(self.name, "numpy"))
            return self.stage(*arguments[: len(upstream.STAGES[self.name])])

    def again(self, name: str) -> None:
        getattr(self.run, name)(self.context.iteration.index, self.context.jdata, self.context.mdata)


def _wrap(run: ModuleType, name: str) -> Callable:
    """The stage with what IPIP adds, seeded and timed; the stage itself without an ``ipip`` section."""
    stage = getattr(run, name)

    @functools.wraps(stage)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        given = {**dict(zip(upstream.STAGES[name], arguments, strict=False)), **options}
        if "ipip" not in given.get("jdata", {}):
            return stage(*arguments, **options)
        iteration, jdata = workdir.Iteration(given["iter_index"]), given["jdata"]
        context = Context(iteration, Params.from_jdata(jdata), jdata, given.get("mdata", {}))  # post_fp: none
        original = _Stage(run, name, stage, context)
        with user_errors(), timed(context, name):
            return loop.STAGES[name](original, context) if name in loop.STAGES else original()

    return wrapped


def _checked(normalize: Callable, loaded: list[tuple[str, Any]]) -> Callable:
    """DP-GEN's normalisation, among everything to be checked before a run starts or goes on."""

    @functools.wraps(normalize)
    def wrapped(arginfo: Any, data: Any, *arguments: Any, **options: Any) -> Any:
        files = list(loaded)
        loaded.clear()
        known = len(files) == 2 and files[0][1] is data  # not so if somebody else calls this
        param, machine = (name for name, _ in files) if known else ("param.json", "machine.json")
        if not isinstance(data, dict):  # no input of any run
            with user_errors():
                inputs.load(Path(param))
        if "ipip" not in data:
            return normalize(arginfo, data, *arguments, **options)
        with user_errors():
            if known:  # read once more, by a reader that is stricter than DP-GEN's
                inputs.load_input(Path(param), Path(machine))
            run_input.require_valid(data, files[1][1] if known else None, param, machine)
            restart.claim(Path.cwd())
            data = normalize(arginfo, data, *arguments, **options)
            changes.require_allowed(data, param)
            changes.keep(data)
            data.update(fp.LEFT_OUT.get(data["fp_style"], {}))
            restart.restore_record()  # run_iter reads it next
        return data

    return wrapped


def explain_unreadable(filename: Any, error: Exception, *param: Any) -> None:
    """End an IPIP run with one line when a file of its input cannot be read; do nothing in a plain run.

    Parameters
    ----------
    filename : str or Path
        The file.
    error : Exception
        What DP-GEN's reader raised.
    *param : dict
        param.json, if that has been read.
    """
    path = Path(filename)
    if param:  # it is machine.json
        ours = isinstance(param[-1], dict) and "ipip" in param[-1]
    else:  # without a param.json there is no plain run that could go on
        ours = not os.path.isfile(path) or b"ipip" in path.read_bytes()
    if ours:
        with user_errors():
            inputs.load(path)
            raise IpipError(one_line(f"{path}: {error}")) from error


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn an :class:`IpipError` or Ctrl-C into a message and an exit status, without a traceback."""
    from dpgen import dlog

    try:
        with disk_full():
            yield
    except IpipError as error:
        for line in str(error).splitlines():
            dlog.error(f"ipip: {line}")
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        dlog.error("ipip: interrupted; jobs that were submitted go on, and so does the run if you start it again")
        raise SystemExit(130) from None  # what a shell says of a program that Ctrl-C has ended


@contextmanager
def timed(context: Context, name: str) -> Iterator[None]:
    """Poll the queue as ``ipip.check_interval`` says, and record how long the stage and its jobs took."""
    start = time.monotonic()
    with dispatch.submissions(context.mdata, context.params.check_interval, name) as dispatched:
        yield
    path = context.iteration.timing
    stages = json.loads(path.read_text()) if path.is_file() else {}
    stages[name] = {
        "seconds": round(time.monotonic() - start, 2),
        "dispatched": round(sum(each.seconds for each in dispatched), 2),
        "jobs": [{**asdict(each), "seconds": round(each.seconds, 2)} for each in dispatched],
    }
    workdir.write_json(path, stages)
