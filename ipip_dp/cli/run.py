# SPDX-License-Identifier: LGPL-3.0-or-later
"""Commands on a run: check its input, make its first data, explain its keys."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipip_dp.cli.options import MachineFile, ParamFile, run_context

if TYPE_CHECKING:
    from ipip_dp.checks.estimate import Estimate


def check(param: ParamFile = Path("param.json"), machine: MachineFile = Path("machine.json")) -> None:
    """Find the problems of an input, or of its changes since the run began, without running anything."""
    from ipip_dp.checks import exploration, files
    from ipip_dp.checks.estimate import estimate
    from ipip_dp.config import changes

    context = run_context(param, machine, with_data=None)
    changes.require_allowed(context.jdata, str(param))
    print(f"{param} and {machine}: no problem found")
    for line in [*files.notes(context.jdata), *exploration.notes(context.jdata)]:
        print(f"{param}: {line}")
    if to_make := files.data_to_make(context.jdata, context.params):
        print(f"{' and '.join(map(str, to_make))}: not there yet; `ipip init {param} {machine}` makes them")
    _print(estimate(context.jdata, context.params))


def init(param: ParamFile = Path("param.json"), machine: MachineFile = Path("machine.json")) -> None:
    """Make the first training data and the held-out set: teacher MD, diverse frames, reference labels."""
    from ipip_dp.steps import init_data

    context = run_context(param, machine, with_data=False)
    counts = init_data.init(context)
    for name, folder in init_data.targets(context).items():
        print(f"{folder}: {counts[name]} frames")


def _print(costs: Estimate) -> None:
    known = _time(sum(item.seconds or 0 for item in costs.items))
    print(f"Up to {costs.iterations} iterations, {known} without the reference, {costs.disk / 1e6:,.0f} MB of disk:")
    for item in costs.items:
        print(f"  {item.name:<12} {item.amount}{'' if item.seconds is None else f'; {_time(item.seconds)}'}")
    print("Rough, for CPUs and the templates' networks; the first iteration tells more.")


def _time(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes} core minutes" if minutes < 100 else f"{seconds / 3600:,.0f} core hours"


def doc(
    key: Annotated[
        str | None, typer.Argument(help="A key of param.json, as ipip.forget.method or its end.", show_default="all")
    ] = None,
) -> None:
    """Print what a key of param.json means, or all of the ipip section (reStructuredText)."""
    from ipip_dp.config import documentation
    from ipip_dp.config.params import ipip_argument

    print(documentation.of_key(key) if key else ipip_argument().gen_doc(make_anchor=False, make_link=False))
