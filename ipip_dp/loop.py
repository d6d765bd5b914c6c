# SPDX-License-Identifier: LGPL-3.0-or-later
"""IPIP in DP-GEN's loop: what happens before and after each of its stages.

==============  =========================================================================
DP-GEN's stage  in an IPIP run
==============  =========================================================================
make_train      seed the pool (iteration 0), or measure errors on explored frames with reference
                labels and relabel; fine-tune the teacher, if it
                learns; forget, pretrain, hand over; then DP-GEN's, started from
                our checkpoints
run_train       DP-GEN's, with --init-model
post_train      DP-GEN's; then evaluate
make_model_devi stop test; then DP-GEN's
run_model_devi  DP-GEN's, with a LAMMPS that may blow up
make_fp         DP-GEN's, which sorts the explored frames; then those to be labelled are kept
run_fp          DP-GEN's, if it chose any candidate; failures are listed
post_fp         DP-GEN's
==============  =========================================================================

Without an ``ipip`` section every stage is DP-GEN's own: :mod:`ipip_dp.dpgen_plugin`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.evaluation import curve
from ipip_dp.steps import (
    evaluate,
    explore,
    handover,
    on_policy,
    pretrain,
    reference,
    relabel,
    seed_pool,
    stop,
    teacher,
    trust,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from ipip_dp.steps.context import Context


class Stage(Protocol):
    """A stage of DP-GEN, as the plugin hands it in."""

    def __call__(self, jdata: dict | None = None, mdata: dict | None = None, **functions: Callable) -> Any:
        """Run it: with param.json and machine.json as they are or given, and with functions of DP-GEN replaced."""

    def again(self, name: str) -> None:
        """Run an earlier stage of this iteration once more, with all that IPIP adds."""


def make_train(stage: Stage, context: Context) -> None:
    """Pretrain, then let DP-GEN prepare fine-tuning from our checkpoints."""
    iteration = context.iteration
    if iteration.index == 0:
        seed_pool.step(context)
    else:
        explored = replace(context, iteration=iteration.previous)
        on_policy.step(explored)
        relabel.step(explored)
        handover.step(context, "pretrain")
    teacher.step(context)
    pretrain.step(context)
    handover.step(context, "finetune")
    # The pool has changed even if 02.fp added nothing, so DP-GEN must not copy the old models.
    stage(handover.fine_tuning(context), _check_empty_iter=lambda *_, **__: False)
    handover.link_fine_tuning(context)
    workdir.unmark(iteration.evaluate)  # of students trained before, if the user has removed their folder


def run_train(stage: Stage, context: Context) -> None:
    """Fine-tune; anew, and as param.json is now, if an earlier start ended because a student diverged."""
    if pretrain.diverged(context.iteration.student(member) for member in context.students):
        stage.again("make_train")
    stage(handover.fine_tuning(context), handover.exporting(context))


def post_train(stage: Stage, context: Context) -> None:
    """Evaluate the fine-tuned students."""
    stage()
    for member in context.students:
        pretrain.check_learning_curve(context.iteration.student(member) / "lcurve.out")
    evaluate.step(context)


def make_model_devi(stage: Stage, context: Context) -> bool:
    """Explore, unless nothing improves any more."""
    reason = stop.reason(context)
    # DP-GEN writes into the jobs it has read, and the stop test compares them as they are in param.json.
    goes_on = reason is None and stage(copy.deepcopy(context.jdata))
    stop.record(context, None if goes_on else reason or stop.OUT_OF_JOBS)
    return goes_on


def run_model_devi(stage: Stage, context: Context) -> None:
    """Explore; an MD that blows up leaves the frames before."""
    stage(mdata=explore.tolerant(context))


def make_fp(stage: Stage, context: Context) -> None:
    """Let DP-GEN sort the explored frames and choose candidates; keep those that may join the pool."""
    again = explore.discard_damaged(context)
    if again:
        stage.again("run_model_devi")
        explore.require_whole(context, again)

    def usable(read: Callable[..., np.ndarray], task: str, *arguments: Any, **options: Any) -> np.ndarray:
        return explore.mark_unusable(Path(task), read(task, *arguments, **options))

    trust.apply(context)
    with explore.one_file_per_frame(context) as jdata:
        stage(
            {**jdata, "detailed_report_make_fp": True},
            _read_model_devi_file=usable,
            make_fp_custom=reference.write_candidates,
        )
    relabel.choose_frames(context)
    curve.write()


def run_fp(stage: Stage, context: Context) -> None:
    """Label candidates with the reference, if any were chosen; DP-GEN would want an fp machine even for none."""
    if any(context.iteration.fp.glob("task.*")):
        stage()
        reference.collect(context)


def post_fp(stage: Stage, context: Context) -> None:
    """Collect the reference labels; DP-GEN raises when too many are missing."""
    workdir.unmark(context.iteration.on_policy)  # of labels collected before, if the user has had them made anew
    try:
        stage()
    except RuntimeError as error:
        raise IpipError(
            f"{context.iteration.fp}: {error}; more than ratio_failed of the tasks. Mend them, or raise "
            "ratio_failed in param.json, and start again"
        ) from error


STAGES: Mapping[str, Callable[[Stage, Context], Any]] = {
    stage.__name__: stage
    for stage in (make_train, run_train, post_train, make_model_devi, run_model_devi, make_fp, run_fp, post_fp)
}
