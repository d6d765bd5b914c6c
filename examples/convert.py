# SPDX-License-Identifier: LGPL-3.0-or-later
"""What you have computed already, as training data and held-out frames: by dpdata, to deepmd/npy.

    python examples/convert.py vasp RUNS DATA --type-map Mo,S,O

reads every file OUTCAR (``vasp``), every output of CP2K (``cp2k``: *.out, output) or every file of labelled
frames (``extxyz``) below RUNS, and writes DATA/train and DATA/held_out. Whole files are held out, about one in
five: frames of one trajectory are so alike that errors on them would be too good to be true.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import dpdata
from ase.io import read

FILES = {"vasp": ("OUTCAR*",), "cp2k": ("*.out", "output"), "extxyz": ("*.extxyz", "*.xyz")}
HELD_OUT = 5  # of so many files one is held out


def labelled(path: Path, code: str) -> list[dpdata.LabeledSystem]:
    """The converged frames of a file."""
    if code == "extxyz":  # of any composition
        return [dpdata.LabeledSystem(atoms, fmt="ase/structure") for atoms in read(path, ":", format="extxyz")]
    return [dpdata.LabeledSystem(str(path), fmt={"vasp": "vasp/outcar", "cp2k": "cp2kdata/e_f"}[code])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("code", choices=FILES)
    parser.add_argument("runs", type=Path, help="folder that is searched")
    parser.add_argument("data", type=Path, help="folder that is made")
    parser.add_argument("--type-map", required=True, help="elements as in param.json, with commas between them")
    arguments = parser.parse_args()
    type_map = arguments.type_map.split(",")
    if arguments.data.exists():
        sys.exit(f"{arguments.data} exists already; name another folder, or remove it")
    found = {}
    for path in sorted(file for pattern in FILES[arguments.code] for file in arguments.runs.rglob(pattern)):
        try:
            systems = [system for system in labelled(path, arguments.code) if len(system)]
        except Exception as error:  # whatever parsers raise on a broken file
            print(f"{path}: left out, {type(error).__name__}: {error}")
            continue
        print(f"{path}: {sum(map(len, systems))} frames")
        if systems:
            found[path] = systems
    if len(found) < 2:
        sys.exit(f"{arguments.runs}: expected two or more files with labelled frames, one of them to hold out")
    names = {name for systems in found.values() for system in systems for name in system["atom_names"]}
    if unknown := names - set(type_map):
        sys.exit(f"--type-map {arguments.type_map}: {arguments.runs} has {', '.join(sorted(unknown))}, too")
    files = list(found)
    random.Random(1).shuffle(files)
    n_held_out = max(1, len(files) // HELD_OUT)
    arguments.data.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.data.absolute().parent, prefix=".convert.") as temporary:
        made = Path(temporary) / "data"
        for name, part in (("held_out", files[:n_held_out]), ("train", files[n_held_out:])):
            systems = dpdata.MultiSystems(*(system for path in part for system in found[path]), type_map=type_map)
            systems.to_deepmd_npy(str(made / name))
            print(f"{arguments.data / name}: {systems.get_nframes()} frames")
        made.rename(arguments.data)


if __name__ == "__main__":
    main()
