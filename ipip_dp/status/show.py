# SPDX-License-Identifier: LGPL-3.0-or-later
"""The status of a run in words and tables, on 50 columns or more."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ipip_dp import workdir
from ipip_dp.pace import duration
from ipip_dp.status.life import jobs_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.table import Table
    from rich.text import Text

    from ipip_dp.status.models import Best
    from ipip_dp.status.state import Status

# Title -> heading -> column of the learning curve.
TABLES = {
    "Force error on held-out frames (RMSE, eV/Angstrom)": {
        "iter.": "iteration",
        "pool": "pool_frames",
        "labels": "reference_frames",
        "teacher": "teacher_force_rmse",
        "student": "student_force_rmse",
        "mean": "ensemble_force_rmse",
    },
    "Virial error on held-out frames (RMSE, eV/atom)": {
        "iter.": "iteration",
        "teacher": "teacher_virial_rmse_per_atom",
        "mean": "ensemble_virial_rmse_per_atom",
    },
    "Exploration: MD runs, and their frames": {
        "iter.": "iteration",
        "runs": "md",
        "held": "md_held",
        "accurate": "in_domain",
        "candidate": "candidate",
        "failed": "failed",
    },
    "Force error where MD went (median, eV/Angstrom)": {
        "iter.": "iteration",
        "labels": "on_policy_frames",
        "teacher": "on_policy_teacher_force_median",
        "mean": "on_policy_force_median",
    },
}
LEGEND = (
    "pool: frames that students pretrain on; labels: of the reference; student: average of the students; "
    "mean: their mean prediction"
)
STILL_RUNNING = 60.0  # seconds since a job wrote, within which it may be alive
VERBATIM: Literal["fold"] = "fold"  # how a line overflows that is to be copied


def renderables(status: Status, typed: Path) -> list[Text | Table]:
    """The status for a terminal.

    Parameters
    ----------
    typed : Path
        The run folder as the user gave it, for the paths.
    """
    from rich.text import Text

    lines = [Text(line) for line in _sentences(status, typed)]
    for line in _model(status.best, typed) if status.best is not None else ():
        lines.append(Text(line, overflow=VERBATIM if line.startswith(" ") else "crop"))
    return [*lines, *_tables(status.curve)]


def document(status: Status) -> dict[str, Any]:
    """The status for JSON, which has no nan: null stands for it. Paths are relative to its folder."""
    value = asdict(status)
    if status.work is not None and status.left is not None:
        value["expected_end"] = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(time.time() + status.left))
    if status.best is not None:
        value["best"]["lammps"] = status.best.lammps([str(status.best.model)])
    return json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)


def _sentences(status: Status, typed: Path) -> Iterator[str]:
    where = "" if typed == Path() else f" in {typed}"
    if status.state == "not started":
        yield "Not started."
        if status.missing:
            yield f"Missing: {', '.join(status.missing)}."
        if status.init:
            yield f"To {'go on making' if workdir.INIT.is_dir() else 'make'} that{where}, type: {status.init}"
        yield f"To start{' then' if status.missing else ''}{where}, type: {status.command}"
    elif status.state == "plain DP-GEN":
        yield f"A plain DP-GEN run: {status.why}."
    elif status.state == "finished":
        yield f"Finished: {status.why}."
    elif status.state == "stopped":
        yield f"Stopped here ({status.why})."
        yield from (f"It ended with: {line}" for line in status.said)
        yield f"To go on{where}, type: {status.command}"
    else:
        state = "Waiting for a queue" if status.state == "waiting" else "Running"
        yield f"{state} ({status.why})."
    if status.stage is not None:
        yield from _stage(status)
    if status.seconds:
        yield f"Finished stages took {duration(status.seconds)}."


def _stage(status: Status) -> Iterator[str]:
    stage = status.stage
    assert stage is not None
    is_past = status.state in ("stopped", "plain DP-GEN")
    yield (
        f"Iteration {stage.iteration}, {stage.step} (DP-GEN's stage {stage.task:02d}, {stage.name}"
        f"{', the first that has not finished' if is_past else ''}), in {stage.folder}"
    )
    if status.work is not None:
        yield f"  {status.work.describe(status.left)}"
        if status.left is not None:
            yield f"  expected end of this step: {_clock(time.time() + status.left)}"
        if status.work.written is not None:
            ago = max(0.0, time.time() - status.work.written)
            alone = status.state == "stopped" and ago < STILL_RUNNING
            yield f"  its jobs last wrote {duration(ago)} ago{'; if they still run, they are taken up' * alone}"
    if status.jobs and not (status.work and status.work.begun):
        yield f"  {jobs_in_words(status.jobs)}"
    if status.retried:
        yield f"  jobs that failed and were submitted again: {status.retried}"


def _clock(when: float) -> str:
    """A time of day, with the date if that is not today's."""
    today = time.strftime("%x", time.localtime(when)) == time.strftime("%x")
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", time.localtime(when))


def _model(best: Best, typed: Path) -> Iterator[str]:
    def lines(models: tuple[Path, ...], options: str = "") -> Iterator[str]:
        yield from (f"  {line}" for line in best.lammps([str(typed / model) for model in models], options))

    worse = "" if best.force_rmse < best.teacher_force_rmse else "; it is worse than the teacher"
    yield (
        f"For MD, take the best student of iteration {best.iteration}: {best.force_rmse:.4f} eV/Angstrom on held-out "
        f"frames (teacher: {best.teacher_force_rmse:.4f}){worse}"
    )
    yield from lines((best.model,))
    if best.ignores_virials:
        yield "For constant volume only: its pressures mean nothing, as loss.limit_pref_v is 0"
    if len(best.ensemble) > 1:
        yield f"With model deviation, all its students; their mean has {best.ensemble_force_rmse:.4f}"
        yield from lines(best.ensemble, " out_freq 100 out_file model_devi.out")


def _tables(rows: tuple[Mapping[str, Any], ...]) -> Iterator[Text | Table]:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for title, columns in TABLES.items():
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for name in columns:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            values = [row[key] for key in columns.values()]
            if any(value != "" for value in values[1:]):
                table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in values))
        if table.row_count:
            yield Text(f"\n{title}", style="bold")
            yield table
    if rows:
        yield Text(f"\n{LEGEND}")
