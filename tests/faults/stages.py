# SPDX-License-Identifier: LGPL-3.0-or-later
"""Copies of a finished run as it was at an earlier stage, and ways to start them again."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

from tests.conftest import DPGEN, ROOT, Run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

PYTHONPATH = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])  # for tests.faults.failing

# The folders that stages of iteration 0 and all later ones write, by the last stage that is recorded.
RELABELLED = "iter.000000/00.ipip/relabel/done"
LATER = {
    "": ("0/00.ipip/pretrain", "0/00.ipip/forgotten", "0/00.train"),
    "0 0": (),
    "0 1": ("0/00.ipip/evaluate",),
    "0 2": ("0/01.model_devi",),
    "0 5": ("0/02.fp", "0/00.ipip/relabel"),
    "0 6": ("0/02.fp/*/labels", "0/02.fp/*_job_*", "0/02.fp/*.json", "0/02.fp/*/*_task_tag_finished", "0/02.fp/data.*"),
    "0 7": (
        "0/00.ipip/on_policy",
        *(f"0/00.ipip/relabel/{name}" for name in ("done", "summary.json", "students", "teacher", "*_job_*")),
        "1/00.ipip/pool",
    ),
    "0 8": ("1/00.train", "1/00.ipip/[!p]*", "1/00.ipip/pretrain"),
}


def rewind(finished: Run, folder: Path, last: str) -> Run:
    """A copy of a finished run as if ``last`` were the last line of its record."""
    shutil.copytree(finished.folder, folder, symlinks=True)
    for link in [path for path in folder.rglob("*") if path.is_symlink() and os.path.isabs(os.readlink(path))]:
        target = os.readlink(link).replace(str(finished.folder), str(folder))
        link.unlink()
        link.symlink_to(target)
    for stage in list(LATER)[list(LATER).index(last) :]:
        for pattern in LATER[stage]:
            for path in folder.glob(f"iter.00000{pattern}"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for name in ("record.dpgen", "param.json"):  # what else remembers how far the run was, and with what
        (folder / "iter.000000/00.ipip" / name).unlink(missing_ok=True)
    lines = (finished.folder / "record.dpgen").read_text().splitlines()
    record = "".join(f"{line}\n" for line in lines[: lines.index(last) + 1]) if last else ""
    (folder / "record.dpgen").unlink()
    if record:
        (folder / "record.dpgen").write_text(record)
    return Run(folder)


def start(run: Run, **environment: str) -> subprocess.CompletedProcess[str]:
    """``dpgen run`` to its end."""
    return run(*DPGEN, PYTHONPATH=PYTHONPATH, **environment)


def start_until(run: Run, last: str, **environment: str) -> str:
    """``dpgen run``, killed with its jobs when ``last`` is recorded; what it said."""
    record = run.folder / "record.dpgen"
    return _start_until(run, lambda: record.is_file() and last in record.read_text().splitlines(), environment)


def start_until_exists(run: Run, name: str, **environment: str) -> str:
    """``dpgen run``, killed with its jobs when a file appears; what it said."""
    return _start_until(run, (run.folder / name).exists, environment)


def _start_until(run: Run, reached: Callable[[], bool], environment: dict[str, str], timeout: float = 600) -> str:
    log = run.folder / "run.log"
    with log.open("w") as file:
        process = run.start(*DPGEN, stdout=file, PYTHONPATH=PYTHONPATH, **environment)
        end = time.monotonic() + timeout
        while process.poll() is None and time.monotonic() < end and not reached():
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    said = log.read_text()
    assert reached(), said[-3000:]
    assert "Traceback" not in said
    return said


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a run that stopped said about it: one message, no traceback."""
    assert done.returncode == 1, done.stdout[-3000:]
    _, _, said = done.stdout.partition("ERROR:dpgen:ipip: ")  # before it, dpdispatcher may quote a job's traceback
    assert said and "Traceback" not in said, done.stdout[-3000:]
    return "\n".join(line for line in done.stdout.splitlines() if "ERROR" in line and "ipip: " in line)


def one_line_of_ipip(done: subprocess.CompletedProcess[str]) -> str:
    """What an ``ipip`` command that failed said about it: one message, no traceback."""
    assert done.returncode == 1, done.stdout[-3000:]
    assert "Traceback" not in done.stdout, done.stdout[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ipip: ")]
    return line


def truncate(path: Path, fraction: float = 0.5) -> None:
    """Cut a file, as after a crash of the file system."""
    os.truncate(path, int(path.stat().st_size * fraction))


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
