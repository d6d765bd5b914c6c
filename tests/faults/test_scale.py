# SPDX-License-Identifier: LGPL-3.0-or-later
"""Much more of everything: memory does not grow with it, nor does time faster than it."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipip_dp.data import pool, provenance, shuffle, systems
from ipip_dp.data.frames import take
from ipip_dp.steps import explored
from tests.benchmarks import scale

if TYPE_CHECKING:
    from collections.abc import Callable


NUMBERS = 300  # bytes of names, numbers and digests that every frame may cost; its positions and forces take 1536


@pytest.fixture
def growth(monkeypatch, tmp_path):
    """Memory that an operation takes for every added frame of 64 atoms, in bytes."""
    # blocks of few frames, so that few frames make many blocks
    monkeypatch.setattr(systems, "BLOCK_NUMBERS", 2**14)
    monkeypatch.setattr(shuffle, "BLOCK_BYTES", 2**18)
    monkeypatch.setattr(explored, "FRAMES_PER_SYSTEM", 40)
    monkeypatch.setattr(scale, "FRAMES_PER_TASK", 20)
    scale.context()  # imports
    # Reference cycles are collected at once: a peak would else be mostly of what the collector has not come to yet.
    thresholds = gc.get_threshold()
    gc.set_threshold(100, 1, 1)

    def measure(make: Callable[[float], None], operation: Callable[[float], int], fraction: float) -> float:
        counts, peaks = {}, {}
        # twice, because the interpreter's table of strings (pathlib's names) grows in jumps of megabytes
        for size in 2 * (fraction, 4 * fraction):
            folder = tmp_path / f"{size}-{size in peaks}"
            folder.mkdir()
            monkeypatch.chdir(folder)
            make(size)
            gc.freeze()  # what was there before is nobody's garbage, and need not be looked through
            tracemalloc.start()
            try:
                counts[size] = operation(size)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
                gc.unfreeze()
            peaks[size] = min(peak, peaks.get(size, peak))
        small, large = sorted(peaks)
        return (peaks[large] - peaks[small]) / (counts[large] - counts[small])

    yield measure
    gc.set_threshold(*thresholds)


def grow(fraction: float) -> int:
    old = scale.context().iteration.pool
    return pool.grow(old, [], Path("grown"), retention=0.9, seed=0, set_size=100).n_frames


@pytest.mark.fault("four times as many frames in the pool", "the next pool, in the same memory")
def test_the_memory_to_grow_a_pool(growth):
    assert growth(scale.make_pool, grow, 2000 / scale.POOL) < NUMBERS


@pytest.mark.fault("four times as many explored frames", "all of them written for relabelling, in the same memory")
def test_the_memory_to_write_explored_frames(growth):
    assert growth(scale.make_exploration, scale.prepare_files, 8 / scale.TASKS) < NUMBERS
    written = Path().rglob("relabel/*/frames/*/set.*/coord.npy")
    assert sum(len(systems.load(path)) for path in written) == 4 * 8 * 20


@pytest.mark.fault("four times as many held-out frames", "their errors, in the same memory")
def test_the_memory_to_evaluate(growth):
    assert growth(scale.make_held_out, scale.evaluate, 500 / scale.HELD_OUT) < NUMBERS


@pytest.mark.fault("four times as many frames in the pool", "nine files more for every 5,000 frames")
def test_the_number_of_files_of_a_pool(tmp_path):
    frames = scale.random_frames(7)
    provenance.mark(frames, provenance.LabelSource.TEACHER, 0)
    for number in (1, 4):
        systems.write(take(frames, np.zeros(5000 * number, int)), tmp_path / f"new{number}", set_size=1000)
        pool.grow(None, [tmp_path / f"new{number}"], tmp_path / f"pool{number}", retention=1, seed=0)
        assert sum(1 for _ in (tmp_path / f"pool{number}").rglob("*")) == 1 + 3 + 9 * number


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.fault("20 exploration tasks and a pool of 100,000 frames", "less than 2 GB, in time that grows linearly")
def test_a_tenth_of_a_large_run(tmp_path):
    command = [sys.executable, scale.__file__, "--largest", "0.1", "--folder", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
