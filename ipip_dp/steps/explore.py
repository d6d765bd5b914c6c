# SPDX-License-Identifier: LGPL-3.0-or-later
"""Explore: DP-GEN's LAMMPS MD. One that blows up is a result, not a failure; a damaged one is run again.

DP-GEN prepares and dispatches the MD; nothing is written here. A task holds
``model_devi.out``, one row per frame, and the frames: ``traj/STEP.lammpstrj``, or
``all.lammpstrj`` with ``model_devi_merge_traj``.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipip_dp.steps.context import Context

# How LAMMPS says that atoms fly apart (src/thermo.cpp, domain.cpp, nbin_standard.cpp, npair.cpp, fix_nh.cpp).
BLOW_UPS = (
    "Lost atoms",
    "Non-numeric",
    "Domain too large for neighbor bins",
    "Too many neighbor bins",
    "Neighbor list overflow",
    "has tilted box too far",
)
NOTE = "ipip: the MD blew up"  # in model_devi.log

FAILED = 1e10  # eV/Angstrom, a deviation above any trust level


def tolerant(context: Context) -> dict[str, Any]:
    """machine.json with a LAMMPS command that succeeds when the MD blows up after its first frame.

    Such an MD would blow up in the same way if dpdispatcher tried it again. All that the
    machine needs for it is a shell.
    """
    errors = "|".join(BLOW_UPS)
    script = (
        f'{context.mdata["model_devi_command"]} "$@" && exit 0; code=$?; '
        f'reason=$(grep -E -m 1 "^ERROR.*({errors})" log.lammps) && grep -q "^ *[0-9]" model_devi.out || exit $code; '
        f'echo "{NOTE}: $reason"'
    )
    return {**context.mdata, "model_devi_command": f"/bin/bash -c {shlex.quote(script)} lmp"}


def tasks(context: Context) -> list[Path]:
    """The task folders of LAMMPS."""
    return sorted(conf.parent for conf in context.iteration.exploration.glob("task.*/conf.lmp"))


def blew_up(task: Path) -> bool:
    """Whether the MD of a task ended early because atoms flew apart."""
    log = task / "model_devi.log"
    return log.is_file() and NOTE in log.read_text(errors="replace")


def rows(task: Path) -> set[int]:
    """The MD steps of all rows of ``model_devi.out``, if it ends with a whole row; otherwise none."""
    path = task / "model_devi.out"
    text = path.read_text(errors="replace") if path.is_file() else ""
    table = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not text.endswith("\n") or len({len(row) for row in table}) != 1:
        return set()
    try:
        return {int(float(row[0])) for row in table}
    except ValueError:
        return set()


def frames(task: Path) -> set[int]:
    """The MD steps of all complete frames: those with as many atoms as the start structure."""
    n_atoms = int(re.findall(r"^\s*(\d+)\s+atoms", (task / "conf.lmp").read_text(), re.MULTILINE)[0])
    complete = set()
    for path in [*(task / "traj").glob("*.lammpstrj"), *task.glob("all.lammpstrj")]:
        for step, text in read_dump(path):
            _, _, atoms = text.partition("ITEM: ATOMS")
            if atoms.endswith("\n") and atoms.count("\n") == n_atoms + 1:
                complete.add(step)
    return complete


def read_dump(path: Path) -> Iterator[tuple[int, str]]:
    """The MD step and text of every frame of a LAMMPS dump; -1 if a kill cut the step off.

    An MD that was killed and went on repeats some steps.
    """
    for text in path.read_text(errors="replace").split("ITEM: TIMESTEP\n")[1:]:
        step = re.match(r"\d+\n", text)
        yield int(step[0]) if step else -1, text


def is_damaged(task: Path) -> bool:
    """Whether rows or frames are missing that LAMMPS wrote; an MD that blew up may lack the last frames."""
    deviations, dumped = rows(task), frames(task)
    return not deviations or bool(dumped - deviations) or (deviations != dumped and not blew_up(task))


def discard_damaged(context: Context) -> list[Path]:
    """Remove what damaged tasks left, so that they run again; returns these tasks."""
    from dpgen import dlog

    damaged = [task for task in tasks(context) if is_damaged(task)]
    for task in damaged:
        restarts = [path.name for path in task.glob("dpgen.restart.*")]
        workdir.redo(task, "model_devi.out", "model_devi.log", "log.lammps", "all.lammpstrj", "traj", *restarts)
        (task / "traj").mkdir()
    if damaged:
        names = ", ".join(map(str, damaged))
        dlog.warning(f"ipip: {names}: model_devi.out or frames are damaged; the MD runs again")
    return damaged


def require_whole(context: Context, again: list[Path]) -> None:
    """Check tasks that ran again.

    Raises
    ------
    IpipError
        If one is damaged still.
    """
    for task in again:
        if is_damaged(task):
            raise IpipError(
                f"{task}: model_devi.out and the frames do not match, even after the MD ran again; is the disk full?"
            )


def mark_unusable(task: Path, table: np.ndarray) -> np.ndarray:
    """Let rows with a deviation of NaN, or without a complete frame, count as failed.

    Parameters
    ----------
    task : Path
        Task folder.
    table : ndarray, shape (n_frames, n_columns) or (n_columns,)
        ``model_devi.out`` as DP-GEN reads it; the step is in the first column.

    Returns
    -------
    ndarray, shape (n_frames, n_columns)
    """
    table = np.nan_to_num(np.atleast_2d(table), nan=FAILED, posinf=FAILED)
    if blew_up(task):
        table[~np.isin(table[:, 0], list(frames(task))), 1:] = FAILED
    return table
