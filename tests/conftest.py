"""What the tests share: the quick example, and a way to run commands in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
    "DP_INTRA_OP_PARALLELISM_THREADS": "1",
    "DP_INTER_OP_PARALLELISM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

os.environ["PATH"] = ENVIRONMENT["PATH"]  # for what is called in this process


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

    def __call__(self, *command: str, timeout: float = 600, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**ENVIRONMENT, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
        )


@pytest.fixture
def quick(tmp_path: Path) -> Run:
    """A copy of the quick example."""
    folder = tmp_path / "run"
    shutil.copytree(EXAMPLES / "mo_s_quick", folder)
    return Run(folder)
