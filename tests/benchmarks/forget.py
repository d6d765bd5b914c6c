# SPDX-License-Identifier: LGPL-3.0-or-later
"""Time of `forget` per model, imports aside, on a real checkpoint of the size of the Mo-S-O students.

    python tests/benchmarks/forget.py

trains a student of examples/mo_s_quick for ten steps (in a temporary folder), then forgets
with and without a refit of the energy bias to the example's reference data.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

from ipip_dp import backends as checkpoints

EXAMPLE = Path(__file__).parents[2] / "examples/mo_s_quick"
REPEATS = 5


def train(folder: Path) -> None:
    """Train ten steps of a (25, 50, 100) / (120, 120, 120) student."""
    param = json.loads((EXAMPLE / "param.json").read_text())
    student = param["default_training_param"]
    student["model"]["type_map"] = param["type_map"]
    student["model"]["descriptor"].update(neuron=[25, 50, 100], axis_neuron=12)
    student["model"]["fitting_net"]["neuron"] = [120, 120, 120]
    systems = [str(path.parent) for path in (EXAMPLE / "data/train").glob("*/type.raw")]
    student["training"].update(
        numb_steps=10, save_freq=10, disp_freq=10, training_data={"systems": systems, "batch_size": 1}
    )
    (folder / "input.json").write_text(json.dumps(student))
    command = ["dp", "train", "input.json", "--skip-neighbor-stat"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    """Print the median time of each kind of call."""
    logging.disable(logging.INFO)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"deepmd-kit {version('deepmd-kit')}, tensorflow-cpu {version('tensorflow-cpu')}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(folder)
        for text, data in (("without data", []), ("with a refit of the energy bias", [EXAMPLE / "data/train"])):
            times = []
            for repeat in range(REPEATS + 1):
                start = time.perf_counter()
                checkpoints.forget(folder, folder / "new" / "model.ckpt", method="reinit", seed=repeat, data=data)
                times.append(time.perf_counter() - start)
            seconds = f"{median(times[1:]):.2f} s, median of {REPEATS}; first call, with imports: {times[0]:.2f} s"
            print(f"forget {text}: {seconds}")


main()
