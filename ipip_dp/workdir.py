# SPDX-License-Identifier: LGPL-3.0-or-later
"""Every path under ``iter.NNNNNN``, the done-markers and atomic writes.

Nobody else builds a path inside a run folder. Paths are relative to the run
folder, DP-GEN's working directory.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

LEARNING_CURVE = Path("learning_curve.csv")
INIT = Path("init")  # where `ipip init` works
LOCK = Path("ipip.lock")  # locked by the `dpgen run` that works in the folder
GATE = Path("iter.000000/00.ipip/seed/gate.json")  # the bounds of reference data and seed pool
STARTED = Path("iter.000000/00.ipip/param.json")  # the parameters of the latest start
PROGRESS = Path("iter.000000/00.ipip/progress.json")  # what the run is doing, written every few seconds
RECORD = Path("record.dpgen")  # the stages that DP-GEN has finished
RECORD_COPY = Path("iter.000000/00.ipip/record.dpgen")
SUBMISSION = re.compile(r"[0-9a-f]{40}\.json")  # dpdispatcher's record of a submission, beside its tasks


@dataclass(frozen=True)
class Iteration:
    """The folders of one iteration."""

    index: int

    @property
    def root(self) -> Path:
        """``iter.NNNNNN``."""
        return Path(f"iter.{self.index:06d}")

    @property
    def previous(self) -> Iteration:
        """The iteration before this one."""
        return Iteration(self.index - 1)

    @property
    def next(self) -> Iteration:
        """The iteration after this one."""
        return Iteration(self.index + 1)

    @property
    def train(self) -> Path:
        """DP-GEN's training folder."""
        return self.root / "00.train"

    @property
    def exploration(self) -> Path:
        """DP-GEN's exploration folder."""
        return self.root / "01.model_devi"

    @property
    def job(self) -> Path:
        """DP-GEN's copy of this iteration's job, which it reads the trust levels from."""
        return self.exploration / "cur_job.json"

    @property
    def fp(self) -> Path:
        """DP-GEN's folder of reference calculations."""
        return self.root / "02.fp"

    @property
    def ipip(self) -> Path:
        """The folder of everything this package writes."""
        return self.root / "00.ipip"

    @property
    def seed_pool(self) -> Path:
        """Teacher MD (iteration 0 only)."""
        return self.ipip / "seed"

    @property
    def pool(self) -> Path:
        """The pseudo-labelled pool the students of this iteration pretrain on."""
        return self.ipip / "pool"

    @property
    def teacher(self) -> Path:
        """Fine-tuning of the teacher, and the pool relabelled by it."""
        return self.ipip / "teacher"

    @property
    def taught_pool(self) -> Path:
        """The pool, with the labels of the teacher that was fine-tuned in this iteration."""
        return self.teacher / "pool"

    @property
    def pretrain(self) -> Path:
        """Pretraining, one folder per pretrained student."""
        return self.ipip / "pretrain"

    def handover(self, stage: str) -> Path:
        """The checkpoints that stage ``pretrain`` or ``finetune`` starts from, rewritten for it."""
        return self.ipip / "forgotten" / stage

    @property
    def evaluate(self) -> Path:
        """Held-out predictions and ``metrics.json``."""
        return self.ipip / "evaluate"

    @property
    def metrics(self) -> Path:
        """The errors of this iteration's students."""
        return self.evaluate / "metrics.json"

    @property
    def relabel(self) -> Path:
        """Explored frames and their new labels."""
        return self.ipip / "relabel"

    @property
    def explored_counts(self) -> Path:
        """How many frames of every trust class were explored, and how many MD runs there were."""
        return self.relabel / "explored.json"

    @property
    def relabel_summary(self) -> Path:
        """How many explored frames each has labelled, and what became of the pool."""
        return self.relabel / "summary.json"

    @property
    def on_policy(self) -> Path:
        """Errors on explored frames with reference labels."""
        return self.ipip / "on_policy"

    @property
    def on_policy_metrics(self) -> Path:
        """Their median, worst tenth and RMSE."""
        return self.on_policy / "metrics.json"

    @property
    def reference_failures(self) -> Path:
        """The candidates that the reference failed on, with the reasons."""
        return self.ipip / "reference_failed.json"

    @property
    def timing(self) -> Path:
        """How long DP-GEN's stages took, and the jobs they dispatched."""
        return self.ipip / "timing.json"

    @property
    def stop(self) -> Path:
        """Why the run ended here, if it did."""
        return self.ipip / "stop.json"

    def student(self, member: int) -> Path:
        """DP-GEN's training folder of one student."""
        return self.train / f"{member:03d}"

    def models(self) -> list[Path]:
        """Frozen models of this iteration, one per student."""
        return sorted(self.train.glob("graph.*"))


def iterations() -> list[Iteration]:
    """All iterations on disk, in order."""
    return [Iteration(int(path.name[5:])) for path in sorted(Path().glob("iter.[0-9]*")) if path.name[5:].isdigit()]


def is_done(folder: Path) -> bool:
    """Whether a step finished in ``folder`` and its results are still there, of the same size."""
    return (folder / "done").is_file() and not damaged(folder)


def mark_done(folder: Path, results: Iterable[Path] = ()) -> None:
    """Record that a step finished in ``folder``: the last thing a step does.

    ``results`` are the files a later step relies on; see :func:`damaged`.
    """
    write_json(folder / "done", {str(path): path.stat().st_size for path in sorted(results)})


def unmark(folder: Path) -> None:
    """Let the step that works in ``folder`` look again at what there is to do."""
    (folder / "done").unlink(missing_ok=True)


def damaged(folder: Path) -> list[Path]:
    """Results of a finished step that are missing or of another size, as after a crash of the file system."""
    done = folder / "done"
    text = done.read_text() if done.is_file() else ""
    sizes = {Path(name): size for name, size in json.loads(text or "{}").items()}
    return [path for path, size in sizes.items() if not path.is_file() or path.stat().st_size != size]


def write_text(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object for somebody who only looks on; an empty one if it is missing, damaged or no object."""
    try:
        value = json.loads(path.read_text(errors="replace"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a table atomically; the first row's keys are its columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_npz(path: Path, **arrays: Any) -> None:
    """Write arrays to a ``.npz`` file atomically, never pickled."""
    write_arrays(path, arrays.items())


def write_arrays(path: Path, arrays: Iterable[tuple[str, Any]]) -> None:
    """Do what :func:`write_npz` does with one named array after the other, as they come."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:  # np.savez wants all of them in memory
            for name, array in arrays:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # there only if the arrays have come to an error


def write_task(path: Path, value: Any, *results: str) -> None:
    """Write a task's input, unless it is there already with the same content.

    A job that runs or has run keeps the file it started from. If the input has changed,
    the ``results`` an earlier job left beside it are out of date and are removed, with
    dpdispatcher's notes that the task is finished.
    """
    text = json.dumps(value, indent=2) + "\n"
    if path.is_file() and path.read_text() == text:
        return
    redo(path.parent, *results)
    write_text(path, text)


def redo(task: Path, *results: str) -> None:
    """Let a task run again: remove its results, and dpdispatcher's notes that it is finished."""
    for result in (task / name for name in results):
        if result.is_dir() and not result.is_symlink():
            shutil.rmtree(result)
        else:
            result.unlink(missing_ok=True)
    notes = [*task.glob("*_task_tag_finished"), *task.parent.glob("*_job_tag_finished")]
    notes += [path for path in task.parent.glob("*.json") if SUBMISSION.fullmatch(path.name)]
    for note in notes:
        note.unlink()


def link(target: Path, name: Path) -> None:
    """Make ``name`` a relative symbolic link to ``target``, replacing an old link."""
    name.parent.mkdir(parents=True, exist_ok=True)
    temporary = name.with_name(f".{name.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(os.path.abspath(target), os.path.abspath(name.parent)))
    os.replace(temporary, name)


def fresh(folder: Path) -> Path:
    """An empty folder for a step's own temporary files."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
