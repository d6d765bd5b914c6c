# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reference: DP-GEN's labelling of candidates. With ``ipip label`` as its command, failures are listed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.labelers.batch import read_summary

if TYPE_CHECKING:
    from ipip_dp.steps.context import Context


def collect(context: Context) -> None:
    """List the frames that got no labels; nothing to do unless ``ipip label`` wrote them.

    Raises
    ------
    IpipError
        If more than ``ratio_failed`` of them did. The next start tries these again.
    """
    from dpgen import dlog

    output = context.jdata["fp_params"]
    if context.jdata["fp_style"] != "custom" or output["output_fmt"] != "ipip/labels":
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
