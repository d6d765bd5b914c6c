# SPDX-License-Identifier: LGPL-3.0-or-later
"""MD steps per second on one core: the student, compressed and not, beside the teacher.

    python -m tests.benchmarks.mo_s_o.speed MODEL

MODEL is a frozen (not compressed) model, .pb or .pt2. The same structure for all of them, Mo3O9S12
repeated to 24, 192 and 1,008 atoms, one after the other in each of three rounds, so that a busy
machine slows all of them alike; the medians are printed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.benchmarks.mo_s_o import EXAMPLE, TYPE_MAP, labeler
from tests.benchmarks.mo_s_o.simulation import loop_time, md, structure

REPEATS = {24: (1, 1, 1), 192: (2, 2, 2), 1008: (2, 3, 7)}
ROUNDS = 3
SECONDS = 4.0  # of the teacher's MD for one figure


def teacher_step(system) -> float:
    """Seconds of a step of the teacher's MD, by ASE as in ``ipip md``."""
    import numpy as np
    from ase import units
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.md.verlet import VelocityVerlet

    from ipip_dp.labelers import make_labeler

    atoms = system.to("ase/structure")[0]
    atoms.calc = make_labeler(labeler("teacher"), TYPE_MAP).ase_calculator
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
    dynamics = VelocityVerlet(atoms, timestep=units.fs)
    dynamics.run(2)
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        dynamics.run(1)
        times.append(time.perf_counter() - start)
    return median(times)


def student_step(folder: Path, system, model: Path, n_atoms: int) -> float:
    """Seconds of a step of LAMMPS with a frozen model."""
    steps = max(50, 48000 // n_atoms)
    log = md(folder, system, model, f"velocity all create 300 1\nfix 1 all nve\nrun 20\nrun {steps}\n")
    seconds, done = loop_time(log)
    return seconds / done


def main() -> None:
    """Print milliseconds per step and ratios."""
    model = Path(sys.argv[1]).resolve()
    print(f"{platform.processor() or platform.machine()}, one thread of {os.cpu_count()} cores")
    print(", ".join(f"{name} {version(name)}" for name in ("deepmd-kit", "lammps", "chgnet", "torch")))
    import torch

    torch.set_num_threads(1)
    table = Table(
        "atoms",
        "teacher (ms/step)",
        "student",
        "compressed student",
        "compressed is faster than teacher by",
        "than student by",
    )
    start = structure(EXAMPLE / "structures/mo3o9_s2.vasp")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compressed = folder / f"compressed{model.suffix}"
        backend = "--pt-expt" if model.suffix == ".pt2" else "--tf"
        command = ["dp", backend, "compress", "-i", str(model), "-o", str(compressed)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        for n_atoms, repeats in REPEATS.items():
            system = start.replicate(repeats)
            assert list(system["atom_names"]) == TYPE_MAP and system.get_natoms() == n_atoms
            rounds = []
            for number in range(ROUNDS):
                rounds.append(
                    (
                        teacher_step(system),
                        student_step(folder / f"{n_atoms}.{number}.student", system, model, n_atoms),
                        student_step(folder / f"{n_atoms}.{number}.compressed", system, compressed, n_atoms),
                    )
                )
            teacher, student, fast = (median(times) for times in zip(*rounds, strict=True))
            table.add_row(
                str(n_atoms),
                *(f"{1000 * seconds:.2f}" for seconds in (teacher, student, fast)),
                f"{median(t / c for t, _, c in rounds):.0f}x",
                f"{median(s / c for _, s, c in rounds):.1f}x",
            )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
