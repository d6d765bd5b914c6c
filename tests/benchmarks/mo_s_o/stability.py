# SPDX-License-Identifier: LGPL-3.0-or-later
"""MD that holds: long trajectories of a model from the six structures, and from the paper's.

    python -m tests.benchmarks.mo_s_o.stability MODEL FOLDER

NVT for 20 ps at 300, 1000 and 2000 K: mean temperature, lost atoms, smallest distance, and the force
RMSE against the reference on frames of this very trajectory, since one that leaves what the model
knows can still look quiet. NVE for 10 ps from the end of the one at 1000 K: drift of the total energy.
The paper's start structure is in no training set. For the six, radial distribution functions at
1000 K beside the teacher's (4 ps) and, for one structure, the reference's (1 ps). Finished
trajectories are kept, those that blew up to that point. Writes stability.csv, stability.md and
rdf.png in FOLDER, which is for one model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dpdata
import numpy as np

from ipip_dp import workdir
from ipip_dp.data.gate import shortest_distance
from ipip_dp.labelers import make_labeler
from ipip_dp.steps.explore import BLOW_UPS
from tests.benchmarks.mo_s_o import EXAMPLE, TYPE_MAP, labeler, report
from tests.benchmarks.mo_s_o.data import paper_structure
from tests.benchmarks.mo_s_o.simulation import labeler_md, md, structure, thermo

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

TEMPERATURES = (300, 1000, 2000)  # K
RDF_TEMPERATURE = 1000  # K
RDF_STEPS = {"teacher": 2000, "reference": 500}  # of 2 fs
RDF_REFERENCE = "mo3o9_s2"  # the reference takes half a second per step
BINS = np.linspace(0, 4.7, 95)  # Angstrom; up to half of the smallest box
ERROR_TIMES = (1, 2.5, 5, 10, 20)  # ps
ERROR = "error at {} ps (eV/A)"
LARGEST_ERROR = 1.5  # eV/Angstrom; model_devi_f_trust_hi of examples/mo_s_o, beyond which DP-GEN takes MD for broken
INTERVAL = 0.05  # ps between two frames of a trajectory
TIMESTEP = 0.001  # ps; 0.5 fs at 2000 K, where molecules of oxygen vibrate and collide fast
DUMP = "dump 1 all custom {every} traj id type x y z\ndump_modify 1 sort id\n"
NVT = """timestep {timestep}
velocity all create {temperature} 1 mom yes rot yes
fix 1 all nvt temp {temperature} {temperature} 0.1
thermo 100
thermo_style custom step temp etotal
"""
NVE = """undump 1
unfix 1
fix 1 all nve
timestep {timestep}
reset_timestep 0
thermo 100
run {steps}
"""


def trajectory(folder: Path, model: Path, path: Path, temperature: int, ps: float, then_nve: float = 0) -> None:
    """NVT, and NVE after it, from one structure, unless finished; an MD that blows up ends there."""
    if folder.is_dir():
        return
    timestep = TIMESTEP / 2 if temperature >= 2000 else TIMESTEP
    commands = NVT.format(timestep=timestep, temperature=temperature) + DUMP.format(every=round(INTERVAL / timestep))
    commands += f"run {round(ps / timestep)}\n"
    if then_nve:
        commands += NVE.format(timestep=timestep / 2, steps=round(2 * then_nve / timestep))
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        md(temporary, structure(path), model, commands)
    except subprocess.CalledProcessError:
        if lost_atoms((temporary / "log.lammps").read_text()) == 0:
            raise
    temporary.rename(folder)


def lost_atoms(log: str) -> int:
    """How many atoms an MD had lost when it ended; all, if it blew up in another way."""
    if counts := re.search(r"Lost atoms: original (\d+) current (\d+)", log):
        return int(counts[1]) - int(counts[2])
    return int(re.findall(r"(\d+) atoms", log)[0]) if any(reason in log for reason in BLOW_UPS) else 0


def smallest_distance(frames: dpdata.System) -> float:
    """The smallest distance of any two atoms in any frame, in Angstrom."""
    return min(
        shortest_distance(coords, cell, cutoff=3.0)
        for coords, cell in zip(frames["coords"], frames["cells"], strict=True)
    )


def drift(log: str, n_atoms: int) -> float:
    """Slope of the total energy in the last run of a log, in meV/atom/ps."""
    names, rows = thermo(log)
    table = np.array(rows)
    time = table[:, names.index("Step")] * TIMESTEP / 2
    return 1000 * float(np.polyfit(time, table[:, names.index("TotEng")], 1)[0]) / n_atoms


def force_errors(frames: dpdata.System, student: Calculator, reference: Calculator) -> dict[str, float | str]:
    """Force RMSE against the reference along the model's own trajectory, in eV/Angstrom, as far as it goes."""
    result: dict[str, float | str] = {ERROR.format(time): "" for time in ERROR_TIMES}
    for time in ERROR_TIMES:
        if round(time / INTERVAL) >= len(frames):
            break
        atoms = frames[round(time / INTERVAL)].to("ase/structure")[0]
        difference = student.get_forces(atoms) - reference.get_forces(atoms)
        result[ERROR.format(time)] = round(float(np.sqrt(np.mean(difference**2))), 2)
    return result


def check(folder: Path, path: Path, temperature: int, student: Calculator, reference: Calculator) -> dict[str, object]:
    """What one NVT trajectory shows."""
    logs = (folder / "log.lammps").read_text()
    names, rows = thermo(logs.partition("undump")[0])
    table = np.array(rows)
    frames = dpdata.System(str(folder / "traj"), fmt="lammps/dump", type_map=TYPE_MAP)
    n_atoms, lost = structure(path).get_natoms(), lost_atoms(logs)
    return {
        "structure": path.stem,
        "temperature (K)": temperature,
        "mean temperature (K)": round(float(table[len(table) // 5 :, names.index("Temp")].mean()), 1),
        "lost atoms": lost,
        "smallest distance (A)": round(smallest_distance(frames), 3),
        "NVE drift (meV/atom/ps)": round(drift(logs, n_atoms), 4) if temperature == 1000 and not lost else "",
        **force_errors(frames, student, reference),
    }


def holds(row: dict[str, Any]) -> bool:
    """Whether a trajectory keeps its atoms and stays close to the reference."""
    errors = [row[ERROR.format(time)] for time in ERROR_TIMES]
    return not row["lost atoms"] and all(error == "" or error < LARGEST_ERROR for error in errors)


def rdf(frames: dpdata.System, bins: np.ndarray) -> dict[str, np.ndarray]:
    """Radial distribution functions of all pairs of elements; distances in Angstrom."""
    from ase.geometry import get_distances

    result: dict[str, np.ndarray] = {}
    types = np.asarray(frames["atom_types"])
    shells = 4 / 3 * np.pi * np.diff(bins**3)
    for coords, cell in zip(frames["coords"], frames["cells"], strict=True):
        _, distances = get_distances(coords, cell=cell, pbc=True)
        density = 1 / abs(np.linalg.det(cell))
        for a in range(len(TYPE_MAP)):
            for b in range(a, len(TYPE_MAP)):
                block = distances[np.ix_(types == a, types == b)]
                pairs = (types == a).sum() * (types == b).sum()
                if not pairs:
                    continue
                counts = np.histogram(block[block > 1e-6], bins)[0]
                name = f"{TYPE_MAP[a]}-{TYPE_MAP[b]}"
                result[name] = result.get(name, 0) + counts / (pairs * density * shells) / len(frames["coords"])
    return result


def after_equilibration(frames: dpdata.System) -> dpdata.System:
    """A trajectory without its first quarter."""
    return frames[len(frames) // 4 :]


def picture(starts: list[Path], folder: Path) -> None:
    """Draw the radial distribution functions of the student, the teacher and the reference."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    figure, grid = plt.subplots(2, 3, figsize=(14, 7), layout="constrained", sharex=True)
    middle = (BINS[1:] + BINS[:-1]) / 2
    styles = {"student": "-", "teacher": "--", "reference": "x"}
    pairs = [f"{a}-{b}" for a, b in combinations_with_replacement(TYPE_MAP, 2)]
    for axes, path in zip(grid.flat, starts, strict=True):
        student = folder / f"{path.stem}.{RDF_TEMPERATURE}K"
        frames = {"student": dpdata.System(str(student / "traj"), fmt="lammps/dump", type_map=TYPE_MAP)}
        for name in RDF_STEPS:
            labels = sorted((folder / f"{path.stem}.{name}").rglob("type.raw"))
            if labels:
                frames[name] = dpdata.LabeledSystem(str(labels[0].parent), fmt="deepmd/npy", type_map=TYPE_MAP)
        for name, system in frames.items():
            for pair, values in rdf(after_equilibration(system), BINS).items():
                label = pair if name == "student" else None
                axes.plot(middle, values, styles[name], color=f"C{pairs.index(pair)}", label=label, ms=4)
        axes.set_title(path.stem, fontsize=9)
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[1]:
        axes.set(xlabel="distance (Å)", xlim=(1, BINS[-1]))
    for axes in grid[:, 0]:
        axes.set_ylabel("g(r)")
    lines = [
        Line2D([], [], ls="" if style == "x" else style, marker=style.strip("-"), color="k")
        for style in styles.values()
    ]
    figure.legend(lines, list(styles), loc="outside upper center", ncols=len(styles), frameon=False)
    figure.savefig(folder / "rdf.png", dpi=110)
    plt.close(figure)


def main() -> None:
    from deepmd.calculator import DP

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ps", type=float, default=20, help="length of each NVT trajectory")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    settings = {"model": hashlib.sha256(arguments.model.read_bytes()).hexdigest(), "ps": arguments.ps}
    made_with = arguments.folder / "settings.json"
    if made_with.is_file() and json.loads(made_with.read_text()) != settings:
        parser.error(f"{arguments.folder} has the MD of another model or length; give another folder")
    workdir.write_json(made_with, settings)
    starts = sorted((EXAMPLE / "structures").glob("*.vasp"))
    paper = arguments.folder / "paper.vasp"
    paper_structure().to("vasp/poscar", str(paper))
    jobs = [
        (path, temperature, arguments.folder / f"{path.stem}.{temperature}K")
        for path in [*starts, paper]
        for temperature in TEMPERATURES
    ]
    with ThreadPoolExecutor(2) as workers:
        tasks = [
            workers.submit(
                trajectory, folder, arguments.model, path, temperature, arguments.ps, 10 if temperature == 1000 else 0
            )
            for path, temperature, folder in jobs
        ]
        for path in starts:
            for name in RDF_STEPS:
                if name == "teacher" or path.stem == RDF_REFERENCE:
                    tasks.append(
                        workers.submit(
                            labeler_md,
                            arguments.folder / f"{path.stem}.{name}",
                            path,
                            name,
                            temperatures=[RDF_TEMPERATURE],
                            timestep=2.0,
                            nsteps=RDF_STEPS[name],
                            interval=10,
                        )
                    )
    for task in tasks:
        task.result()
    student, reference = DP(model=str(arguments.model)), make_labeler(labeler("reference"), TYPE_MAP).ase_calculator
    rows = [check(folder, path, temperature, student, reference) for path, temperature, folder in jobs]
    workdir.write_csv(arguments.folder / "stability.csv", rows)
    held = sum(holds(row) for row in rows)
    text = report.markdown(list(rows[0]), [list(row.values()) for row in rows])
    text += f"\nIn {held} of {len(rows)} trajectories all errors are below {LARGEST_ERROR} eV/A.\n"
    workdir.write_text(arguments.folder / "stability.md", text)
    print(text)
    picture(starts, arguments.folder)


if __name__ == "__main__":
    main()
