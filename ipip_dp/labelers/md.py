# SPDX-License-Identifier: LGPL-3.0-or-later
"""The work behind ``ipip md``: MD from one structure, whose potential labels its frames as it goes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import provenance
from ipip_dp.errors import IpipError
from ipip_dp.labelers.base import MDSettings
from ipip_dp.labelers.batch import label_groups, read_summary
from ipip_dp.labelers.dynamics import run_md
from ipip_dp.labelers.labels_format import Failure, LabelSummary
from ipip_dp.labelers.partial_labels import PARTIAL, keep_labels
from ipip_dp.labelers.read import FrameGroup, read_frames
from ipip_dp.labelers.registry import labeler_arguments, make_labeler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from dargs import Argument

    from ipip_dp.data.gate import Gate
    from ipip_dp.labelers.base import Labeler


def settings_argument() -> Argument:
    """The schema of ``md.json``, the settings of ``ipip md``; units as in :class:`MDSettings`."""
    from dargs import Argument

    def positive(name: str, kind: type) -> Argument:
        return Argument(
            name, kind, extra_check=lambda value: value > 0, extra_check_errmsg="expected a number greater than 0"
        )

    return Argument(
        "md.json",
        dict,
        [
            labeler_arguments("labeler", "What drives the trajectories and labels their frames."),
            Argument("type_map", list[str]),
            Argument("format", str),
            Argument("nopbc", bool, optional=True, default=False, doc="Drop the periodic boundaries of the start."),
            Argument("temperatures", list[float]),
            Argument("seed", int),
            *(positive(name, int) for name in ("nsteps", "interval")),
            *(positive(name, float) for name in ("timestep", "friction", "min_distance", "max_force")),
            Argument("max_neighbor_distance", float, optional=True),
        ],
    )


def seed_of(seed: int, number: int) -> int:
    """The seed of one of several MD runs from a structure.

    With one for all they would be the same trajectory at other scales, for thermostat and velocities scale the same
    random numbers by the root of the temperature.
    """
    return int(np.random.default_rng([seed, number]).integers(1, 2**31))


def md(
    start: Path,
    output: Path,
    config: dict[str, Any],
    *,
    type_map: Sequence[str],
    temperature: float,
    timestep: float,
    nsteps: int,
    interval: int,
    friction: float,
    seed: int,
    gate: Gate,
    fmt: str = "auto",
    nopbc: bool = False,
    labeler: Callable[[], Labeler] | None = None,
) -> LabelSummary:
    """Run MD from a structure and keep its labelled frames: the work behind ``ipip md``.

    A finished output is returned as it is; a finished trajectory is not run again.

    Parameters
    ----------
    start : Path
        File with one structure.
    output : Path
        Folder to make, in the dpdata format ``ipip/labels``, with ``md.json`` about the
        trajectory. The frame a run stopped at is among the failures in ``failed.json``.
    config : dict
        Labeler section.
    type_map : sequence of str
        Elements, in the order of param.json.
    temperature, timestep, nsteps, interval, friction, seed
        See :class:`MDSettings`.
    gate : Gate
        Limits for frames and labels.
    fmt : str
        dpdata format of `start`; "auto" goes by its name.
    nopbc : bool
        Whether to drop the periodic boundaries that `start` has.
    labeler : callable, optional
        Gives the labeler of ``config`` when it is needed, for callers that run several MDs with one.

    Returns
    -------
    LabelSummary
        No labelled frame is no error.

    Raises
    ------
    IpipError
        If `start` does not hold exactly one structure, the labeler cannot be set up, or
        the output belongs to another run.
    """
    if nsteps < interval:
        raise IpipError(f"nsteps {nsteps} is smaller than interval {interval}: the MD would give no frame")
    settings = MDSettings(temperature, timestep, nsteps, interval, friction, seed)
    groups = read_frames([start], type_map, fmt)
    n_structures = sum(len(group.sources) for group in groups)
    if n_structures != 1:
        raise IpipError(f"{start} holds {n_structures} structures; MD starts from exactly one")
    system = groups[0].system
    system.data["nopbc"] = system.nopbc or nopbc

    report = output / "md.json"
    run = {"start": str(start), **asdict(settings)}
    if report.is_file():
        found = json.loads(report.read_text())
        if {key: found[key] for key in run} != run:
            raise IpipError(f"{report} belongs to another MD run; choose another output folder or remove this one")
    finished = read_summary(output)
    if finished is not None:
        return finished

    saved = output / PARTIAL / "trajectory.npz"
    if not saved.is_file():
        driver = labeler() if labeler else make_labeler(config, list(type_map))
        trajectory = run_md(driver, system, settings, gate)
        if len(trajectory.coords):
            keep_labels(output, trajectory.labels)
        result = {"stopped": trajectory.stopped, "seconds_per_step": trajectory.seconds_per_step}
        workdir.write_json(report, {**run, **result})
        workdir.write_npz(saved, coords=trajectory.coords)
    with np.load(saved, allow_pickle=False) as file:
        coords = file["coords"]
    stopped = json.loads(report.read_text())["stopped"]

    frames = system[np.zeros(len(coords), dtype=int)]
    frames.data["coords"] = coords
    provenance.mark(frames, provenance.LabelSource.TEACHER, iteration=0)
    steps = tuple((str(start), interval * (i + 1)) for i in range(len(coords)))
    return label_groups(
        [FrameGroup(frames, steps)] if len(coords) else [],
        output,
        config,
        type_map=type_map,
        gate=gate,
        min_success=0.0,
        failures=[Failure(str(start), interval * (len(coords) + 1), stopped)] if stopped else [],
    )
