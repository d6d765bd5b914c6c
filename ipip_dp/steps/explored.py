# SPDX-License-Identifier: LGPL-3.0-or-later
"""Explored frames: which of them may be labelled, written down before DP-GEN removes the trajectories.

DP-GEN itself has sorted the frames: its lists ``02.fp/{rest_accurate,candidate,rest_failed}.shuffled.SSS.out`` are
read here, so that every way of selecting it knows is honoured. What is drawn of each stands in
``explored/{accurate,candidate,failed}`` of the relabelling.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import dumps, provenance, systems
from ipip_dp.data.frames import joined, take
from ipip_dp.errors import IpipError
from ipip_dp.steps import explore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import dpdata

    from ipip_dp.data.provenance import LabelSource
    from ipip_dp.steps.context import Context

LISTS = {"accurate": "rest_accurate", "candidate": "candidate", "failed": "rest_failed"}  # DP-GEN's, by trust class
CHOICE = "frames.json"  # the frames of a trust class: task of 01.model_devi -> [[MD step, deviation], ...]
FRAMES_PER_SYSTEM = 5000  # about so many are written at once

Frame = tuple[str, int]  # task folder of 01.model_devi, MD step


def listed(fp: Path, trust_class: str) -> list[Frame]:
    """The frames of a trust class, as DP-GEN has sorted them, in order."""
    steps: dict[str, list[int]] = defaultdict(list)
    for path in sorted(fp.glob(f"{LISTS[trust_class]}.shuffled.*.out")):
        with path.open() as file:
            for line in file:
                task, step = line.split()[:2]
                steps[task].append(int(step))
    return [(task, step) for task in sorted(steps) for step in sorted(steps[task])]


def draw(frames: Sequence[Any], maximum: int, seed: int) -> list[Any]:
    """At most ``maximum`` frames, drawn at random and in order."""
    if len(frames) <= maximum:
        return list(frames)
    chosen = np.random.default_rng(seed).choice(len(frames), maximum, replace=False)
    return [frames[i] for i in sorted(chosen)]


def folder(context: Context, trust_class: str) -> Path:
    """Where the frames of a trust class stand, in ``frames``."""
    return context.iteration.relabel / "explored" / trust_class


def choose(context: Context, levels: Sequence[float]) -> bool:
    """Draw frames of every trust class, and count all of them.

    Parameters
    ----------
    levels : sequence of float
        The trust levels that they were sorted by, in eV/Angstrom.

    Returns
    -------
    bool
        Whether they are others than an earlier call has chosen.
    """
    fp, changed = context.iteration.fp, False
    found = {trust_class: listed(fp, trust_class) for trust_class in LISTS}
    for trust_class, limit in _limits(context).items():
        frames = found[trust_class]
        if trust_class == "failed" and limit:  # without what is no whole frame
            usable = {task: explore.usable(Path(task)) for task, _ in frames}
            frames = [(task, step) for task, step in frames if step in usable[task]]
        value = {}
        chosen = draw(frames, limit, context.random_seed(trust_class))
        for task, steps in itertools.groupby(chosen, key=lambda frame: frame[0]):
            deviation = explore.deviations(Path(task))
            value[task] = [[step, deviation[step]] for _, step in steps]
        file = folder(context, trust_class) / CHOICE
        changed |= file.is_file() and json.loads(file.read_text()) != value
        workdir.write_task(file, value, "frames")
    tasks = explore.tasks(context)
    failed = {task for task, _ in found["failed"]}
    blown_up = [task for task in tasks if explore.blew_up(task)]
    held = [task for task in tasks if str(task) not in failed and task not in blown_up]
    frames_of = {trust_class: len(frames) for trust_class, frames in found.items()}
    md = {"md": len(tasks), "blown_up": len(blown_up), "held": len(held)}
    workdir.write_json(context.iteration.explored_counts, {**frames_of, **md, "trust_levels": list(levels)})
    return changed


def _limits(context: Context) -> dict[str, int]:
    """How many frames of every trust class may be wanted, whoever labels them."""
    settings = context.params.relabel
    either = max(settings.max_in_domain, settings.max_candidates)
    if settings.rule == "trust_levels":
        return {"accurate": settings.max_in_domain, "candidate": settings.max_candidates, "failed": 0}
    if settings.rule == "expected_error":
        return {"accurate": either, "candidate": either, "failed": settings.max_candidates}
    limit = settings.max_in_domain if settings.rule == "students" else settings.max_candidates
    return {"accurate": limit, "candidate": limit, "failed": 0}


def by_set(rows: Iterable[tuple[Path, int]]) -> dict[str, list[int]]:
    """Frames, given as set and row, grouped by their set, as JSON has them."""
    grouped: dict[str, list[int]] = defaultdict(list)
    for part, row in rows:
        grouped[str(part)].append(row)
    return grouped


def write_chosen(
    context: Context, chosen: Mapping[str, Sequence[int]], target: Path, source: LabelSource | None = None
) -> None:
    """Write some frames of sets, without labels, for somebody to label; with ``source``, marked with who is to."""
    temporary = workdir.fresh(target.with_name(f".{target.name}.tmp"))
    for number, (part, rows) in enumerate(chosen.items()):
        frames = systems.read_unlabelled(Path(part).parent, context.type_map, [Path(part)])
        system = take(frames, np.array(rows))
        if source is not None:
            provenance.mark(system, source, context.iteration.index, system[provenance.MODEL_DEVIATION])
        systems.write(system, temporary / f"{number:04d}")
    temporary.rename(target)


def digest(context: Context) -> str:
    """A digest of which frames have been chosen."""
    chosen = [(folder(context, trust_class) / CHOICE).read_bytes() for trust_class in LISTS]
    return hashlib.sha256(b"".join(chosen)).hexdigest()


def counts(context: Context) -> dict[str, Any]:
    """How many frames of every trust class there were, and how many MD runs; none before version 0.2.

    ``trust_levels`` are what they were sorted by, in eV/Angstrom.
    """
    path = context.iteration.explored_counts
    return json.loads(path.read_text()) if path.is_file() else {}


def written(context: Context, trust_class: str) -> list[Path]:
    """The systems of the chosen frames of a trust class."""
    frames = folder(context, trust_class) / "frames"
    return systems.below(frames) if frames.is_dir() else []


def write(context: Context) -> None:
    """Write the chosen frames, with their deviations, if they are not there."""
    for trust_class in LISTS:
        target = folder(context, trust_class) / "frames"
        chosen = json.loads((target.parent / CHOICE).read_text())
        if chosen and not target.is_dir():
            write_frames(context, chosen, target)


def write_frames(context: Context, frames: Mapping[str, Sequence[tuple[int, float]]], target: Path) -> None:
    """Write explored frames as deepmd/npy systems below ``target``.

    In memory are one trajectory at a time, and frames of each composition until they fill a set.

    Parameters
    ----------
    frames : Mapping of str to sequence of (int, float)
        Of every task of 01.model_devi, MD steps and maximum force deviations, in eV/Angstrom.
    """
    temporary = workdir.fresh(target.with_name(f".{target.name}.tmp"))
    groups: dict[tuple[object, ...], list[dpdata.System]] = defaultdict(list)
    number = itertools.count()

    def write(parts: Sequence[dpdata.System]) -> None:
        systems.write(joined(parts), temporary / f"{next(number):04d}")

    for task, rows in frames.items():
        steps, deviations = zip(*rows, strict=True)
        for system, deviation in _read(context, task, steps, np.array(deviations)):
            system.data[provenance.MODEL_DEVIATION] = deviation
            atoms = (*system["atom_types"], system.nopbc)
            groups[atoms].append(system)
            if sum(map(len, groups[atoms])) >= FRAMES_PER_SYSTEM:
                write(groups.pop(atoms))
    for parts in groups.values():
        write(parts)
    if target.exists():
        shutil.rmtree(target)
    temporary.rename(target)


def _read(
    context: Context, task: str, steps: Sequence[int], deviations: np.ndarray
) -> Iterator[tuple[dpdata.System, np.ndarray]]:
    """Frames of one trajectory, and their deviations."""
    wanted = set(steps)
    texts = {step: text for step, text in explore.frames(Path(task)) if step in wanted}
    for step, deviation in zip(steps, deviations, strict=True):  # one by one, for atoms may change
        try:
            yield dumps.parse(texts[step], context.type_map), deviation[None]
        except ValueError as error:
            raise IpipError(f"{task}: MD step {step}: {error}") from None
