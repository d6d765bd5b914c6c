# SPDX-License-Identifier: LGPL-3.0-or-later
"""The quick example with students of every backend: `dpgen run` from seed to stop, with the same data and seeds.

    python tests/benchmarks/backends.py FOLDER [--only NAME ...] [--longer 5] [--seed 1]

One run after the other, each in its folder; finished ones are kept, an interrupted one goes on. Prints, of every
iteration, the force RMSE of the students' mean, and of each student, on the held-out frames (GFN1-xTB,
semi-empirical), and minutes. Trainings are so many times longer than the example's, after which students differ little.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "examples/mo_s_quick"
FITTING_NET = {"neuron": [32, 32], "precision": "float32"}
DPA4C = {"type": "dpa4c", "rcut": 6.0, "channels": 16, "lmax": 2, "n_radial": 8, "precision": "float32"}
DPA4 = {"type": "dpa4", "rcut": 4.5, "channels": 8, "lmax": 1, "mmax": 1, "n_radial": 4, "n_blocks": 1}
# Keys of param.json, and a model in place of the example's se_e2_a.
STUDENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tensorflow": ({}, {}),
    "pytorch": ({"train_backend": "pytorch"}, {}),
    "pytorch-exportable": ({"train_backend": "pytorch-exportable"}, {}),
    "DPA4C": ({"train_backend": "pytorch-exportable"}, {"descriptor": DPA4C, "fitting_net": FITTING_NET}),
    "DPA4": (
        {"train_backend": "pytorch", "model_format": "pt2"},
        {"type": "dpa4", "descriptor": DPA4, "fitting_net": {"neuron": [32], "precision": "float32"}},
    ),
}


def prepare(folder: Path, name: str, longer: int, seed: int) -> None:
    """The example with these students."""
    keys, model = STUDENTS[name]
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(EXAMPLE, temporary)
    param = json.loads((temporary / "param.json").read_text())
    param.update(keys)
    if model:
        param["default_training_param"]["model"] = model
    param["ipip"]["seed"] = seed
    for training in (param["ipip"]["pretrain"], param["default_training_param"]["training"]):
        training["numb_steps"] *= longer
    (temporary / "param.json").write_text(json.dumps(param, indent=2))
    temporary.rename(folder)


def errors(folder: Path) -> str:
    """Held-out force RMSE of the students' mean in every iteration, and of each student, in eV/Angstrom."""
    found = []
    for path in sorted(folder.glob("iter.*/00.ipip/evaluate/metrics.json")):
        metrics = json.loads(path.read_text())
        students = ", ".join(f"{student['force_rmse']:.3f}" for student in metrics["students"])
        found.append(f"{metrics['ensemble']['force_rmse']:.4f} ({students})")
    return " -> ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=list(STUDENTS), choices=list(STUDENTS), metavar="NAME")
    parser.add_argument("--longer", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for package in ("deepmd-kit", "dpgen", "tensorflow-cpu", "torch", "ipip-dp"):
        try:
            print(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            continue
    for name in arguments.only:
        folder = arguments.folder / f"{name}-seed{arguments.seed}"
        if not folder.is_dir():
            prepare(folder, name, arguments.longer, arguments.seed)
        finished = folder / "minutes"
        if not finished.is_file():
            start = time.monotonic()
            with (folder / "dpgen.out").open("a") as log:
                subprocess.run(
                    ["dpgen", "run", "param.json", "machine.json"], cwd=folder, stdout=log, stderr=log, check=True
                )
            finished.write_text(f"{(time.monotonic() - start) / 60:.1f}")
        print(f"{name:20} {errors(folder)} eV/A, {finished.read_text()} min", flush=True)


if __name__ == "__main__":
    main()
