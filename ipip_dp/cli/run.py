# SPDX-License-Identifier: LGPL-3.0-or-later
"""Commands on a run: check its input, make its first data, explain its keys."""

from __future__ import annotations

from pathlib import Path

from ipip_dp.cli.options import MachineFile, ParamFile, run_context


def check(param: ParamFile = Path("param.json"), machine: MachineFile = Path("machine.json")) -> None:
    """Find the problems of an input, or of its changes since the run began, without running anything."""
    from ipip_dp.checks import files
    from ipip_dp.config import changes

    context = run_context(param, machine, with_data=None)
    changes.require_allowed(context.jdata, str(param))
    print(f"{param} and {machine}: no problem found")
    if to_make := files.data_to_make(context.jdata, context.params):
        print(f"{' and '.join(map(str, to_make))}: not there yet; `ipip init {param} {machine}` makes them")


def init(param: ParamFile = Path("param.json"), machine: MachineFile = Path("machine.json")) -> None:
    """Make the first training data and the held-out set: teacher MD, diverse frames, reference labels."""
    from ipip_dp.steps import init_data

    context = run_context(param, machine, with_data=False)
    counts = init_data.init(context)
    for name, folder in init_data.targets(context).items():
        print(f"{folder}: {counts[name]} frames")


def doc() -> None:
    """Print what every key of the ipip section of param.json means (reStructuredText)."""
    from ipip_dp.config.params import ipip_argument

    print(ipip_argument().gen_doc(make_anchor=False, make_link=False))
