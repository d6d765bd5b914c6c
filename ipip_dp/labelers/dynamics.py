"""Langevin dynamics with a labeler: in LAMMPS for a LAMMPS pair style, in ASE otherwise."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.errors import IpipError
from ipip_dp.labelers import make_driver
from ipip_dp.labelers.ase import to_atoms
from ipip_dp.labelers.frames import periodic_cells
from ipip_dp.labelers.lammps import LammpsDriver
from ipip_dp.labelers.progress import Progress
from ipip_dp.selection import Gate, check_geometry, check_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dpdata

    from ipip_dp.labelers import AseDriver, DPDriver


@dataclass(frozen=True)
class MDSettings:
    """Langevin dynamics at constant cell.

    Parameters
    ----------
    temperature : float
        K.
    timestep : float
        fs.
    nsteps : int
        Steps of the run.
    interval : int
        Steps between two frames.
    friction : float
        Friction of the thermostat, 1/fs.
    seed : int
        Seed of velocities and thermostat.
    """

    temperature: float
    timestep: float
    nsteps: int
    interval: int
    friction: float
    seed: int


@dataclass(frozen=True)
class Trajectory:
    """Frames of an MD run.

    Parameters
    ----------
    coords : ndarray, shape (n_frames, n_atoms, 3)
        Positions after ``interval``, 2 ``interval``, ... steps, Angstrom, not wrapped.
    stopped : str or None
        Why the run ended before its last step.
    seconds_per_step : float
        Wall time of one step.
    """

    coords: np.ndarray
    stopped: str | None
    seconds_per_step: float


def run_md(
    config: dict[str, Any], system: dpdata.System, settings: MDSettings, *, type_map: Sequence[str], gate: Gate
) -> Trajectory:
    """Run Langevin dynamics from the first frame of a system.

    Velocities start from the Maxwell-Boltzmann distribution; the centre of mass rests. The
    run ends early, and keeps its good frames, when a frame fails the gate or the labeler
    fails.

    Parameters
    ----------
    config : dict
        Labeler section.
    system : dpdata.System
        Start structure.
    settings : MDSettings
        The run.
    type_map : sequence of str
        Elements, in the order of param.json.
    gate : Gate
        Limits for the frames.

    Returns
    -------
    Trajectory

    Raises
    ------
    IpipError
        If the labeler cannot be set up or does not know an element.
    """
    driver = make_driver(config, list(type_map))
    data = system[[0]].data
    with Progress(f"MD at {settings.temperature:g} K", settings.nsteps, "steps") as progress:
        if isinstance(driver, LammpsDriver):
            return _run_lammps(driver, data, settings, gate, progress)
        return _run_ase(driver, data, settings, gate, progress)


def _run_ase(
    driver: AseDriver | DPDriver, data: dict[str, Any], settings: MDSettings, gate: Gate, progress: Progress
) -> Trajectory:
    from ase import units
    from ase.constraints import FixCom
    from ase.md.langevin import Langevin

    rng = np.random.default_rng(settings.seed)
    atoms = to_atoms(data)[0]
    atoms.calc = driver.ase_calculator
    atoms.set_constraint(FixCom())
    widths = np.sqrt(atoms.get_masses() * units.kB * settings.temperature)
    atoms.set_momenta(widths[:, None] * rng.standard_normal((len(atoms), 3)))
    dynamics = Langevin(
        atoms,
        settings.timestep * units.fs,
        temperature_K=settings.temperature,
        friction=settings.friction / units.fs,
        fixcm=False,  # FixCom does it; ASE is giving this argument up
        rng=rng,
    )
    dynamics.attach(lambda: progress.update(dynamics.nsteps))
    coords: list[np.ndarray] = []
    stopped = None
    start = time.monotonic()
    for _ in range(settings.nsteps // settings.interval):
        try:
            dynamics.run(settings.interval)
            forces = atoms.get_forces(apply_constraint=False)
        except IpipError:
            raise  # a problem of the labeler, not of this frame
        except Exception as error:  # whatever a calculator raises: keep what there is
            stopped = f"MD stopped: {type(error).__name__}: {error}"
            break
        stopped = _stop_reason(atoms.get_positions(), forces, data, gate)
        if stopped:
            break
        coords.append(atoms.get_positions())
    seconds = (time.monotonic() - start) / max(dynamics.nsteps, 1)
    return Trajectory(np.array(coords).reshape(-1, len(atoms), 3), stopped, seconds)


def _run_lammps(
    driver: LammpsDriver, data: dict[str, Any], settings: MDSettings, gate: Gate, progress: Progress
) -> Trajectory:
    from dpdata.periodic_table import Element

    seeds = np.random.default_rng(settings.seed).integers(1, 900_000_000, size=2)  # LAMMPS's largest, random_mars.cpp
    temperature = settings.temperature
    n_atoms = len(data["atom_types"])
    with tempfile.TemporaryDirectory(prefix="ipip-lammps-") as name:
        folder = Path(name)
        (rotation,), _ = driver.write_frames(data, folder / "start.dump")
        script = [
            *driver.setup(data, masses=[float(Element(element).mass) for element in driver.elements]),
            "read_dump start.dump 0 x y z box yes purge yes replace no add yes",
            f"velocity all create {temperature} {seeds[0]} mom yes rot no dist gaussian",
            "fix nve all nve",
            # damp is a time in ps, the friction a rate in 1/fs
            f"fix thermostat all langevin {temperature} {temperature} {1e-3 / settings.friction} {seeds[1]} zero yes",
            f"timestep {1e-3 * settings.timestep}",
            f"dump frames all custom {settings.interval} frames.txt id xu yu zu fx fy fz",
            "dump_modify frames sort id format float %.17g header no",
            f"thermo {max(1, settings.nsteps // 100)}",
            "thermo_modify flush yes",
            f"run {settings.nsteps}",
        ]
        start = time.monotonic()
        stopped = _watch_lammps(driver, script, folder, progress)
        seconds = time.monotonic() - start
        if stopped is None:  # count without the start of LAMMPS
            log = (folder / "log.lammps").read_text()
            seconds = float(re.findall(r"^Loop time of (\S+)", log, re.MULTILINE)[-1])
        frames = _read_lammps_frames(folder / "frames.txt", n_atoms)

    coords: list[np.ndarray] = []
    for frame in frames[1:]:  # without the start structure
        positions = frame[:, :3] @ rotation
        reason = _stop_reason(positions, frame[:, 3:] @ rotation, data, gate)
        if reason:
            stopped = reason
            break
        coords.append(positions)
    steps = settings.interval * max(len(frames) - 1, 1)
    return Trajectory(np.array(coords).reshape(-1, n_atoms, 3), stopped, seconds / steps)


def _watch_lammps(driver: LammpsDriver, script: list[str], folder: Path, progress: Progress) -> str | None:
    """Run LAMMPS; return why it failed after its setup, if it did."""
    process = driver.start(script, folder)
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
            driver.explain_failure(code, folder)
        except RuntimeError as error:
            return f"MD stopped: {error}"
    return None


def _current_step(log: Path) -> int:
    """Return the step of the last line of thermo output; 0 before the first."""
    if not log.is_file():
        return 0
    numbers = re.findall(r"^ +(\d+) +\S+ +\S+ +\S+ +\S+ +\S+ *$", log.read_text(errors="replace"), re.MULTILINE)
    return int(numbers[-1]) if numbers else 0


def _read_lammps_frames(path: Path, n_atoms: int) -> np.ndarray:
    """Read the complete frames of a dump file without headers: id and six columns."""
    lines = path.read_text().split("\n")[:-1] if path.is_file() else []
    complete = len(lines) // n_atoms * n_atoms
    values = np.array([line.split() for line in lines[:complete]], dtype=float).reshape(-1, n_atoms, 7)
    return values[:, :, 1:]


def _stop_reason(coords: np.ndarray, forces: np.ndarray, data: dict[str, Any], gate: Gate) -> str | None:
    """Why MD must end at a frame, if it must."""
    reason = check_geometry(coords[None], periodic_cells(data), gate)[0]
    reason = reason or check_labels(np.zeros(1), forces[None], None, gate)[0]
    return f"MD stopped: {reason}" if reason else None
