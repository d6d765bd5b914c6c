# SPDX-License-Identifier: LGPL-3.0-or-later
"""Frames of many sets in random order: in bounded memory, and in time that grows linearly.

Every frame is read and written twice, however many there are. First each goes, as a record,
to the part of a temporary file that belongs to its block; then the records of one block
after the other are put in order. (To gather block after block from the sets would read all
sets once per block.)
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dpdata
import numpy as np

from ipip_dp.data import systems
from ipip_dp.data.frames import frame_arrays

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

BLOCK_BYTES = 2**25
"""Frames in a block, 20,000 of 64 atoms; a few times as much is in memory."""


@dataclass(frozen=True)
class Source:
    """Frames of a set that are read at once."""

    folder: Path
    rows: slice

    @property
    def n_frames(self) -> int:
        """How many."""
        return self.rows.stop - self.rows.start


def shuffled(
    sources: Sequence[Source],
    chosen: np.ndarray,
    rng: np.random.Generator,
    required: Collection[str],
    precision: type[np.floating],
    set_size: int,
    scratch: Path,
) -> Iterator[dpdata.LabeledSystem]:
    """Yield chosen frames of one formula in random order, a block at a time.

    Parameters
    ----------
    sources : Sequence of Source
        Frames of one formula.
    chosen : np.ndarray, shape (n_chosen,)
        Increasing frame numbers, counted through all sources.
    rng : np.random.Generator
        Draws the order, which does not depend on the size of blocks.
    required : Collection of str
        Data types, by their names in dpdata, that must be there; of the others those that
        all sources have are kept.
    precision : type
        Of all floating-point numbers.
    set_size : int
        A block has a multiple of so many frames, if that many fit into one.
    scratch : Path
        Folder on whose disk all chosen frames are put for a while.

    Raises
    ------
    IpipError
        If a file is missing, truncated or damaged.
    """
    if not len(chosen):
        return
    common = set.intersection(*({path.stem for path in source.folder.glob("*.npy")} for source in sources))
    names, record = _record(systems.read_sorted(sources[0].folder, required, common, slice(0, 1)), precision)
    size = max(1, BLOCK_BYTES // record.itemsize)
    size = size // set_size * set_size or size
    place = rng.permutation(len(chosen))
    first = np.cumsum([0, *(source.n_frames for source in sources)])
    begins = list(range(0, len(chosen), size))
    ends = begins.copy()  # of what is written of every block
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as file:
        for source, start in zip(sources, first, strict=False):
            low, high = np.searchsorted(chosen, [start, start + source.n_frames])
            if low == high:
                continue
            system = systems.read_sorted(source.folder, required, common, source.rows)
            order = np.argsort(place[low:high])
            records = np.empty(high - low, record)
            records["place"] = place[low:high][order]
            for name in names:
                records[name] = system.data[name][chosen[low:high][order] - start]
            for part in np.split(records, np.flatnonzero(np.diff(records["place"] // size)) + 1):
                block = part["place"][0] // size
                file.seek(ends[block] * record.itemsize)
                part.tofile(file)
                ends[block] += len(part)
        for begin, end in zip(begins, ends, strict=True):
            file.seek(begin * record.itemsize)
            records = np.fromfile(file, record, end - begin)
            order = np.argsort(records["place"])
            yield dpdata.LabeledSystem(data={**system.data, **{name: records[name][order] for name in names}})


def _record(system: dpdata.LabeledSystem, precision: type[np.floating]) -> tuple[list[str], np.dtype]:
    """The names of a frame's arrays, and a record of them and of the frame's place among the shuffled ones."""
    arrays = {name: system.data[name] for name in frame_arrays(system)}
    fields = [
        (name, precision if np.issubdtype(array.dtype, np.floating) else array.dtype, array.shape[1:])
        for name, array in arrays.items()
    ]
    return list(arrays), np.dtype([("place", np.int64), *fields])
