# SPDX-License-Identifier: LGPL-3.0-or-later
"""Speed and memory of the pool: ``python tests/benchmarks/pool.py [--frames N] [--repeat N]``.

Prints the median frames/s over the repetitions; retain counts the frames of the old pool.
Needs about 1.3 GB of disk per million frames, removed at the end.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import tempfile
import time
from pathlib import Path

import dpdata
import numpy as np

import ipip_dp
from ipip_dp.data import pool, provenance, systems

N_ATOMS = 24


def make_system(n_frames: int) -> dpdata.LabeledSystem:
    """Make random frames of one formula, in double precision as labelers give them."""
    rng = np.random.default_rng(0)
    system = dpdata.LabeledSystem(
        data={
            "atom_names": ["Mo", "S", "O"],
            "atom_numbs": [3, 12, 9],
            "atom_types": np.repeat([0, 1, 2], [3, 12, 9]),
            "orig": np.zeros(3),
            "cells": np.tile(np.eye(3) * 12.0, (n_frames, 1, 1)),
            "coords": rng.uniform(0, 12, (n_frames, N_ATOMS, 3)),
            "energies": rng.normal(size=n_frames),
            "forces": rng.normal(size=(n_frames, N_ATOMS, 3)),
            "virials": rng.normal(size=(n_frames, 3, 3)),
        }
    )
    provenance.mark(system, provenance.LabelSource.TEACHER, 0)
    return system


def append(target: Path, system: dpdata.LabeledSystem, n_sets: int) -> None:
    """Append the system so many times."""
    for _ in range(n_sets):
        pool.append(target, system)


def read(target: Path) -> None:
    """Read every number of a pool."""
    for folder, rows in (block for system in systems.below(target) for block in systems.blocks(system)):
        system = systems.read_sorted(folder, systems.LABELLED, rows=rows)
        for array in (system["coords"], system["forces"], system["energies"]):
            array.sum()


def one_round(folder: Path, system: dpdata.LabeledSystem, n_sets: int) -> dict[str, float]:
    """Return the seconds that each operation takes."""
    old, new = folder / "old", folder / "new"
    times = [time.perf_counter()]
    append(old, system, n_sets)
    times.append(time.perf_counter())
    read(old)
    times.append(time.perf_counter())
    pool.grow(old, [], new, retention=0.9, seed=0)
    times.append(time.perf_counter())
    return dict(zip(("append", "read", "retain"), np.diff(times), strict=True))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000, help="frames in the pool")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions, of which the median is printed")
    parser.add_argument("--folder", type=Path, help="where to put the temporary pools")
    arguments = parser.parse_args()
    print(f"machine     {platform.machine()}, {platform.system()} {platform.release()}")
    print(
        f"versions    python {platform.python_version()}, numpy {np.__version__}, dpdata {dpdata.__version__}, "
        f"ipip-dp {ipip_dp.__version__}"
    )
    n_sets = max(1, arguments.frames // pool.SET_SIZE)
    n_frames = n_sets * pool.SET_SIZE
    print(f"pool        {n_frames} frames of {N_ATOMS} atoms in {n_sets} sets")
    system = make_system(pool.SET_SIZE)
    rounds = []
    for _ in range(arguments.repeat):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rounds.append(one_round(Path(folder), system, n_sets))
    for operation in rounds[0]:
        median = statistics.median(seconds[operation] for seconds in rounds)
        print(f"{operation:12}{n_frames / median:.0f} frames/s")
    print(f"peak RSS    {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
