# SPDX-License-Identifier: LGPL-3.0-or-later
"""Errors where MD goes: of the models of the study's arms, on frames of their own MD.

    python -m tests.benchmarks.mo_s_o.on_policy FOLDER [--only ARM ...]
    python -m tests.benchmarks.mo_s_o.on_policy FOLDER --model MODEL [--ps PS] [--temperatures KELVIN ...]

FOLDER is that of one size of the study. For the last iteration of every finished arm of the group ``rounds`` and of
those it starts from, or of those named, the first student runs NVT for 10 ps from the six structures at 1000 K (1 fs)
and 2000 K (0.5 fs); 20 frames of each run are labelled with the reference. Finished arms are kept. Writes
on_policy.csv, one row per arm: median frame, where the worst tenth begins, frames above 1 eV/A, runs all of whose
frames are below 1.5. With --model the same for a frozen model, whose runs go to FOLDER; the row is printed, and runs
may be longer and at other temperatures.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dpdata
import numpy as np

from ipip_dp import workdir
from ipip_dp.labelers import make_labeler
from tests.benchmarks.mo_s_o import EXAMPLE, TYPE_MAP, labeler
from tests.benchmarks.mo_s_o.arms import SIZES, arms
from tests.benchmarks.mo_s_o.stability import INTERVAL, LARGEST_ERROR, trajectory

if TYPE_CHECKING:
    from collections.abc import Sequence

TEMPERATURES = (1000, 2000)  # K
LENGTH = 10.0  # ps
FRAMES = 20  # of a run
WRONG = 1.0  # eV/Angstrom


def errors(folder: Path, ps: float, student: Any, reference: Any) -> list[float]:
    """Force RMSE on frames of a trajectory, in eV/Angstrom; inf after it has blown up or where the reference fails."""
    frames = dpdata.System(str(folder / "traj"), fmt="lammps/dump", type_map=TYPE_MAP)
    result = []
    for number in np.arange(1, FRAMES + 1) * round(ps / FRAMES / INTERVAL):
        if number >= len(frames):
            result.append(np.inf)
            continue
        atoms = frames[int(number)].to("ase/structure")[0]
        try:
            difference = student.get_forces(atoms) - reference.get_forces(atoms)
        except Exception:  # whatever ASE's calculators raise on an absurd frame
            result.append(np.inf)
        else:
            result.append(float(np.sqrt(np.mean(difference**2))))
    return result


def measure(
    model: Path, folder: Path, ps: float = LENGTH, temperatures: Sequence[int] = TEMPERATURES
) -> list[list[float]]:
    """The errors of every run of a model."""
    from deepmd.calculator import DP

    kept = folder / "errors.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    starts = sorted((EXAMPLE / "structures").glob("*.vasp"))
    jobs = [(path, kelvin, folder / f"{path.stem}.{kelvin}K") for path in starts for kelvin in temperatures]
    with ThreadPoolExecutor(2) as workers:
        for task in [workers.submit(trajectory, run, model, path, kelvin, ps) for path, kelvin, run in jobs]:
            task.result()
    student, reference = DP(model=str(model)), make_labeler(labeler("reference"), TYPE_MAP).ase_calculator
    found = [errors(run, ps, student, reference) for _, _, run in jobs]
    workdir.write_json(kept, found)
    return found


def row(name: str, seed: int, iteration: str, found: list[list[float]]) -> dict[str, Any]:
    """What the runs of a model come to."""
    all_frames = np.concatenate(found)
    return {
        "name": name,
        "seed": seed,
        "iteration": int(iteration),
        "median": round(float(np.median(all_frames)), 3),
        "worst_tenth_from": round(float(np.quantile(all_frames, 0.9, method="lower")), 3),
        "share_above_1": round(float(np.mean(all_frames > WRONG)), 3),
        "runs_that_hold": sum(max(run) < LARGEST_ERROR for run in found),
        "runs": len(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="ARM", help="measure these; the others are kept")
    parser.add_argument("--model", type=Path, help="a frozen model, instead of arms")
    parser.add_argument("--ps", type=float, default=LENGTH, help="of a run of --model (default: %(default)s)")
    parser.add_argument("--temperatures", type=int, nargs="+", default=TEMPERATURES, metavar="KELVIN")
    arguments = parser.parse_args()
    if arguments.model:
        found = measure(arguments.model, arguments.folder, arguments.ps, arguments.temperatures)
        print(row(arguments.model.name, 0, "0", found))
        return
    every = arms(SIZES[arguments.folder.name])
    group = [arm for arm in every if arm.group == "rounds"]
    names = {arm.name for arm in group} | {arm.after for arm in group}
    wanted = set(arguments.only) or names
    rows = []
    for arm in every:
        folder = arguments.folder.resolve() / arm.name
        measured = (folder / "on_policy/errors.json").is_file()
        if not measured and (arm.name not in wanted or not (folder / "finished.json").is_file()):
            continue
        model = sorted(folder.glob("iter.*/00.train/graph.000.*"))[-1]
        iteration = model.parts[-3].removeprefix("iter.")
        rows.append(row(arm.name, arm.seed, iteration, measure(model, folder / "on_policy")))
        print(rows[-1], flush=True)
    if rows:
        workdir.write_csv(arguments.folder / "on_policy.csv", rows)


if __name__ == "__main__":
    main()
