# SPDX-License-Identifier: LGPL-3.0-or-later
"""On-policy errors: of the students that explored, on frames they explored, before anything trains on these.

The frames are those that DP-GEN's reference has labelled, and an audit's: frames that ``ipip.reference`` labels for
measurement only. Writes ``frames.csv``, which the labelling of explored frames learns from, and ``metrics.json``.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.data import labelled, systems
from ipip_dp.evaluation import curve, on_policy
from ipip_dp.evaluation.on_policy import CLASSES
from ipip_dp.labelers import predict
from ipip_dp.steps import explored, labelling
from ipip_dp.steps.labelling import PREDICTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipip_dp.evaluation.on_policy import Row
    from ipip_dp.steps.context import Context

LABELERS: tuple[labelling.Who, ...] = ("students", "teacher")
FRAMES = "frames.csv"
CHOICE = "choice.json"  # the frames of an audit: set -> rows
TEXTS = ("system", "trust_class", "stratum")


def read_rows(iteration: workdir.Iteration) -> list[Row]:
    """The errors of every labelled frame of an iteration, as in :func:`ipip_dp.evaluation.on_policy.frame_errors`."""
    path = iteration.on_policy / FRAMES
    if not path.is_file():
        return []
    with path.open() as file:
        return [
            {name: text if name in TEXTS else float(text) for name, text in row.items()} for row in csv.DictReader(file)
        ]


def audit(context: Context) -> dict[str, Path]:
    """Label frames for measurement only; returns the folders of labels by trust class."""
    asked = context.params.evaluate.audit_frames
    if not asked:
        return {}
    by_fp = any(context.iteration.fp.glob("task.*"))
    classes = [name for name in CLASSES if not (by_fp and name == "candidate")]
    found = {
        name: [
            (part, row)
            for system in explored.written(context, name)
            for part, rows in systems.blocks(system)
            for row in range(rows.start, rows.stop)
        ]
        for name in classes
    }
    folders = {}
    for name, number in _shares({name: len(rows) for name, rows in found.items()}, asked).items():
        task = context.iteration.on_policy / "audit" / name
        chosen = explored.by_set(explored.draw(found[name], number, context.random_seed("audit", name)))
        workdir.write_task(task / CHOICE, {"of": explored.digest(context), "rows": chosen}, "frames", "labels")
        if not (task / "frames").is_dir():
            explored.write_chosen(context, chosen, task / "frames")
        labelling.prepare(context, "reference", task, "labels")
        folders[name] = task / "labels"
    if folders:  # through the gate that no data have narrowed: what is measured must not be chosen by its forces
        gate = context.params.gate.gate()
        work_path = context.iteration.on_policy / "audit"
        labelling.label(context, "reference", work_path, list(folders), gate=gate, min_success=0)
    return folders


def _shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Frames of each class, as even as there are enough."""
    shares = dict.fromkeys(sizes, 0)
    for _ in range(min(total, sum(sizes.values()))):
        name = min((name for name in sizes if shares[name] < sizes[name]), key=lambda name: shares[name])
        shares[name] += 1
    return {name: share for name, share in shares.items() if share}


def labelled_systems(context: Context, audited: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """Stratum and folder of every system with reference labels.

    DP-GEN labels candidates, some of each entry of sys_configs: ``candidate.SSS``. An audit draws from a whole class.
    """
    by_fp = [
        (f"candidate{folder.suffix}", path)
        for folder in sorted(context.iteration.fp.glob("data.*"))
        for path in systems.find([folder])
    ]
    return by_fp + [(name, path) for name, folder in audited.items() for path in systems.below(folder)]


def _strata(context: Context) -> dict[str, int]:
    """How many frames were explored in every stratum."""
    counts, fp = explored.counts(context), context.iteration.fp
    found = {name: counts[name] for name in CLASSES}
    if any(fp.glob("data.*")):
        del found["candidate"]
        tasks = (Path(task).name for task, _ in explored.listed(fp, "candidate"))
        found.update(Counter(f"candidate.{name.split('.')[1]}" for name in tasks))  # of task.SSS.CCCCCC
    return found


def _digest(system: Path) -> str:
    return hashlib.sha256(b"".join(labelled.frame_digests(system))).hexdigest()


def collect(context: Context, known: list[tuple[str, Path]]) -> None:
    """Write the errors."""
    folder = context.iteration.on_policy
    students, teacher = (
        (str(path), predict.load(path)) for path in (folder / labeler / PREDICTIONS for labeler in LABELERS)
    )
    reference = (
        (block.short_name, stratum, block.data)
        for stratum, path in known
        for block in labelled.read(path, context.type_map)
    )
    rows, elements = on_policy.frame_errors(reference, students, teacher)
    workdir.write_csv(folder / FRAMES, rows)
    summary = on_policy.summary(rows, _strata(context))
    workdir.write_json(context.iteration.on_policy_metrics, {**summary, "elements": elements})
    _log(summary)


def _log(summary: Mapping[str, Any]) -> None:
    from dpgen import dlog

    error, teacher = (summary[model]["force_median"] for model in ("ensemble", "teacher"))
    dlog.info(
        f"ipip: on {summary['n_frames']} explored frames with reference labels the median force RMSE is {error:.4f} "
        f"eV/Angstrom (teacher {teacher:.4f})"
    )


def step(context: Context) -> None:
    """Measure errors on explored frames, if any has got a reference label."""
    folder = context.iteration.on_policy
    if workdir.is_done(folder) or not explored.counts(context):
        return
    known = labelled_systems(context, audit(context))
    if known:
        shutil.rmtree(folder / "frames", ignore_errors=True)
        for number, (_, path) in enumerate(known):
            workdir.link(path, folder / "frames" / f"{number:04d}")
        digests = {str(path): _digest(path) for _, path in known}
        for labeler in LABELERS:
            workdir.write_task(folder / labeler / "frames.json", digests, PREDICTIONS)
            labelling.prepare(context, labeler, folder / labeler, PREDICTIONS)
            labelling.predict(context, labeler, folder, "frames")
        collect(context, known)
        curve.write()
    workdir.mark_done(folder, folder.glob("*.*"))
