# SPDX-License-Identifier: LGPL-3.0-or-later
"""MD with a DeePMD model in LAMMPS, or with a labeler, for the benchmarks of this folder."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import dpdata

from ipip_dp import workdir
from tests.benchmarks.mo_s_o import TYPE_MAP, labeler

if TYPE_CHECKING:
    from pathlib import Path

MASSES = [95.95, 32.06, 15.999]
HEAD = """units metal
atom_style atomic
atom_modify map yes
boundary p p p
read_data start.lmp
{masses}
pair_style deepmd {model}
pair_coeff * * {elements}
neighbor 1.0 bin
neigh_modify every 5 delay 0 check yes
"""


def md(folder: Path, system: dpdata.System, model: Path, commands: str) -> str:
    """Run LAMMPS from one frame in a new folder; returns its log.

    Parameters
    ----------
    system : dpdata.System
        One frame, with the elements of ``TYPE_MAP`` in this order.
    commands : str
        The input after the pair style.
    """
    folder.mkdir(parents=True)
    system.to("lammps/lmp", str(folder / "start.lmp"))
    masses = "\n".join(f"mass {i} {mass}" for i, mass in enumerate(MASSES, 1))
    head = HEAD.format(masses=masses, model=f'"{model.resolve()}"', elements=" ".join(TYPE_MAP))
    (folder / "in.lammps").write_text(head + commands)
    subprocess.run(["lmp", "-in", "in.lammps", "-screen", "none"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return (folder / "log.lammps").read_text()


def structure(path: Path) -> dpdata.System:
    """A start structure, with every element of ``TYPE_MAP``, also those it lacks."""
    return dpdata.System(str(path), fmt="vasp/poscar", type_map=TYPE_MAP)


def thermo(log: str) -> tuple[list[str], list[list[float]]]:
    """The names and rows of the last thermo table of a LAMMPS log, also of a run that ended early."""
    lines = log.splitlines()
    start = max(i for i, line in enumerate(lines) if line.split()[:1] == ["Step"])
    ends = (i for i, line in enumerate(lines[start:], start) if line.startswith(("Loop time", "ERROR")))
    end = next(ends, len(lines))
    return lines[start].split(), [[float(word) for word in line.split()] for line in lines[start + 1 : end]]


def loop_time(log: str) -> tuple[float, int]:
    """Seconds and steps of the last run of a LAMMPS log."""
    words = [line for line in log.splitlines() if line.startswith("Loop time")][-1].split()
    return float(words[3]), int(words[8])


def labeler_md(folder: Path, start: Path, name: str, **changes: Any) -> None:
    """Run ``ipip md`` with the teacher or the reference of examples/mo_s_o, unless finished; results in ``labels``.

    Parameters
    ----------
    start : Path
        A POSCAR.
    name : str
        ``teacher`` or ``reference``.
    **changes
        Settings beside those of every run here: ``temperatures`` (K), ``timestep`` (fs), ``nsteps``,
        ``interval``.
    """
    settings = {
        "labeler": labeler(name),
        "type_map": TYPE_MAP,
        "format": "vasp/poscar",
        "friction": 0.01,
        "seed": 1,
        "min_distance": 0.5,
        "max_force": 100.0,
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    workdir.write_task(folder / "md.json", settings)
    command = ["ipip", "md", str(start.resolve()), "labels", "--settings", "md.json"]
    subprocess.run(command, cwd=folder, check=True)
