# SPDX-License-Identifier: LGPL-3.0-or-later
"""Explore: DP-GEN's LAMMPS MD. One that blows up is a result, not a failure; a damaged one is run again.

DP-GEN prepares and dispatches the MD. A task holds
``model_devi.out``, one row per frame, and the frames: ``traj/STEP.lammpstrj``, or
``all.lammpstrj`` with ``model_devi_merge_traj``.
"""

from __future__ import annotations

import re
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import dumps
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
    "Illegal simulation box",  # shrink-wrapped around NaN
    "Cannot use neighbor bins - box size",
)
NOTE = "ipip: the MD blew up"  # in model_devi.log

# Column of model_devi.out with the maximum force deviation, in eV/Angstrom (DeePMD-kit's LAMMPS pair style).
MAX_FORCE_DEVIATION = 4
FAILED = 1e10  # eV/Angstrom, a deviation above any trust level
MERGED = "all.lammpstrj"


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


def deviations(task: Path) -> dict[int, float]:
    """Maximum force deviation at every step of one trajectory, in eV/Angstrom."""
    table = np.loadtxt(task / "model_devi.out", ndmin=2, usecols=(0, MAX_FORCE_DEVIATION))
    return {int(step): float(deviation) for step, deviation in table}


def frames(task: Path) -> Iterator[tuple[int, str]]:
    """MD step and text of all whole frames; of equal steps, the last one counts."""
    for path in [*task.glob(MERGED), *(task / "traj").glob("*.lammpstrj")]:
        yield from ((step, text) for step, text in dumps.read_texts(path) if dumps.is_whole(text))


def damage(task: Path) -> str | None:
    """What is missing of that which LAMMPS wrote, if anything is.

    Every row of ``model_devi.out`` needs a frame, except that an MD that blew up may lack the last ones. Frames
    without a row, as a minimisation dumps them, do no harm, unless they are so late that there should be another row.
    """
    deviations = rows(task)
    if not deviations:
        return "model_devi.out is missing, truncated or holds no row"
    if blew_up(task):
        return None
    steps = {step for step, _ in frames(task)}
    missing = sorted(deviations - steps)
    if missing:
        number = f"{len(missing)} of {len(deviations)} rows"
        return f"{number} of model_devi.out, the first of step {missing[0]}, have no frame"
    last, *before = sorted(deviations, reverse=True)
    if before and max(steps) >= 2 * last - before[0]:
        return f"model_devi.out ends at step {last}, and frames go on to step {max(steps)}"
    return None


def discard_damaged(context: Context) -> list[Path]:
    """Remove what damaged tasks left, so that they run again; returns these tasks."""
    from dpgen import dlog

    damaged = [task for task in tasks(context) if damage(task)]
    for task in damaged:
        restarts = [path.name for path in task.glob("dpgen.restart.*")]
        workdir.redo(task, "model_devi.out", "model_devi.log", "log.lammps", MERGED, "traj", *restarts)
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
        if problem := damage(task):
            raise IpipError(
                f"{task}: {problem}, and the MD has run twice with the same result. Is the disk full? Does the "
                "template dump, with dump dpgen_dump, every frame that pair_style deepmd writes a row for (out_freq)?"
            )


@contextmanager
def one_file_per_frame(context: Context) -> Iterator[dict[str, Any]]:
    """param.json for DP-GEN's sorting of frames, with trajectories that are not merged.

    Of a merged one, DP-GEN reads every frame with the atoms of the first, and finds it by its number. So merged ones
    are split for as long as DP-GEN reads them; the files of chosen candidates, which tasks of 02.fp link, stay.
    """
    if not context.jdata.get("model_devi_merge_traj"):
        yield context.jdata
        return
    written = []
    for task in tasks(context):
        (task / "traj").mkdir(exist_ok=True)
        for step, text in frames(task):
            written.append(task / "traj" / f"{step}.lammpstrj")
            workdir.write_text(written[-1], text)
    yield {**context.jdata, "model_devi_merge_traj": False}
    linked = {path.resolve() for path in context.iteration.fp.glob("task.*/conf.dump")}
    for path in written:
        if path.resolve() not in linked:
            path.unlink(missing_ok=True)  # a step that was dumped twice


def mark_unusable(task: Path, table: np.ndarray) -> np.ndarray:
    """Let rows with a deviation of NaN, without a whole frame, or whose frame has lost atoms, count as failed.

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
        table[~np.isin(table[:, 0], sorted(usable(task))), 1:] = FAILED
    return table


def usable(task: Path) -> set[int]:
    """The MD steps whose frames are whole, with all atoms and a number for a deviation."""
    n_atoms = _n_atoms(task) if blew_up(task) else 0
    whole = {step for step, text in frames(task) if dumps.n_atoms(text) >= n_atoms}
    return whole & {step for step, deviation in deviations(task).items() if np.isfinite(deviation)}


def _n_atoms(task: Path) -> int:
    """How many atoms there were before LAMMPS lost some, as it says; 0 if it lost none."""
    lost = re.search(rf"{NOTE}.*Lost atoms: original (\d+)", (task / "model_devi.log").read_text(errors="replace"))
    return int(lost[1]) if lost else 0
