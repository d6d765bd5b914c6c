# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a run, finished or not, has left on disk."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipip_dp import workdir
from ipip_dp.config.params import Params
from ipip_dp.errors import IpipError
from ipip_dp.evaluation import curve
from ipip_dp.evaluation.stopping import Evaluated, best
from ipip_dp.steps.context import Context
from ipip_dp.workdir import Iteration


@dataclass(frozen=True)
class Run:
    """A run in the working directory.

    Parameters
    ----------
    iterations : list of Iteration
        All on disk.
    jdata : dict
        param.json of the latest start, normalised; empty where it is missing.
    metrics, on_policy, counts : dict
        Errors on held-out and on explored frames, and how many frames and MD runs there were, by index of the
        iteration, where they are there.
    stop : dict
        Why the run ended; empty if it did not.
    """

    iterations: list[Iteration]
    jdata: dict[str, Any]
    metrics: dict[int, dict[str, Any]]
    on_policy: dict[int, dict[str, Any]]
    counts: dict[int, dict[str, Any]]
    stop: dict[str, Any]

    @property
    def evaluated(self) -> list[Iteration]:
        """The evaluated iterations, in order.

        Raises
        ------
        IpipError
            If there is none.
        """
        if not self.metrics:
            raise IpipError("No iteration has been evaluated yet.")
        return [Iteration(index) for index in sorted(self.metrics)]

    def context(self, iteration: Iteration) -> Context:
        """What the steps of an iteration see, but for machine.json.

        Raises
        ------
        IpipError
            If the parameters of the run are unknown.
        """
        if not self.jdata:
            raise IpipError(f"{workdir.STARTED} is missing, which has the parameters of the run.")
        return Context(iteration, Params.from_jdata(self.jdata), self.jdata, {})

    @functools.cached_property
    def figures(self) -> list[Evaluated]:
        """Figures of every evaluated iteration, with their noise."""
        return curve.evaluated(self.jdata.get("model_devi_jobs", []), self.evaluated[-1].index)

    @functools.cached_property
    def best(self) -> Iteration:
        """The iteration whose students are best."""
        return self.evaluated[best(self.figures)]


def load() -> Run:
    """Read what the run in the working directory has left.

    Raises
    ------
    IpipError
        If there is no run, or one of DP-GEN alone.
    """
    found = workdir.iterations()
    if not found:
        raise IpipError(f"{Path.cwd()}: no run here, for there is no iter.000000; name the folder of `dpgen run`")
    if not any(iteration.ipip.is_dir() for iteration in found):
        raise IpipError(f"{Path.cwd()}: a run of DP-GEN alone, without IPIP (no 00.ipip in {found[0].root})")
    return Run(
        iterations=found,
        jdata=workdir.read_json(workdir.STARTED),
        metrics=_by_index({each: each.metrics for each in found}),
        on_policy=_by_index({each: each.on_policy_metrics for each in found}),
        counts=_by_index({each: each.explored_counts for each in found}),
        stop=workdir.read_json(found[-1].stop),
    )


def _by_index(paths: dict[Iteration, Path]) -> dict[int, dict[str, Any]]:
    return {iteration.index: value for iteration, path in paths.items() if (value := workdir.read_json(path))}
