"""IPIP in DP-GEN's loop: what happens before and after each of its stages.

==============  =========================================================================
DP-GEN's stage  in an IPIP run
==============  =========================================================================
make_train      seed (iteration 0), forget, pretrain, hand over; then DP-GEN's, started from
                our checkpoints
run_train       DP-GEN's, with --init-model
post_train      DP-GEN's; then evaluate
make_model_devi stop test; then DP-GEN's
run_model_devi  DP-GEN's, with a LAMMPS that may blow up
make_fp         DP-GEN's, which sorts the explored frames; then relabel
run_fp          DP-GEN's, if it chose any candidate; failures are listed
==============  =========================================================================

The only module that touches ``dpgen.generator.run``. Without an ``ipip`` section every
stage is DP-GEN's own.
"""

from __future__ import annotations

import functools
import json
import random
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import changes, check, dispatch, restart, workdir
from ipip_dp.errors import IpipError, disk_full
from ipip_dp.params import Params
from ipip_dp.steps import Context, evaluate, explore, forget, pretrain, reference, relabel, seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

STAGES = (
    "make_train",
    "run_train",
    "post_train",
    "make_model_devi",
    "run_model_devi",
    "post_model_devi",
    "make_fp",
    "run_fp",
    "post_fp",
)


def make_train(run: ModuleType, stage: Callable, context: Context) -> None:
    """Pretrain, then let DP-GEN prepare fine-tuning from our checkpoints."""
    iteration = context.iteration
    if iteration.index == 0:
        seed.step(context)
    else:
        relabel.step(replace(context, iteration=iteration.previous))  # done, unless its pool is damaged
        forget.step(context, "pretrain")
    pretrain.step(context)
    forget.step(context, "finetune")
    # The pool has changed even if 02.fp added nothing, so DP-GEN must not copy the old models.
    with replaced(run, _check_empty_iter=lambda *_: False):
        stage(iteration.index, fine_tuning(context), context.mdata)
    for member in context.students:
        for name in context.checkpoint_files:
            workdir.link(checkpoint_folder(context, member) / name, iteration.student(member) / "old" / name)
    workdir.unmark(iteration.evaluate)  # of students trained before, if the user has removed their folder


def run_train(run: ModuleType, stage: Callable, context: Context) -> Any:
    """Fine-tune; anew, and as param.json is now, if an earlier start ended because a student diverged."""
    logs = [context.iteration.student(member) / "train.log" for member in context.students]
    if any("NaN detected" in log.read_text(errors="replace") for log in logs if log.is_file()):
        run.make_train(context.iteration.index, context.jdata, context.mdata)
    return stage(context.iteration.index, fine_tuning(context), context.mdata)


def post_train(run: ModuleType, stage: Callable, context: Context) -> Any:
    """Evaluate the fine-tuned students."""
    stage(context.iteration.index, context.jdata, context.mdata)
    for member in context.students:
        pretrain.check_learning_curve(context.iteration.student(member) / "lcurve.out")
    evaluate.step(context)


def make_model_devi(run: ModuleType, stage: Callable, context: Context) -> Any:
    """Explore, unless the held-out error has stopped falling."""
    from dpgen import dlog

    rows = [row for row in evaluate.learning_curve() if row["iteration"] <= context.iteration.index]
    errors = [row["ensemble_force_rmse"] for row in rows]
    dlog.info(
        f"ipip: held-out force RMSE {errors[-1]:.4f} eV/Angstrom (teacher {rows[-1]['teacher_force_rmse']:.4f}), "
        f"pool {rows[-1]['pool_frames']} frames, reference {rows[-1]['reference_frames']} frames"
    )
    reason = evaluate.stop_reason(errors, context.params.stop)
    goes_on = reason is None and stage(context.iteration.index, context.jdata, context.mdata)
    if goes_on:
        context.iteration.stop.unlink(missing_ok=True)  # of a run that has been given more jobs
    else:
        best = workdir.Iteration(rows[evaluate.best_iteration(errors)]["iteration"])
        reason = reason or "model_devi_jobs has no job for this iteration"
        models = [str(model) for model in best.models()]
        workdir.write_json(context.iteration.stop, {"reason": reason, "best_iteration": best.index, "models": models})
        dlog.info(f"ipip: the run ends: {reason}. Best models: {', '.join(models)}")
    return goes_on


def run_model_devi(run: ModuleType, stage: Callable, context: Context) -> Any:
    """Explore; an MD that blows up leaves the frames before."""
    stage(context.iteration.index, context.jdata, explore.tolerant(context))


def make_fp(run: ModuleType, stage: Callable, context: Context) -> Any:
    """Let DP-GEN sort the explored frames and choose candidates, then relabel."""
    from dpgen import dlog

    again = explore.discard_damaged(context)
    if again:
        dlog.warning(f"ipip: {', '.join(map(str, again))}: model_devi.out or frames are damaged; the MD runs again")
        run.run_model_devi(context.iteration.index, context.jdata, context.mdata)
        explore.require_whole(context, again)
    read = run._read_model_devi_file

    def read_model_devi_file(task: str, *arguments: Any, **options: Any) -> np.ndarray:
        return explore.mark_unusable(Path(task), read(task, *arguments, **options))

    with replaced(run, _read_model_devi_file=read_model_devi_file):
        stage(context.iteration.index, {**context.jdata, "detailed_report_make_fp": True}, context.mdata)
    relabel.choose_frames(context)
    relabel.step(context)
    evaluate.write_learning_curve()


def run_fp(run: ModuleType, stage: Callable, context: Context) -> Any:
    """Label candidates with the reference, if any were chosen; DP-GEN would want an fp machine even for none."""
    if any(context.iteration.reference.glob("task.*")):
        stage(context.iteration.index, context.jdata, context.mdata)
        reference.collect(context)


def post_fp(run: ModuleType, stage: Callable, context: Context) -> Any:
    """Collect the reference labels; DP-GEN raises when too many are missing."""
    try:
        stage(context.iteration.index, context.jdata)
    except RuntimeError as error:
        raise IpipError(
            f"{context.iteration.reference}: {error}; more than ratio_failed of the tasks. Mend them, or raise "
            "ratio_failed in param.json, and start again"
        ) from error


STEPS = {
    "make_train": make_train,
    "run_train": run_train,
    "post_train": post_train,
    "make_model_devi": make_model_devi,
    "run_model_devi": run_model_devi,
    "make_fp": make_fp,
    "run_fp": run_fp,
    "post_fp": post_fp,
}


def checkpoint_folder(context: Context, member: int) -> Path:
    """Where the checkpoint lies that one student's fine-tuning starts from."""
    return context.iteration.forgotten("finetune") / f"{member:03d}"


def fine_tuning(context: Context) -> dict[str, Any]:
    """The param.json that makes DP-GEN fine-tune from our checkpoints."""
    folders = [str(checkpoint_folder(context, member)) for member in context.students]
    return {**context.jdata, "training_init_model": True, "training_iter0_model_path": folders}


def install(run: Any) -> None:
    """Wrap the stages of ``dpgen.generator.run``, once.

    Parameters
    ----------
    run : module
        ``dpgen.generator.run``, possibly as ``__main__``.
    """
    if getattr(run, "_ipip_installed", False):
        return
    run._ipip_installed = True
    for name in STAGES:
        setattr(run, name, _wrap(run, name, getattr(run, name)))
    run.normalize = _checked(run.normalize)  # run_iter looks it up here
    run.record_iter = restart.keep_record(run.record_iter)


def _wrap(run: ModuleType, name: str, stage: Callable) -> Callable:
    """The stage with what IPIP adds, seeded and timed; the stage itself without an ``ipip`` section."""

    @functools.wraps(stage)
    def wrapped(index: int, jdata: dict[str, Any], *mdata: dict[str, Any]) -> Any:
        if "ipip" not in jdata:
            return stage(index, jdata, *mdata)
        context = Context(workdir.Iteration(index), Params.from_jdata(jdata), jdata, *(mdata or [{}]))  # post_fp: none

        def seeded(*arguments: Any) -> Any:
            # Only here: each submission calls random.seed, and finished steps submit nothing.
            random.seed(context.seed(name))
            np.random.seed(context.seed(name, "numpy"))
            return stage(*arguments)

        with user_errors(), timed(context, name):
            if name in STEPS:
                return STEPS[name](run, seeded, context)
            return seeded(index, jdata, *mdata)

    return wrapped


def _checked(normalize: Callable) -> Callable:
    """DP-GEN's normalisation, among everything to be checked before a run starts or goes on."""

    @functools.wraps(normalize)
    def wrapped(arginfo: Any, jdata: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        caller = sys._getframe(1).f_locals  # run_iter, which knows the names of the files
        names = caller.get("param_file", "param.json"), caller.get("machine_file", "machine.json")
        if not isinstance(jdata, dict):  # no input of any run
            with user_errors():
                check.load(Path(names[0]))
        if "ipip" not in jdata:
            return normalize(arginfo, jdata, *arguments, **options)
        with user_errors():
            if "mdata" in caller:  # read once more, by a reader that is stricter than DP-GEN's
                check.load_input(*map(Path, names))
            check.require_valid(jdata, caller.get("mdata"), *names)
            restart.claim(Path.cwd())
            jdata = normalize(arginfo, jdata, *arguments, **options)
            changes.require_allowed(jdata, names[0])
            changes.keep(jdata)
            restart.restore_record()  # run_iter reads it next
        return jdata

    return wrapped


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
    with dispatch.submissions(context.params.check_interval) as durations:
        yield
    path = context.iteration.timing
    stages = json.loads(path.read_text()) if path.is_file() else {}
    stages[name] = {"seconds": round(time.monotonic() - start, 2), "dispatched": round(sum(durations), 2)}
    workdir.write_json(path, stages)


@contextmanager
def replaced(module: ModuleType, **attributes: Any) -> Iterator[None]:
    """Replace attributes of a module for a while."""
    originals = {name: getattr(module, name) for name in attributes}
    try:
        for name, value in attributes.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in originals.items():
            setattr(module, name, value)
