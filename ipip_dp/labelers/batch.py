# SPDX-License-Identifier: LGPL-3.0-or-later
"""The work behind ``ipip label``: many frames, some of which fail, in a job that may be killed.

Raw labels are kept as ``output/.partial/*.npz`` while the job runs. A job that is started
again after a kill computes only what is missing. At the end the labels that pass the gate
become deepmd/npy systems, and the marker ``labels.json`` is written last.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.data.frames import take
from ipip_dp.data.gate import check_geometry, check_labels
from ipip_dp.data.systems import write as write_system
from ipip_dp.errors import IpipError
from ipip_dp.labelers import partial_labels
from ipip_dp.labelers.execute import Outcome, Task, run_tasks
from ipip_dp.labelers.frames import periodic_cells
from ipip_dp.labelers.labels_format import FAILED, MARKER, Failure, LabelSummary, read_marker
from ipip_dp.labelers.partial_labels import PARTIAL
from ipip_dp.labelers.progress import Progress
from ipip_dp.labelers.read import read_frames
from ipip_dp.labelers.registry import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import dpdata

    from ipip_dp.data.gate import Gate
    from ipip_dp.labelers.read import FrameGroup

logger = logging.getLogger(__name__)

SAVE_INTERVAL = 10.0  # seconds of finished work that a kill may cost


def label(
    inputs: Sequence[Path],
    output: Path,
    config: dict[str, Any],
    *,
    type_map: Sequence[str],
    gate: Gate,
    fmt: str = "auto",
    workers: int = 1,
    min_success: float = 0.5,
) -> LabelSummary:
    """Label frames and write them as a dpdata ``ipip/labels`` folder.

    A frame that fails takes no other down. Frames that were labelled before a kill are not
    labelled again; a finished output is returned as it is.

    Parameters
    ----------
    inputs : sequence of Path
        Files or data folders; see :func:`ipip_dp.labelers.read.read_frames`.
    output : Path
        Folder to make: deepmd/npy systems (one per composition, atoms in the order of the
        input), ``failed.json`` and ``labels.json``.
    config : dict
        Labeler section.
    type_map : sequence of str
        Elements, in the order of param.json.
    gate : Gate
        Limits for frames and labels.
    fmt : str
        dpdata format of the inputs; "auto" goes by their names.
    workers : int
        Processes that label in parallel.
    min_success : float
        Smallest fraction of labelled frames that counts as success.

    Returns
    -------
    LabelSummary

    Raises
    ------
    IpipError
        If an input cannot be read, the labeler cannot be set up, the output belongs to
        another job, or too few frames were labelled. In the last case ``failed.json`` is
        written, and another start tries the failed frames again.
    """
    groups = read_frames(inputs, type_map, fmt)
    return label_groups(groups, output, config, type_map=type_map, gate=gate, workers=workers, min_success=min_success)


def label_groups(
    groups: Sequence[FrameGroup],
    output: Path,
    config: dict[str, Any],
    *,
    type_map: Sequence[str],
    gate: Gate,
    workers: int = 1,
    min_success: float = 0.5,
    failures: Sequence[Failure] = (),
) -> LabelSummary:
    """Label frames that are in memory; see :func:`label`.

    Parameters
    ----------
    groups : sequence of FrameGroup
        The frames.
    output, config, type_map, gate, workers, min_success
        See :func:`label`.
    failures : sequence of Failure
        Frames that failed already, to be reported with the rest.

    Returns
    -------
    LabelSummary

    Raises
    ------
    IpipError
        See :func:`label`.
    """
    if gate.max_neighbor_distance is None:
        gate = replace(gate, max_neighbor_distance=kind_of(config).neighbor_cutoff(config))
    job = _fingerprint(groups, config, type_map, gate)
    finished = read_summary(output, job)
    if finished is not None:
        return finished
    partial = output / PARTIAL
    if not partial.is_dir() and any(output.rglob("type.raw")):
        raise IpipError(f"{output}: has data already, which are of no labelling job; choose another output folder")
    if (partial / "job.json").is_file() and partial_labels.any_saved(partial):  # without labels it is nobody's
        _check_same_job(json.loads((partial / "job.json").read_text()), job, partial)
    workdir.write_json(partial / "job.json", {"job": job})

    reasons = _label_missing(groups, config, type_map, gate, workers, partial)
    systems = _apply_gate(groups, partial, gate, reasons)
    failures = [*failures] + [
        Failure(*group.sources[i], reasons[g, i])
        for g, group in enumerate(groups)
        for i in range(len(group.sources))
        if (g, i) in reasons
    ]
    labelled = sum(len(system) for system in systems)
    summary = LabelSummary(labelled + len(failures), labelled, tuple(failures))
    workdir.write_json(output / FAILED, [asdict(failure) for failure in failures])
    if labelled < min_success * summary.total:
        raise IpipError(f"{summary}; at least {min_success:.0%} must succeed. All failures: {output / FAILED}")
    names = _write_systems(systems, output, partial)
    workdir.write_json(
        output / MARKER,
        {"job": job, "total": summary.total, "labelled": labelled, "systems": names, "labeler": config},
    )
    shutil.rmtree(partial)
    logger.info("%s: %s", output, summary)
    return summary


def read_summary(output: Path, job: str | None = None) -> LabelSummary | None:
    """Return the summary of a finished output; None when it is not finished.

    Parameters
    ----------
    output : Path
        Output folder of :func:`label`.
    job : str, optional
        Fingerprint the output must have.

    Raises
    ------
    IpipError
        If the output belongs to another job.
    """
    marker = read_marker(output)
    if marker is None:
        return None
    if job is not None:
        _check_same_job(marker, job, output / MARKER)
    failures = json.loads((output / FAILED).read_text())
    return LabelSummary(marker["total"], marker["labelled"], tuple(Failure(**failure) for failure in failures))


def _fingerprint(groups: Sequence[FrameGroup], config: dict[str, Any], type_map: Sequence[str], gate: Gate) -> str:
    settings = json.dumps([config, list(type_map), gate.limits()], sort_keys=True)
    digest = hashlib.sha256(settings.encode())
    for group in groups:
        for name in ("atom_types", "cells", "coords"):
            digest.update(np.ascontiguousarray(group.system[name]).tobytes())
    return digest.hexdigest()


def _check_same_job(found: dict[str, Any], job: str, where: Path) -> None:
    if found["job"] != job:
        raise IpipError(
            f"{where} belongs to another job: other frames, labeler, type_map or gate; "
            "choose another output folder or remove this one"
        )


def _label_missing(
    groups: Sequence[FrameGroup],
    config: dict[str, Any],
    type_map: Sequence[str],
    gate: Gate,
    workers: int,
    partial: Path,
) -> dict[tuple[int, int], str]:
    """Label what is not in `partial` yet; return why (group, frame) failed."""
    kind = kind_of(config)
    reasons: dict[tuple[int, int], str] = {}
    tasks: list[Task] = []
    for g, group in enumerate(groups):
        rejected = check_geometry(group.system["coords"], periodic_cells(group.system.data), gate)
        if group.system.nopbc and kind.needs_cell(config):
            rejected = ["cell: none, but the labeler labels periodic structures only"] * len(rejected)
        reasons.update({(g, i): reason for i, reason in enumerate(rejected) if reason is not None})
        done = {i for frames, _ in partial_labels.saved(partial, g) for i in frames}
        todo = np.array([i for i, reason in enumerate(rejected) if reason is None and i not in done], dtype=int)
        size = min(kind.frames_per_call, -(-len(todo) // workers) or 1)
        tasks += [
            Task(g, todo[start : start + size], group.system[todo[start : start + size]])
            for start in range(0, len(todo), size)
        ]
    total = sum(len(group.sources) for group in groups)
    n_done = total - sum(len(task.frames) for task in tasks)
    if n_done:
        logger.info("%d of %d frames need no labels: done before, or rejected as they are", n_done, total)

    unsaved: list[Outcome] = []
    saved_at = time.monotonic()
    with (
        Progress("labelling", total, "frames") as progress,
        closing(run_tasks(tasks, config, type_map, workers)) as run,
    ):
        progress.update(n_done)
        try:
            for outcome in run:
                reasons.update({(outcome.group, i): reason for i, reason in outcome.reasons.items()})
                unsaved.append(outcome)
                n_done += len(outcome.labels) + len(outcome.reasons)
                progress.update(n_done)
                if time.monotonic() - saved_at > SAVE_INTERVAL:
                    partial_labels.save(partial, unsaved)
                    unsaved, saved_at = [], time.monotonic()
        finally:
            partial_labels.save(partial, unsaved)
    return reasons


def _apply_gate(
    groups: Sequence[FrameGroup], partial: Path, gate: Gate, reasons: dict[tuple[int, int], str]
) -> list[dpdata.LabeledSystem]:
    """Return the labelled frames that pass, one system per group; add the others to `reasons`."""
    import dpdata

    systems = []
    for g, group in enumerate(groups):
        saved = list(partial_labels.saved(partial, g))
        if not saved:
            continue
        frames = np.concatenate([frames for frames, _ in saved])
        order = np.argsort(frames)
        frames = frames[order]
        labels = {name: np.concatenate([labels[name] for _, labels in saved])[order] for name in saved[0][1]}
        rejected = check_labels(labels["energies"], labels["forces"], labels.get("virials"), gate)
        reasons.update({(g, int(i)): r for i, r in zip(frames, rejected, strict=True) if r is not None})
        keep = np.array([reason is None for reason in rejected])
        if keep.any():
            data = take(group.system, frames[keep]).data
            systems.append(dpdata.LabeledSystem(data={**data, **{name: labels[name][keep] for name in labels}}))
    return systems


def _write_systems(systems: Sequence[dpdata.LabeledSystem], output: Path, partial: Path) -> dict[str, int]:
    """Write every system to a folder of its own; return the names and numbers of frames."""
    names: dict[str, int] = {}
    for system in systems:
        # Groups of one composition differ in the order of atoms or in periodicity.
        same = sum(name.split(".")[0] == system.short_name for name in names)
        name = f"{system.short_name}.{same}" if same else system.short_name
        temporary = partial / "system"
        for leftover in (temporary, output / name):  # of a job that was killed here
            shutil.rmtree(leftover, ignore_errors=True)
        write_system(system, temporary)
        os.rename(temporary, output / name)
        names[name] = len(system)
    return names
