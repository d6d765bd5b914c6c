# SPDX-License-Identifier: LGPL-3.0-or-later
"""Sulfidation of a molybdenum oxide cluster in sulfur vapour, with the model of examples/mo_s_o.

    python examples/sulfidation/sulfidation.py FOLDER [--ps 100] [--temperature 2500] [--model MODEL]

LAMMPS runs MD of Mo3O9 among 26 S2. Writes bonds.csv (numbers of bonds over time), bonds.png, and
snapshots.png (the molecules that have molybdenum) to FOLDER. A finished MD is kept.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import ase.io
import matplotlib as mpl
import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.geometry import find_mic
from ase.neighborlist import neighbor_list
from ase.visualize.plot import plot_atoms
from scipy.ndimage import uniform_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

mpl.use("Agg")
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from ase import Atoms

HERE = Path(__file__).parent
ELEMENTS = ["Mo", "S", "O"]  # in the order of the model's type_map
TIMESTEP = 0.0005  # ps
INTERVAL = 0.1  # ps between frames
BONDS = {("Mo", "S"): 2.75, ("Mo", "O"): 2.4, ("S", "S"): 2.4, ("S", "O"): 1.9}  # shorter than this, in Angstrom
SNAPSHOTS = 4
GAP = 3.0  # Angstrom between the molecules of a picture
INPUT = """units metal
atom_style atomic
boundary p p p
read_data start.lmp
{masses}
pair_style deepmd "{model}"
pair_coeff * * {elements}
neighbor 1.0 bin
neigh_modify every 5 delay 0 check yes
velocity all create {temperature} 1 mom yes rot yes dist gaussian
fix thermostat all nvt temp {temperature} {temperature} 0.1
timestep {timestep}
thermo 2000
dump frames all custom {every} frames.dump id type element x y z
dump_modify frames sort id element {elements}
run {steps}
"""


def molecular_dynamics(folder: Path, model: Path, temperature: float, ps: float) -> None:
    """Run LAMMPS in ``folder``, which is there only once it has finished."""
    if folder.is_dir():
        return
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    start = ase.io.read(HERE / "start.vasp")
    ase.io.write(temporary / "start.lmp", start, format="lammps-data", specorder=ELEMENTS)
    masses = [f"mass {i} {atomic_masses[atomic_numbers[symbol]]}" for i, symbol in enumerate(ELEMENTS, 1)]
    script = INPUT.format(
        masses="\n".join(masses),
        model=model.resolve(),
        elements=" ".join(ELEMENTS),
        temperature=temperature,
        timestep=TIMESTEP,
        every=round(INTERVAL / TIMESTEP),
        steps=round(ps / TIMESTEP),
    )
    (temporary / "in.lammps").write_text(script)
    if subprocess.run(["lmp", "-in", "in.lammps"], cwd=temporary).returncode:
        raise SystemExit(f"LAMMPS failed: see {temporary / 'log.lammps'}")
    temporary.rename(folder)


def number_of_bonds(atoms: Atoms) -> list[int]:
    """How many pairs of each kind of ``BONDS`` are closer than its length."""
    return [len(neighbor_list("i", atoms, {pair: length})) // 2 for pair, length in BONDS.items()]


def with_molybdenum(atoms: Atoms) -> list[Atoms]:
    """The molecules that have molybdenum, whole across the boundary, side by side and the largest first."""
    i, j = neighbor_list("ij", atoms, BONDS)
    bonds = coo_array((np.ones(len(i)), (i, j)), shape=(len(atoms), len(atoms)))
    _, molecule = connected_components(bonds, directed=False)
    found, end = [], 0.0
    for number in np.unique(molecule[atoms.symbols == "Mo"]):
        part = atoms[molecule == number]
        first = part.positions[part.symbols.search("Mo")[0]]
        part.positions = find_mic(part.positions - first, atoms.cell)[0]
        found.append(part)
    found.sort(key=len, reverse=True)
    for part in found:
        part.cell = None
        part.positions[:, 0] += end + GAP - part.positions[:, 0].min()
        end = part.positions[:, 0].max()
    return found


def plot_bonds(time: np.ndarray, bonds: np.ndarray, path: Path) -> None:
    """Number of bonds over time (ps); the lines are means of about a twentieth of it."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for pair, number in zip(BONDS, bonds.T, strict=True):
        (line,) = axes.plot(time, uniform_filter1d(number.astype(float), max(1, len(time) // 20)), label="-".join(pair))
        axes.plot(time, number, ".", color=line.get_color(), alpha=0.2, markersize=2)
    axes.set(xlabel="time (ps)", ylabel="bonds", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", frameon=False, ncols=len(BONDS))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot_snapshots(time: np.ndarray, frames: list[Atoms], path: Path) -> None:
    """The molecules that have molybdenum, at equal distances of time."""
    figure, every_axes = plt.subplots(SNAPSHOTS, 1, figsize=(6, 2 * SNAPSHOTS), layout="constrained")
    for axes, k in zip(every_axes, np.linspace(0, len(frames) - 1, SNAPSHOTS).round().astype(int), strict=True):
        molecules = with_molybdenum(frames[k])
        plot_atoms(sum(molecules[1:], molecules[0]), axes, radii=0.6)
        formulas = ", ".join(part.symbols.formula.convert("metal").format("latex") for part in molecules)
        axes.set_title(f"{time[k]:.0f} ps: {formulas}", fontsize=10)
        axes.set_axis_off()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ps", type=float, default=100, help="length of the MD")
    parser.add_argument("--temperature", type=float, default=2500, help="in K")
    parser.add_argument("--model", type=Path, default=HERE.parent / "mo_s_o/models/mo_s_o.pb")
    arguments = parser.parse_args()
    if not arguments.model.is_file():
        parser.error(f"--model {arguments.model}: does not exist")
    md = arguments.folder / f"md.{arguments.temperature:g}K.{arguments.ps:g}ps"
    molecular_dynamics(md, arguments.model, arguments.temperature, arguments.ps)
    frames = ase.io.read(md / "frames.dump", index=":", format="lammps-dump-text")
    time = INTERVAL * np.arange(len(frames))
    bonds = np.array([number_of_bonds(atoms) for atoms in frames])
    with (arguments.folder / "bonds.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time (ps)", *("-".join(pair) for pair in BONDS)])
        writer.writerows([f"{t:.1f}", *row] for t, row in zip(time, bonds, strict=True))
    plot_bonds(time, bonds, arguments.folder / "bonds.png")
    plot_snapshots(time, frames, arguments.folder / "snapshots.png")
    print("bonds at the end:", ", ".join(f"{a}-{b} {n}" for (a, b), n in zip(BONDS, bonds[-1], strict=True)))
    print(f"see {arguments.folder}/bonds.csv, bonds.png and snapshots.png")


if __name__ == "__main__":
    main()
