# SPDX-License-Identifier: LGPL-3.0-or-later
"""Time and memory of what a large run does between its jobs, for three sizes of run.

    python tests/benchmarks/scale.py [--largest FRACTION] [--folder FOLDER]

The full size is 200 exploration tasks of 200 frames, all of them relabelled, and a pool of
1,000,000 frames, with 64 atoms in a frame; the others are a quarter and a sixteenth of it.
Every operation runs in a process of its own, whose peak memory is printed. Its processor
time, which other work on the machine disturbs less, is fitted by frames^exponent. Ends with
status 1 when an operation takes 2 GB or an exponent is above 1.1. Needs 10 GB of disk, given
back at the end.

How many files (folders and links included) an iteration makes:

=================  ==========================================================================
folder             files
=================  ==========================================================================
00.ipip            240 with two students, and 45 for every other one
00.ipip/seed       16 for every trajectory of the teacher's MD (iteration 0 only)
00.ipip/pool       9 for every 5,000 frames, and 3 for every composition
00.ipip/relabel    9 for every 5,000 explored frames, and 24 for every composition
01.model_devi      9 for every task with ``"model_devi_merge_traj": true`` in param.json; 10
                   and one for every frame without, until DP-GEN deletes these after 02.fp
=================  ==========================================================================

That is 4,000 in the full size, and 44,000 with a file for every explored frame. Old pools are
deleted (``ipip.pool.keep_iterations``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.data import labelled
from ipip_dp.data.frames import joined

if TYPE_CHECKING:
    import dpdata

    from ipip_dp.steps.context import Context

MAX_MEMORY = 2000  # MB
MAX_EXPONENT = 1.1
FRACTIONS = (1 / 16, 1 / 4, 1)

TYPE_MAP = ["Mo", "S", "O"]
TYPES = np.repeat([0, 1, 2], [16, 32, 16])
CELL = 11.0  # Angstrom
POOL, TASKS, FRAMES_PER_TASK, HELD_OUT, DIVERSITY = 1_000_000, 200, 200, 40_000, 2_000
STUDENTS = 4


def random_frames(n_frames: int, seed: int = 0) -> dpdata.LabeledSystem:
    """A labelled system of atoms near the points of a grid, in double precision as labelers give it."""
    import dpdata

    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3) * CELL / 4
    return dpdata.LabeledSystem(
        data={
            "atom_names": TYPE_MAP,
            "atom_numbs": np.bincount(TYPES).tolist(),
            "atom_types": TYPES,
            "orig": np.zeros(3),
            "cells": np.tile(np.eye(3) * CELL, (n_frames, 1, 1)),
            "coords": grid + rng.normal(0, 0.2, (n_frames, len(TYPES), 3)),
            "energies": rng.normal(size=n_frames),
            "forces": rng.normal(size=(n_frames, len(TYPES), 3)),
            "virials": rng.normal(size=(n_frames, 3, 3)),
        }
    )


@lru_cache
def context(merge: bool = False) -> Context:
    """Iteration 0 of a run like the quick example, which relabels every explored frame."""
    from ipip_dp import workdir
    from ipip_dp.checks import run_input as check
    from ipip_dp.config.params import Params
    from ipip_dp.steps.context import Context

    example = Path(__file__).parents[2] / "examples/mo_s_quick"
    param = json.loads((example / "param.json").read_text())
    param.update(type_map=TYPE_MAP, mass_map=[95.95, 32.06, 16.0], model_devi_merge_traj=merge)
    param["ipip"]["relabel"] = {"max_in_domain": TASKS * FRAMES_PER_TASK, "max_candidates": TASKS * FRAMES_PER_TASK}
    param["ipip"]["pool"] = {"retention": 0.9, "self_labels": "keep"}
    jdata = check.normalized(param, "param.json")
    return Context(workdir.Iteration(0), Params.from_jdata(jdata), jdata, {})


def make_pool(fraction: float) -> None:
    from ipip_dp.data import pool, provenance

    system = random_frames(5000)
    provenance.mark(system, provenance.LabelSource.TEACHER, 0)
    n_frames = round(POOL * fraction)
    for start in range(0, n_frames, 5000):
        pool.append(context().iteration.pool, system[: n_frames - start])


def make_exploration(fraction: float) -> None:
    """What LAMMPS leaves, both as one file per frame and as one per trajectory, and DP-GEN's lists."""
    iteration = context().iteration
    atoms = "".join(f"{i + 1} {t + 1} {{}} {{}} {{}} 0 0 0\n" for i, t in enumerate(TYPES))
    head = f"ITEM: NUMBER OF ATOMS\n{len(TYPES)}\nITEM: BOX BOUNDS pp pp pp\n" + f"0 {CELL}\n" * 3
    frames = [
        f"ITEM: TIMESTEP\n{step}\n{head}ITEM: ATOMS id type x y z fx fy fz\n"
        + atoms.format(*(f"{x:g}" for x in coords.ravel() % CELL))
        for step, coords in enumerate(random_frames(FRAMES_PER_TASK)["coords"])
    ]
    lists: dict[str, list[str]] = {"rest_accurate": [], "candidate": [], "rest_failed": []}
    for number in range(round(TASKS * fraction)):
        task = iteration.exploration / f"task.000.{number:06d}"
        (task / "traj").mkdir(parents=True)
        for step, text in enumerate(frames):
            (task / "traj" / f"{step}.lammpstrj").write_text(text)
            lists[list(lists)[step % 2]].append(f"{task} {step}\n")
        (task / "all.lammpstrj").write_text("".join(frames))
        np.savetxt(task / "model_devi.out", [[step, 0, 0, 0, 0.1, 0, 0] for step in range(FRAMES_PER_TASK)])
    iteration.fp.mkdir()
    for name, lines in lists.items():
        (iteration.fp / f"{name}.shuffled.000.out").write_text("".join(lines))


def make_labels(fraction: float) -> None:
    """What the labelling jobs bring back."""
    import dpdata

    from ipip_dp import workdir
    from ipip_dp.data import systems
    from ipip_dp.labelers import labels_format

    for task in ("students", "teacher"):
        folder = context().iteration.relabel / task
        frames = joined([systems.read_unlabelled(path, TYPE_MAP) for path in systems.below(folder / "frames")])
        labels = random_frames(len(frames)).data
        system = dpdata.LabeledSystem(data={**labels, **frames.data})
        name, n_frames = system.short_name, len(system)
        systems.write(system, folder / "labels" / name, set_size=n_frames)
        workdir.write_json(folder / "labels" / labels_format.FAILED, [])
        marker = {"total": n_frames, "labelled": n_frames, "systems": {name: n_frames}}
        workdir.write_json(folder / "labels" / labels_format.MARKER, marker)


def make_held_out(fraction: float) -> None:
    from ipip_dp import workdir

    random_frames(round(HELD_OUT * fraction)).to("deepmd/npy", "held_out/system")
    rng = np.random.default_rng(0)
    for name, n_models in (("students", STUDENTS), ("teacher", 1)):
        arrays = (
            (f"{i}/{key}", block[key] + rng.normal(size=(n_models, *block[key].shape)))
            for i, block in enumerate(labelled.read(Path("held_out/system"), TYPE_MAP))
            for key in ("energies", "forces", "virials")
        )
        workdir.write_arrays(Path(f"{name}.npz"), arrays)


def select(fraction: float) -> int:
    from ipip_dp.steps import explored

    n_frames = 0
    for trust_class in explored.LISTS:
        frames = explored.listed(context().iteration.fp, trust_class)
        explored.draw(frames, len(frames) // 2, seed=0)
        n_frames += len(frames)
    return n_frames


def prepare_files(fraction: float) -> int:
    from ipip_dp.steps import relabel

    relabel.choose_frames(context())
    relabel.prepare(context())
    return round(TASKS * fraction) * FRAMES_PER_TASK


def prepare_trajectories(fraction: float) -> int:
    import shutil

    from ipip_dp.steps import relabel

    shutil.rmtree(context().iteration.relabel)
    relabel.choose_frames(context(merge=True))
    relabel.prepare(context(merge=True))
    return round(TASKS * fraction) * FRAMES_PER_TASK


def gate(fraction: float) -> int:
    from ipip_dp.data import gate as selection
    from ipip_dp.data import systems

    n_frames = 0
    for path in systems.below(context().iteration.relabel):
        for folder, rows in systems.blocks(path):
            if folder.parts[-3] == "labels":
                data = systems.read_sorted(folder, {"forces"}, rows=rows).data
                selection.check_geometry(data["coords"], data["cells"], selection.Gate())
                selection.check_labels(data["energies"], data["forces"], data["virials"], selection.Gate())
                n_frames += len(data["coords"])
    return n_frames


def grow(fraction: float) -> int:
    from ipip_dp.steps import relabel

    relabel.collect(context(), ["students", "teacher"])
    return round(POOL * fraction) + round(TASKS * fraction) * FRAMES_PER_TASK


def summary(fraction: float) -> int:
    from ipip_dp.data import pool

    return pool.summary(context().iteration.pool).n_frames


def check(fraction: float) -> int:
    from ipip_dp.data import systems

    (system,) = systems.find([context().iteration.pool])
    labelled.frame_digests(system)
    return labelled.check_frames(system)


def evaluate(fraction: float) -> int:
    from ipip_dp.steps.evaluate import errors as compare

    return compare([Path("held_out")], TYPE_MAP, Path("students.npz"), teacher=Path("teacher.npz"))["ensemble"][
        "n_frames"
    ]


def diversity(fraction: float) -> int:
    from ipip_dp.data import diversity

    system = random_frames(round(DIVERSITY * fraction))
    diversity.farthest_points(diversity.radial_features(system.data), 60, seed=0)
    return len(system)


# Operation -> what makes its input, if none of the operations before it does.
OPERATIONS = {
    select: make_exploration,
    prepare_files: None,
    prepare_trajectories: None,
    gate: make_labels,
    summary: make_pool,
    check: None,
    grow: None,
    evaluate: make_held_out,
    diversity: None,
}


def child(name: str, fraction: float) -> None:
    """Run one function in the working directory, and print what it took."""
    from ipip_dp.steps import evaluate, relabel  # noqa: F401 (imports take no part in the time)

    context(), context(merge=True)  # these neither
    repeats = 20 if name in ("select", "summary") else 1  # which take milliseconds
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        n_frames = globals()[name](fraction)
    wall, cpu = (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats
    # not ru_maxrss, which a process takes over from the one that started it
    memory = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"frames": n_frames, "seconds": wall, "cpu": cpu, "MB": int(memory.split()[1]) / 1024}))


def measure(name: str, fraction: float, folder: Path) -> dict[str, float]:
    """Run one function in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", name, "--largest", str(fraction)]
    result = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=float, default=1.0, help="the largest size, as a fraction of the full one")
    parser.add_argument("--folder", type=Path, help="where to put the temporary files")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.largest)
        return 0
    import dpdata

    import ipip_dp

    print(f"machine   {platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    print(
        f"versions  python {platform.python_version()}, numpy {np.__version__}, dpdata {dpdata.__version__}, "
        f"ipip-dp {ipip_dp.__version__}"
    )
    results: dict[str, list[dict[str, float]]] = {operation.__name__: [] for operation in OPERATIONS}
    print(f"{'':22}{'frames':>10}{'seconds':>10}{'CPU s':>10}{'frames/s':>10}{'peak MB':>10}")
    for fraction in FRACTIONS:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            for operation, make in OPERATIONS.items():
                if make:
                    measure(make.__name__, fraction * arguments.largest, Path(folder))
                result = measure(operation.__name__, fraction * arguments.largest, Path(folder))
                results[operation.__name__].append(result)
                speed = result["frames"] / result["seconds"]
                times = f"{result['seconds']:10.2f}{result['cpu']:10.2f}{speed:10.0f}"
                print(f"{operation.__name__:22}{result['frames']:10}{times}{result['MB']:10.0f}", flush=True)
            files = {
                name: sum(1 for _ in (Path(folder) / path).rglob("*"))
                for name, path in (("pool", "iter.000001/00.ipip/pool"), ("relabel", "iter.000000/00.ipip/relabel"))
            }
            print(f"files     {', '.join(f'{name} {count}' for name, count in files.items())}")
    good = True
    for name, many in results.items():
        frames, seconds = (np.log([each[key] for each in many]) for key in ("frames", "cpu"))
        exponent = np.polyfit(frames, seconds, 1)[0]
        memory = max(each["MB"] for each in many)
        good &= bool(exponent <= MAX_EXPONENT and memory < MAX_MEMORY)
        print(f"{name:22}exponent {exponent:5.2f}   peak {memory:5.0f} MB")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
