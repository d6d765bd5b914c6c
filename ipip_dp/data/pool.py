# SPDX-License-Identifier: LGPL-3.0-or-later
"""The pseudo-labelled pool: ``POOL/<formula>[.open]/{type.raw,type_map.raw,set.NNNNNN/*.npy}``.

A pool is plain deepmd/npy that ``dp train`` reads as it is, with the provenance arrays of
:mod:`ipip_dp.data.provenance` in every set. Nothing here holds more than one block of frames in
memory.

Frames are stored in single precision, which halves the disk space. dpdata's default is
double, but rounding the coordinates of Mo-S-O structures to float32 changes their GFN1-xTB
forces by 1e-6 to 6e-6 eV/Angstrom (RMS). The six digits (``%g``) of the LAMMPS dumps that
explored frames come from cost 20 to 100 times more, and the error of a teacher is of the
order of 0.1 to 1. DeePMD-kit converts to its own precision when it reads.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING

import dpdata
import numpy as np

from ipip_dp.data import elements, provenance, systems
from ipip_dp.data.frames import sorted_by_type
from ipip_dp.data.provenance import LabelSource
from ipip_dp.data.shuffle import Source, shuffled
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

SET_SIZE = 5000
"""Frames per set, dpdata's own default."""

_PRECISION = np.float32
_HISTORY = "pool.json"


@dataclass(frozen=True)
class PoolSummary:
    """What is in a pool, and how it came about.

    Attributes
    ----------
    kept, dropped : int
        Frames of the previous pool that were retained and forgotten.
    added : int
        New frames.
    formulas : Mapping[str, int]
        Frames per formula.
    labels : Mapping[str, Mapping[int, int]]
        Frames per label source, by the lower-case name of :class:`LabelSource`, and iteration in which they were
        labelled; frames of unknown provenance are not counted.
    """

    kept: int
    dropped: int
    added: int
    formulas: Mapping[str, int]
    labels: Mapping[str, Mapping[int, int]]

    @property
    def n_frames(self) -> int:
        """Frames in the pool."""
        return self.kept + self.added


def append(pool: Path, system: dpdata.LabeledSystem, set_size: int = SET_SIZE) -> None:
    """Add frames to a pool under construction, as new sets.

    Sets appear complete or not at all, but a call is not idempotent: after a crash, start
    the pool anew. Atoms are stored sorted by type.

    Parameters
    ----------
    pool : Path
        The pool's folder; made when missing.
    system : dpdata.LabeledSystem
        Frames with forces, and provenance if they have one (:func:`ipip_dp.data.provenance.mark`), whose
        atom_names are the whole type_map, elements without atoms included.
    set_size : int
        Frames per set; the last set has the remainder.

    Raises
    ------
    IpipError
        If the type_map differs from the pool's, or data are missing.
    """
    if not system.get_nframes():
        return
    missing = sorted(set(systems.LABELLED) - system.data.keys())
    if missing:
        raise IpipError(f"{pool}: cannot add {system.formula}: it has no {', '.join(missing)}")
    target = pool / _name(system.short_name, system.nopbc)
    # one is enough, the others have been compared to it
    elements.require_same_elements(
        [path.parent for path in islice(pool.glob("*/type_map.raw"), 1)], system.get_atom_names()
    )
    pool.mkdir(parents=True, exist_ok=True)
    scratch = _scratch(pool)
    systems.write(sorted_by_type(system), scratch, set_size, _PRECISION)
    destination = target if target.exists() else scratch
    first = len(systems.sets(target))
    for number, folder in enumerate(systems.sets(scratch), start=first):
        folder.rename(destination / f"set.{number:06d}")
    if destination is scratch:
        scratch.rename(target)
    else:
        shutil.rmtree(scratch)


def grow(
    previous: Path | None,
    new: Sequence[Path],
    target: Path,
    *,
    retention: float,
    seed: int,
    without: LabelSource | None = None,
    set_size: int = SET_SIZE,
) -> PoolSummary:
    """Write the next pool: a random part of the previous one, and all new frames.

    All frames of a formula are shuffled over its sets, because DeePMD-kit's TensorFlow
    loader reads the sets in order (``DeepmdData.get_batch``): a training shorter than the
    pool would otherwise never see the new frames. Optional data, such as virials and provenance, are
    kept for a formula only when every set that contributes to it has them.

    Parameters
    ----------
    previous : Path or None
        The previous pool; None for the first one.
    new : Sequence[Path]
        Folders with the new frames, written by :func:`append` or with the same content.
    target : Path
        The new pool. When it exists it is complete, and left as it is.
    retention : float
        Fraction of the previous pool to keep, 0 to 1, rounded per formula.
    seed : int
        Seed of the draw; results do not depend on which other formulas there are.
    without : LabelSource or None
        Frames of the previous pool that they have labelled are dropped.
    set_size : int
        Frames per set.

    Returns
    -------
    PoolSummary
        What was kept, dropped and added.

    Raises
    ------
    IpipError
        If type maps differ, data are missing or damaged, or there would be no frame.
    """
    if target.exists():
        return summary(target)
    old = [previous] if previous else []
    elements.require_same_elements([system for folder in (*old, *new) for system in systems.below(folder)])
    old_frames, new_frames = _sources_by_formula(old), _sources_by_formula(new)

    kept = dropped = added = 0
    scratch = _scratch(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    for formula in sorted({*old_frames, *new_frames}):
        rng = np.random.default_rng([seed, *formula.encode()])
        n_old = sum(source.n_frames for source in old_frames[formula])
        unwanted = [labelled_by(without, source) for source in old_frames[formula]]
        eligible = np.flatnonzero(~np.concatenate([np.zeros(0, dtype=bool), *unwanted]))
        n_new = sum(source.n_frames for source in new_frames[formula])
        retained = np.sort(rng.choice(eligible, size=round(retention * len(eligible)), replace=False))
        chosen = np.concatenate([retained, np.arange(n_old, n_old + n_new)])
        sources = old_frames[formula] + new_frames[formula]
        for system in shuffled(sources, chosen, rng, systems.LABELLED, _PRECISION, set_size, target.parent):
            append(scratch, system, set_size)
        kept += len(retained)
        dropped += n_old - len(retained)
        added += n_new
    if not kept + added:
        raise IpipError(
            f"{target}: the pool would be empty: no new frame in {', '.join(map(str, new)) or 'no folder'}, and "
            f"none kept of {dropped} old frames; look at why labels were rejected, or raise pool.retention"
        )
    (scratch / _HISTORY).write_text(json.dumps({"kept": kept, "dropped": dropped, "added": added}) + "\n")
    result = summary(scratch)
    scratch.rename(target)
    logger.info("pool %s: %s", target, asdict(result))
    return result


def remove(pool: Path) -> None:
    """Delete a pool; a crash leaves either all of it, or nothing that could be taken for a pool.

    What a crash has left of it goes, too. A pool that cannot be deleted is no reason to stop.
    """
    doomed = pool.with_name(f"{pool.name}.removed")
    try:
        if doomed.exists():
            shutil.rmtree(doomed)
        if pool.exists():
            os.rename(pool, doomed)
            shutil.rmtree(doomed)
    except OSError as error:
        logger.warning("%s is no longer needed, but cannot be removed: %s", pool, error)


def files(pool: Path) -> list[Path]:
    """Return every file of a pool."""
    return [path for path in pool.rglob("*") if path.is_file()]


def summary(pool: Path) -> PoolSummary:
    """Count the frames of a pool.

    Raises
    ------
    IpipError
        If files are missing or damaged, or frames were added or removed since the pool
        was written.
    """
    formulas: Counter[str] = Counter()
    labels: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for formula, sources in _sources_by_formula([pool]).items():
        formulas[formula] += sum(source.n_frames for source in sources)
        for folder in dict.fromkeys(source.folder for source in sources):
            for source, iteration in _origins(folder):
                labels[LabelSource(source).name.lower()][iteration] += 1
    total = formulas.total()
    history = {"kept": 0, "dropped": 0, "added": total}
    if (pool / _HISTORY).exists():
        history = json.loads((pool / _HISTORY).read_text())
    if history["kept"] + history["added"] != total:
        raise IpipError(
            f"{pool}: holds {total} frames, but was written with {history['kept'] + history['added']} "
            f"({_HISTORY}); pools must not be edited: remove it to have it written again"
        )
    return PoolSummary(
        **history, formulas=dict(formulas), labels={source: dict(counts) for source, counts in labels.items()}
    )


def labelled_by(who: LabelSource | None, source: Source) -> np.ndarray:
    """Which frames somebody has labelled, if it is known; shape (n_frames,)."""
    path = source.folder / f"{provenance.LABEL_SOURCE}.npy"
    if who is None or not path.is_file():
        return np.zeros(source.n_frames, dtype=bool)
    return systems.load(path)[source.rows] == who


def rows_labelled_by(who: LabelSource, system: Path) -> list[tuple[Path, int]]:
    """Set and row of every frame of a system of a pool that somebody has labelled, as far as it is known."""
    return [
        (source.folder, source.rows.start + int(row))
        for source in (Source(*block) for block in systems.blocks(system))
        for row in np.flatnonzero(labelled_by(who, source))
    ]


def _origins(folder: Path) -> Iterable[tuple[int, int]]:
    """Label source and iteration of every frame of a set; nothing where they are unknown."""
    paths = [folder / f"{name}.npy" for name in (provenance.LABEL_SOURCE, provenance.LABEL_ITERATION)]
    if not all(path.is_file() for path in paths):
        return []
    return zip(*(systems.load(path).tolist() for path in paths), strict=True)


def _sources_by_formula(folders: Iterable[Path]) -> defaultdict[str, list[Source]]:
    found: defaultdict[str, list[Source]] = defaultdict(list)
    for folder in folders:
        for system in systems.below(folder):
            empty = dpdata.System()
            empty.data.update(elements.read_types(system))
            found[_name(empty.short_name, systems.is_open(system))] += [
                Source(*block) for block in systems.blocks(system)
            ]
    return found


def _name(formula: str, is_open: bool) -> str:
    """The folder of frames in a pool; DeePMD-kit cannot mix open and periodic ones in one system."""
    return f"{formula}.open" if is_open else formula


def _scratch(target: Path) -> Path:
    """Return an unused name beside the target, clearing what a crash may have left there.

    Beside and not inside, since leftovers inside a data folder would be read as data.
    """
    scratch = target.with_name(f"{target.name}.tmp")
    if scratch.exists():
        shutil.rmtree(scratch)
    return scratch
