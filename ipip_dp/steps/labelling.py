# SPDX-License-Identifier: LGPL-3.0-or-later
"""Submit a labelling: the one place that knows which labeler needs which section, files and command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.labelers import labeler_files
from ipip_dp.running import dispatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipip_dp.data.gate import Gate
    from ipip_dp.steps.context import Context

LABELER = "labeler.json"
PREDICTIONS = "predictions.npz"
Who = Literal["students", "teacher", "raw_teacher", "reference"]


@dataclass(frozen=True)
class Source:
    """A labeler of the run.

    Parameters
    ----------
    config : dict
        Its section, as a task sees it.
    files : dict of str to Path
        What it needs in a task folder: names there, and where they are in the run folder.
    section : str
        The machine section it runs in.
    """

    config: dict[str, Any]
    files: dict[str, Path]
    section: str


def source(context: Context, who: Who) -> Source:
    """The labeler that stands for a word: this iteration's students or teacher, the teacher of the seed, the reference.

    Raises
    ------
    IpipError
        If a file lies outside the run folder, or there is no reference.
    """
    if who == "students":  # run by DeePMD-kit, as trainings are; compiled ones only where DP-GEN has compiled them
        models = {model.name: model for model in context.iteration.models()}
        section = "model_devi" if context.model_format == "pt2" else "ipip_pretrain"
        return Source({"type": "dp", "models": list(models)}, models, section)
    labelers = {
        "teacher": context.teacher,
        "raw_teacher": context.params.teacher,
        "reference": context.params.reference,
    }
    config = labelers[who]
    if config is None:
        raise IpipError("ipip.reference is missing")
    files = {name: Path(name) for name in labeler_files(config)}
    if who == "teacher" and context.params.teacher_fine_tune is not None:
        task = context.taught_since.teacher / "task"
        files.update({name: task / name for name in context.params.teacher_fine_tune["results"]})
    return Source(config, files, "ipip_label")


def prepare(context: Context, who: Who, task: Path, *results: str) -> None:
    """Link a labeler's files into a task folder, and write its section to ``labeler.json``.

    ``results`` of another labeler are removed, see :func:`ipip_dp.workdir.write_task`.
    """
    link_files(context, who, task)
    workdir.write_task(task / LABELER, source(context, who).config, *results)


def link_files(context: Context, who: Who, task: Path) -> None:
    """Link a labeler's files into a task folder."""
    for name, path in source(context, who).files.items():
        workdir.link(path, task / name)


def submit(
    context: Context,
    who: Who,
    work_path: Path,
    tasks: Sequence[str],
    command: Sequence[str],
    *,
    forward: Sequence[str],
    common: Sequence[str] = (),
    backward: Sequence[str],
    min_success: float = 1.0,
) -> dict[str, str]:
    """Run a command that uses a labeler in task folders, where it is; see :func:`ipip_dp.running.dispatch.submit`."""
    labeler = source(context, who)
    return dispatch.submit(
        context.mdata,
        labeler.section,
        work_path,
        tasks,
        command,
        forward=[*forward, *labeler.files],
        common=common,
        backward=backward,
        min_success=min_success,
    )


def label(context: Context, who: Who, work_path: Path, tasks: Sequence[str], *, gate: Gate, min_success: float) -> None:
    """Label ``frames`` of every task folder, made ready by :func:`prepare`, into ``labels``."""
    command = ["ipip", "label", "frames", "labels", "--labeler", LABELER, "--type-map", ",".join(context.type_map)]
    for name, limit in gate.limits().items():
        command += [f"--{name.replace('_', '-')}", str(limit)]
    command += ["--min-success", str(min_success)]
    if source(context, who).section == "ipip_label":
        command += ["--workers", str(dispatch.workers(context.mdata))]
    submit(context, who, work_path, tasks, command, forward=["frames", LABELER], backward=["labels"])


def predict(context: Context, who: Who, work_path: Path, frames: str) -> None:
    """Predict the labelled systems of a folder beside the task folder of a labeler, into ``predictions.npz``."""
    command = ["ipip", "predict", f"../{frames}", PREDICTIONS, "--labeler", LABELER]
    command += ["--type-map", ",".join(context.type_map)]
    submit(
        context,
        who,
        work_path,
        [who],
        command,
        forward=[LABELER],
        common=[str(path.relative_to(work_path)) for path in sorted((work_path / frames).glob("*/*"))],
        backward=[PREDICTIONS],
    )
