# SPDX-License-Identifier: LGPL-3.0-or-later
"""What makes it safe to type ``dpgen run`` again: one process per run folder, and a record that can be read."""

from __future__ import annotations

import fcntl
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.status.life import this_process
from ipip_dp.status.record import finished_stages

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO


@functools.cache
def claim(folder: Path) -> IO[str]:
    """Claim a run folder for this process until it ends.

    The claim is a POSIX record lock. The kernel drops it with the process, however that ends,
    so none is left behind by a killed run, in a copied folder or after a reboot; jobs and other
    children do not inherit it; network file systems pass it on to other machines. What the file
    says is only for the message.

    Parameters
    ----------
    folder : Path
        The run folder, absolute.

    Returns
    -------
    file
        The open lock file; closing it gives the folder up. The cache keeps it open.

    Raises
    ------
    IpipError
        If another process has the folder, or the folder cannot be written.
    """
    from dpgen import dlog

    path = folder / workdir.LOCK
    try:
        file = path.open("a+")  # unlike "w", it leaves alone what another process wrote
    except OSError as error:
        raise IpipError(f"{path}: cannot be written ({error.strerror}); a run needs a folder it can write to") from None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows either
        file.seek(0)
        holder = file.read(200).strip() or "a process that has not said its number yet"
        raise IpipError(f"{folder}: another dpgen run works here ({holder}); wait for its end, or end it") from None
    except OSError as error:
        dlog.warning(f"ipip: {path}: cannot be locked ({error.strerror}); do not start a second dpgen run here")
    file.truncate(0)
    file.write(f"{this_process()}\n")
    file.flush()
    return file


def keep_record(record_iter: Callable) -> Callable:
    """DP-GEN's function that records a finished stage; in an IPIP run it keeps a copy of the record."""

    @functools.wraps(record_iter)
    def wrapped(record: Any, *stage: Any, **named: Any) -> None:
        record_iter(record, *stage, **named)
        if workdir.RECORD_COPY.parent.is_dir():
            workdir.write_text(workdir.RECORD_COPY, Path(record).read_text())

    return wrapped


def restore_record() -> None:
    """Mend a ``record.dpgen`` that was cut short, emptied or lost.

    DP-GEN fails on half a last line, and does finished work again if lines are missing. What counts is
    :func:`ipip_dp.status.record.finished_stages`.
    """
    from dpgen import dlog

    text = workdir.RECORD.read_text(errors="replace") if workdir.RECORD.is_file() else ""
    mended = "".join(f"{iteration} {stage}\n" for iteration, stage in finished_stages())
    if mended == text:
        return
    workdir.write_text(workdir.RECORD, mended)
    dlog.warning(
        f"ipip: {workdir.RECORD} ended with {text[-12:]!r} and now ends with {mended[-12:]!r}, the last stages that "
        "finished; to have a stage done again, remove its folder and those of all later stages"
    )
