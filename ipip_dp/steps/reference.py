# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reference: DP-GEN's labelling of candidates. With ``ipip label`` as its command, failures are listed here."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.data import dumps
from ipip_dp.errors import IpipError
from ipip_dp.labelers.batch import read_summary
from ipip_dp.labelers.read import write_open_poscar

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipip_dp.steps.context import Context


def write_candidates(make: Callable[[int, dict[str, Any]], None], iter_index: int, jdata: dict[str, Any]) -> None:
    """Write the input files of fp_style custom; DP-GEN's own function, which takes every candidate for periodic.

    Candidates without periodic boundaries are written again, from the dump.
    """
    make(iter_index, jdata)
    params = jdata["fp_params"]
    for task in sorted(workdir.Iteration(iter_index).fp.glob("task.*")):
        *_, (_, text) = dumps.read_texts(task / "conf.dump")
        system = dumps.parse(text, jdata["type_map"])
        if system.nopbc:
            target = task / params["input_fn"]
            if target.is_dir():
                shutil.rmtree(target)
            if params["input_fmt"] == "vasp/poscar":
                write_open_poscar(system, target)
            else:
                system.to(params["input_fmt"], str(target))


def collect(context: Context) -> None:
    """List the frames that got no labels; nothing to do unless ``ipip label`` wrote them.

    Raises
    ------
    IpipError
        If more than ``ratio_failed`` of them did. The next start tries these again.
    """
    from dpgen import dlog

    if context.jdata["fp_style"] != "custom":
        return
    output = context.jdata["fp_params"]
    if output["output_fmt"] != "ipip/labels":
        return
    folder, report = context.iteration.fp, context.iteration.reference_failures
    summaries = {task: read_summary(task / output["output_fn"]) for task in sorted(folder.glob("task.*"))}
    failed = {task: str(summary) for task, summary in summaries.items() if not summary or not summary.labelled}
    workdir.write_json(report, {task.name: reason for task, reason in failed.items()})
    if not failed:
        return
    task, reason = next(iter(failed.items()))
    text = (
        f"{folder}: {len(failed)} of {len(summaries)} frames got no reference labels, for example {task.name}: {reason}"
    )
    limit = context.jdata.get("ratio_failed", 0.05)  # DP-GEN's default
    if len(failed) > limit * len(summaries):
        for task in failed:
            workdir.redo(task, output["output_fn"])
        raise IpipError(f"{text}. All: {report}. Mend the reference, or raise ratio_failed ({limit}), and start again")
    dlog.warning(f"ipip: {text}. All: {report}")
