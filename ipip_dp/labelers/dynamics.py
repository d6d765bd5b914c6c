# SPDX-License-Identifier: LGPL-3.0-or-later
"""Langevin dynamics with a labeler: in ASE, unless its kind has an MD of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.data.gate import Gate, check_geometry, check_labels
from ipip_dp.labelers.ase import labels_of, to_atoms
from ipip_dp.labelers.base import DrivesMD, LabelerError, MDSettings, Trajectory
from ipip_dp.labelers.frames import periodic_cells
from ipip_dp.labelers.progress import Progress
from ipip_dp.text import reason

if TYPE_CHECKING:
    import dpdata
    from ase.calculators.calculator import Calculator

    from ipip_dp.labelers.base import Labeler


def run_md(labeler: Labeler, system: dpdata.System, settings: MDSettings, gate: Gate) -> Trajectory:
    """Run Langevin dynamics from the first frame of a system.

    Velocities start from the Maxwell-Boltzmann distribution; the centre of mass rests. The
    run ends early, and keeps its good frames, when a frame fails the gate or the labeler
    fails.

    Parameters
    ----------
    labeler : Labeler
        What drives it, and labels its frames.
    system : dpdata.System
        Start structure.
    settings : MDSettings
        The run.
    gate : Gate
        Limits for the frames.

    Raises
    ------
    LabelerError
        If the labeler cannot work or does not know an element.
    """
    with Progress(f"MD at {settings.temperature:g} K", settings.nsteps, "steps") as progress:
        if isinstance(labeler, DrivesMD):
            return labeler.run_md(system[[0]].data, settings, gate, progress)
        return run_in_ase(labeler.ase_calculator, system[[0]].data, settings, gate, progress)


def run_in_ase(
    calculator: Calculator, data: dict[str, Any], settings: MDSettings, gate: Gate, progress: Progress
) -> Trajectory:
    """Run Langevin dynamics from the only frame of ``data`` with an ASE calculator; see :func:`run_md`."""
    from ase import units
    from ase.constraints import FixCom
    from ase.md.langevin import Langevin

    rng = np.random.default_rng(settings.seed)
    atoms = to_atoms(data)[0]
    if hasattr(calculator, "reset"):  # what it did before may not matter
        calculator.reset()
    atoms.calc = calculator
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
    frames: list[dict[str, Any]] = []
    stopped = None
    start = time.monotonic()
    for _ in range(settings.nsteps // settings.interval):
        try:
            dynamics.run(settings.interval)
            labels = labels_of(atoms)
        except LabelerError:
            raise
        except Exception as error:  # whatever a calculator raises: keep what there is
            stopped = f"MD stopped: {reason(error)}"
            break
        stopped = stop_reason(atoms.get_positions(), labels["forces"], data, gate)
        if stopped:
            break
        coords.append(atoms.get_positions())
        frames.append(labels)
    seconds = (time.monotonic() - start) / max(dynamics.nsteps, 1)
    together = {name: np.array([frame[name] for frame in frames]) for name in (frames[0] if frames else ())}
    return Trajectory(np.array(coords).reshape(-1, len(atoms), 3), together, stopped, seconds)


def stop_reason(coords: np.ndarray, forces: np.ndarray, data: dict[str, Any], gate: Gate) -> str | None:
    """Why MD must end at a frame, if it must."""
    reason = check_geometry(coords[None], periodic_cells(data), gate)[0]
    reason = reason or check_labels(np.zeros(1), forces[None], None, gate)[0]
    return f"MD stopped: {reason}" if reason else None
