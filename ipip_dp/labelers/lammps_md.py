# SPDX-License-Identifier: LGPL-3.0-or-later
"""Langevin dynamics in LAMMPS, with the pair style of a labeler."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.labelers.base import MDSettings, Trajectory
from ipip_dp.labelers.dynamics import stop_reason
from ipip_dp.labelers.lammps_commands import READ
from ipip_dp.labelers.lammps_files import labels_of, write_frames, write_thermo

if TYPE_CHECKING:
    from ipip_dp.data.gate import Gate
    from ipip_dp.labelers.lammps import LammpsLabeler
    from ipip_dp.labelers.progress import Progress


FEMTOSECOND = {"metal": 1e-3, "real": 1.0}  # in LAMMPS' units of time


def run(
    labeler: LammpsLabeler, data: dict[str, Any], settings: MDSettings, gate: Gate, progress: Progress
) -> Trajectory:
    """Run Langevin dynamics from the only frame of ``data``; see :func:`ipip_dp.labelers.dynamics.run_md`."""
    from dpdata.periodic_table import Element

    seeds = np.random.default_rng(settings.seed).integers(1, 900_000_000, size=2)  # LAMMPS's largest, random_mars.cpp
    temperature, fs = settings.temperature, FEMTOSECOND[labeler.units]
    n_atoms = len(data["atom_types"])
    with tempfile.TemporaryDirectory(prefix="ipip-lammps-") as name:
        folder = Path(name)
        rotations, volumes = write_frames(data, labeler.elements, folder / "start.dump")
        script = [
            *labeler.setup(data, "start.dump", masses=[float(Element(element).mass) for element in labeler.elements]),
            READ.format("start.dump"),
            f"velocity all create {temperature} {seeds[0]} mom yes rot no dist gaussian",
            "fix nve all nve",
            "fix potential all store/force",  # before the thermostat adds its own
            # damp is a time, the friction a rate in 1/fs
            f"fix thermostat all langevin {temperature} {temperature} {fs / settings.friction} {seeds[1]} zero yes",
            f"timestep {fs * settings.timestep}",
            *write_thermo(settings.interval),
            f"dump frames all custom {settings.interval} frames.txt id xu yu zu f_potential[*]",
            "dump_modify frames sort id format float %.17g header no",
            f"thermo {max(1, settings.nsteps // 100)}",
            "thermo_modify flush yes",
            f"run {settings.nsteps}",
        ]
        start = time.monotonic()
        stopped = _watch(labeler, script, folder, progress)
        seconds = time.monotonic() - start
        if stopped is None:  # count without the start of LAMMPS
            log = (folder / "log.lammps").read_text()
            seconds = float(re.findall(r"^Loop time of (\S+)", log, re.MULTILINE)[-1])
        frames = _read(folder / "frames.txt", n_atoms, 6)
        thermo = _read(folder / "thermo.txt", 1, 7)[: len(frames), 0]
    frames = frames[: len(thermo)]
    steps = settings.interval * max(len(frames) - 1, 1)

    coords = frames[1:, :, :3] @ rotations[0]  # without the start structure
    labels = labels_of(
        thermo[1:],
        frames[1:, :, 3:],
        np.repeat(rotations, len(coords), 0),
        np.repeat(volumes, len(coords)),
        data,
        labeler.units,
    )
    for number, (positions, forces) in enumerate(zip(coords, labels["forces"], strict=True)):
        reason = stop_reason(positions, forces, data, gate)
        if reason:
            labels = {name: values[:number] for name, values in labels.items()}
            return Trajectory(coords[:number], labels, reason, seconds / steps)
    return Trajectory(coords, labels, stopped, seconds / steps)


def _watch(labeler: LammpsLabeler, script: list[str], folder: Path, progress: Progress) -> str | None:
    """Run LAMMPS; return why it failed after its setup, if it did."""
    process = labeler.start(script, folder)
    try:
        while True:
            try:
                code = process.wait(timeout=1.0)
                break
            except subprocess.TimeoutExpired:
                progress.update(_current_step(folder / "log.lammps"))
    finally:
        process.kill()
    if code != 0:
        try:
            labeler.explain_failure(code, folder)
        except RuntimeError as error:
            return f"MD stopped: {error}"
    return None


def _current_step(log: Path) -> int:
    """Return the step of the last line of thermo output; 0 before the first."""
    if not log.is_file():
        return 0
    numbers = re.findall(r"^ +(\d+) +\S+ +\S+ +\S+ +\S+ +\S+ *$", log.read_text(errors="replace"), re.MULTILINE)
    return int(numbers[-1]) if numbers else 0


def _read(path: Path, rows: int, columns: int) -> np.ndarray:
    """Read the complete blocks of ``rows`` lines of a table, but for its first column: step, or id of an atom."""
    text = path.read_text() if path.is_file() else ""
    lines = [line.split() for line in text.split("\n")[:-1] if not line.startswith("#")]
    complete = len(lines) // rows * rows
    table = np.array([line[1:] for line in lines[:complete]], dtype=float)
    return table.reshape(-1, rows, columns)
