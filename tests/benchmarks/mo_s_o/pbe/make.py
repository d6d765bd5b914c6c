# SPDX-License-Identifier: LGPL-3.0-or-later
"""Make the PBE set of the study: frames of the teacher's MD, labelled by CP2K.

    python -m tests.benchmarks.mo_s_o.pbe.make STUDY

STUDY is a folder with the unpacked ``data.tar.xz`` of the study as ``data``: training frames are
chosen from its training set, held-out frames from its held-out set, whose trajectories differ.
The labels are the data of examples/mo_s_o_cp2k. Needs ``cp2k.psmp`` (Debian: ``cp2k``). Called again
it goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dpdata
import numpy as np

from ipip_dp import workdir
from ipip_dp.data import diversity
from tests.benchmarks.mo_s_o import EXAMPLE, TYPE_MAP

HERE = Path(__file__).parent
STRUCTURES = ("Mo3S11O6", "Mo0S14O0", "Mo0S10O10")
FRAMES = {"train": 15, "held_out": 6}  # per structure


def choose(study: Path, name: str, structure: str) -> dpdata.System:
    """A diverse part of the training frames, a random part of the held-out ones."""
    frames = dpdata.LabeledSystem(str(study / "data" / name / structure), fmt="deepmd/npy", type_map=TYPE_MAP)
    if name == "train":
        chosen = diversity.farthest_points(diversity.radial_features(frames.data), FRAMES[name], 1)
    else:
        chosen = np.random.default_rng(1).choice(len(frames), FRAMES[name], replace=False)
    return frames.sub_system(np.sort(chosen))


def structure_input(system: dpdata.System) -> str:
    """Cell and coordinates of one frame, for CP2K."""
    lines = ["&CELL"]
    lines += [
        f"  {axis} " + " ".join(f"{x:.10f}" for x in vector)
        for axis, vector in zip("ABC", system["cells"][0], strict=True)
    ]
    lines += ["&END CELL", "&COORD"]
    symbols = np.array(system["atom_names"])[system["atom_types"]]
    lines += [
        f"  {symbol} " + " ".join(f"{x:.10f}" for x in r)
        for symbol, r in zip(symbols, system["coords"][0], strict=True)
    ]
    return "\n".join([*lines, "&END COORD", ""])


def label(folder: Path, system: dpdata.System) -> None:
    """Run CP2K on one frame, unless it has finished."""
    output = folder / "output"
    if output.is_file():
        return
    workdir.fresh(folder)
    shutil.copy(HERE / "cp2k.inp", folder)
    (folder / "structure.inc").write_text(structure_input(system))
    start = time.monotonic()
    subprocess.run(
        ["cp2k.psmp", "-i", "cp2k.inp", "-o", "running"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    workdir.write_json(folder / "seconds.json", round(time.monotonic() - start, 1))
    (folder / "running").rename(output)
    print(folder, f"{time.monotonic() - start:.0f} s", flush=True)


def collect(name: str, structure: str, folders: list[Path], system: dpdata.System) -> None:
    """Write the converged frames of one structure as a deepmd/npy system."""
    converged = [
        i for i, folder in enumerate(folders) if "SCF run NOT converged" not in (folder / "output").read_text()
    ]
    labels = [dpdata.LabeledSystem(str(folders[i] / "output"), fmt="cp2k/output", type_map=TYPE_MAP) for i in converged]
    for i, frame in zip(converged, labels, strict=True):
        assert np.allclose(frame["coords"][0], system["coords"][i], atol=1e-4)
        assert (frame["atom_types"] == system["atom_types"]).all()
    target = EXAMPLE.parent / "mo_s_o_cp2k/data" / name / structure
    if target.exists():
        shutil.rmtree(target)
    merged = labels[0]
    for frame in labels[1:]:
        merged.append(frame)
    del merged.data["virials"]  # their unit depends on the version of the reader
    merged.to("deepmd/npy", str(target), set_size=len(merged), prec=np.float64)
    print(f"{target}: {len(merged)} of {len(folders)} frames converged")


def main() -> None:
    study = Path(sys.argv[1])
    jobs = {}
    for name in FRAMES:
        for structure in STRUCTURES:
            system = choose(study, name, structure)
            folders = [study / "pbe" / name / structure / f"{i:03d}" for i in range(len(system))]
            jobs[name, structure] = (folders, system)
    tasks = []
    with ThreadPoolExecutor(2) as workers:
        for i in range(max(FRAMES.values())):
            for folders, system in jobs.values():
                if i < len(folders):
                    tasks.append(workers.submit(label, folders[i], system[i]))
    for task in tasks:
        task.result()
    for (name, structure), (folders, system) in jobs.items():
        collect(name, structure, folders, system)
    seconds = [json.loads(path.read_text()) for path in study.glob("pbe/*/*/*/seconds.json")]
    print(
        f"{len(seconds)} frames, {np.mean(seconds):.0f} s each on one core, {sum(seconds) / 60:.0f} core minutes in all"
    )


if __name__ == "__main__":
    main()
