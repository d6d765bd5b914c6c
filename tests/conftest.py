# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the tests share: the quick example, commands run in it, and a run from start to end."""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def quick_lammps() -> Path:
    """A folder with an ``lmp`` that finds its libraries once (lammps_environment.py), for all test processes."""
    if "IPIP_TESTS_LAMMPS" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="ipip-tests-"))
        atexit.register(shutil.rmtree, folder)
        find = shlex.join([sys.executable, str(ROOT / "tests/lammps_environment.py")])
        script = f"""#!/bin/sh
made={folder}
[ -f $made/environment ] || {{ {find} > $made/$$ && mv $made/$$ $made/environment; }}
. $made/environment
exec "$program" "$@"
"""
        (folder / "lmp").write_text(script)
        (folder / "lmp").chmod(0o755)
        os.environ["IPIP_TESTS_LAMMPS"] = str(folder)
    return Path(os.environ["IPIP_TESTS_LAMMPS"])


ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([str(quick_lammps()), str(Path(sys.executable).parent), os.environ["PATH"]]),
    "OMP_NUM_THREADS": "1",
    "DP_INTRA_OP_PARALLELISM_THREADS": "1",
    "DP_INTER_OP_PARALLELISM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

DPGEN = ["dpgen", "run", "param.json", "machine.json"]
# Stands in for dp, ipip and lmp: writes down every call that succeeds, and where it ran, and
# whether two ran in one folder at the same time.
WRAPPER = """#!/bin/sh
exec 9> "$CALLS/busy$(echo "$PWD" | tr / -)"
flock -n 9 || echo "$PWD: {name} $*" >> "$CALLS"/together
{program} "$@" || exit $?
echo "${{PWD#"$RUN_FOLDER"/}}: {name} $*" >> "$CALLS"/calls
"""

os.environ.update(ENVIRONMENT)  # for what is called in this process
# A shell without job control starts what is in its background deaf to Ctrl-C, and commands inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Run:
    """A folder with param.json and machine.json, and commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def param(self) -> dict:
        return json.loads((self.folder / "param.json").read_text())

    @param.setter
    def param(self, value: dict) -> None:
        (self.folder / "param.json").write_text(json.dumps(value, indent=2))

    @property
    def machine(self) -> dict:
        return json.loads((self.folder / "machine.json").read_text())

    @machine.setter
    def machine(self, value: dict) -> None:
        (self.folder / "machine.json").write_text(json.dumps(value, indent=2))

    def __call__(self, *command: str, timeout: float = 1800, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**ENVIRONMENT, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
        )

    def start(self, *command: str, stdout: Any = subprocess.DEVNULL, **environment: str) -> subprocess.Popen[str]:
        """Run a command in the background; ``os.killpg`` reaches it and its jobs."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**ENVIRONMENT, **environment},
            text=True,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def filled_in(machine: Path) -> dict[str, Any]:
    """One of our machine files with something in place of what its user is to fill in."""
    return json.loads(re.sub(r"YOUR-[\w-]*(\.example\.org)?", "mine", machine.read_text()))


@pytest.fixture
def quick(tmp_path: Path) -> Run:
    """A copy of the quick example."""
    folder = tmp_path / "run"
    shutil.copytree(EXAMPLES / "mo_s_quick", folder)
    return Run(folder)


@pytest.fixture
def run(quick: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The quick example, as the working directory."""
    monkeypatch.chdir(quick.folder)
    return quick


def short(folder: Path) -> Run:
    """The quick example with trainings of 40 steps, at a rate that leaves students tame enough to run MD."""
    shutil.copytree(EXAMPLES / "mo_s_quick", folder)
    run = Run(folder)
    param = run.param
    param["ipip"]["teacher_md"].update(nsteps=100)
    param["ipip"]["pretrain"]["numb_steps"] = 40
    rate = {"type": "exp", "start_lr": 1e-3, "stop_lr": 1e-6, "decay_steps": 10}
    param["default_training_param"]["learning_rate"] = rate
    param["default_training_param"]["training"].update(numb_steps=40, disp_freq=10, tensorboard=True)
    param["model_devi_jobs"][0].update(nsteps=100)
    param["ipip"]["evaluate"] = {"audit_frames": 2}
    param.update(model_devi_f_trust_lo=0.1, fp_task_max=2)
    run.param = param
    return run


@pytest.fixture(scope="session")
def wrappers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH with a dp, an ipip and an lmp that write down their calls."""
    folder = tmp_path_factory.mktemp("wrappers")
    for name in ("dp", "ipip", "lmp"):
        program = shutil.which(name, path=ENVIRONMENT["PATH"])
        (folder / name).write_text(WRAPPER.format(program=program, name=name))
        (folder / name).chmod(0o755)
    return folder


def counted(run: Run, wrappers: Path) -> dict[str, str]:
    """The environment in which the calls of a run are written down."""
    folder = run.folder.with_name(f"{run.folder.name}.calls")
    folder.mkdir(exist_ok=True)
    return {
        "PATH": f"{wrappers}{os.pathsep}{ENVIRONMENT['PATH']}",
        "RUN_FOLDER": str(run.folder),
        "CALLS": str(folder),
    }


def calls(run: Run) -> list[str]:
    """The calls that succeeded, in order, but for those of LAMMPS by a labeler, in folders of random names."""
    path = run.folder.with_name(f"{run.folder.name}.calls") / "calls"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line for line in lines if not line.startswith("/")]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, wrappers: Path) -> Run:
    """A run from start to end without interruption, one for all test processes. Not to be changed: copy it."""
    with made_once(tmp_path_factory, "finished") as (folder, is_there):
        if not is_there:
            run = short(folder / "run")
            done = run(*DPGEN, timeout=3600, **counted(run, wrappers))
            assert done.returncode == 0, done.stdout[-3000:]
    return Run(folder / "run")


@contextmanager
def made_once(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder that all test processes share, and whether one of them has filled it; the others wait meanwhile."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared / name, (shared / name / "made").is_file()
        (shared / name / "made").touch()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that no core waits for the last of them at the end.

    Of those that need the finished run only one: the others come when it is there.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    wait = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}
    first = max(sorted(wait), key=lambda path: slow[path], default=None)
    items.sort(key=lambda item: (item.path != first, item.path in wait, -slow[item.path]))
