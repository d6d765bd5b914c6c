# SPDX-License-Identifier: LGPL-3.0-or-later
"""Make the data of the study, once: its result is committed as ``data.tar.xz`` beside this file.

    python -m tests.benchmarks.mo_s_o.data FOLDER

==============  ==========================================================================================
train           500 frames of the six structures of examples/mo_s_o, a diverse part of CHGNet MD at 500,
                1200 and 2000 K; labels of the reference, GFN1-xTB at 3000 K (semi-empirical, not DFT)
validation      90 frames of other trajectories; every choice of the study is made on them
held_out        180 frames of yet other trajectories, for the numbers that are reported
paper           30 frames of the paper's start structure (Mo3O9 + 26 S2, 64 atoms) from CHGNet MD at 1000
                and 2500 K, reference labels; no structure of it is in any training set
pool            1,800 frames of yet other CHGNet MD of the six structures, labelled by CHGNet
pool_reference  the same frames, labelled by the reference; what a user could not afford, for the arms
                that ask what more labels would bring
==============  ==========================================================================================

Called again it goes on where it stopped. Takes about an hour on two cores.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import dpdata
import numpy as np

from ipip_dp import workdir
from ipip_dp.checks import run_input as check
from ipip_dp.config import inputs
from ipip_dp.data import systems
from ipip_dp.steps import seed_pool
from ipip_dp.steps.context import Context
from tests.benchmarks.mo_s_o import EXAMPLE, TYPE_MAP
from tests.benchmarks.mo_s_o.simulation import labeler_md

ARCHIVE = Path(__file__).with_name("data.tar.xz")
TEMPERATURES = [500, 1200, 2000]  # K
PAPER_TEMPERATURES = [1000, 2500]  # K
SETS = ("train", "validation", "held_out", "paper", "pool", "pool_reference")


def parameters(folder: Path, held_out: str, number: int, held_out_frames: int) -> Context:
    """Write the param.json of one call of ``ipip init`` and enter its folder."""
    if not folder.is_dir():
        shutil.copytree(EXAMPLE, folder)
    os.chdir(folder)
    param = json.loads((EXAMPLE / "param.json").read_text())
    ipip = param["ipip"]
    ipip.update(seed=number, held_out=[held_out])
    ipip["init"].update(
        train_frames=500, held_out_frames=held_out_frames, temperatures=TEMPERATURES, nsteps=600, interval=12
    )
    ipip["teacher_md"].update(temperatures=TEMPERATURES, nsteps=1000, interval=10, timestep=2.0)
    param["init_data_sys"] = ["train"]
    workdir.write_json(Path("param.json"), param)
    jdata, mdata = inputs.load_input(Path("param.json"), Path("machine.json"))
    params = check.require_valid(jdata, mdata, "param.json", "machine.json", False)
    return Context(workdir.Iteration(0), params, check.normalized(jdata, "param.json"), mdata)


def paper_structure() -> dpdata.System:
    """Mo3O9 and 26 S2 molecules at random in a box of 30 Angstrom, no two molecules closer than 3 Angstrom.

    The cluster comes from a smaller cell, whose boundary one of its oxygen atoms had crossed: it stands 7 Angstrom off.
    """
    from ase import Atoms
    from ase.geometry import get_distances
    from ase.io import read

    cluster = read(EXAMPLE / "structures/mo3o9_s2.vasp")
    cluster = cluster[[atom.index for atom in cluster if atom.symbol != "S"]]
    cluster.set_cell(30 * np.eye(3))
    cluster.center()
    generator = np.random.default_rng(1)
    while len(cluster) < 64:
        direction = generator.normal(size=3)
        bond = 1.9 * direction / np.linalg.norm(direction)
        molecule = Atoms("S2", generator.uniform(0, 30, 3) + np.array([-bond / 2, bond / 2]))
        _, distances = get_distances(molecule.positions, cluster.positions, cell=cluster.cell, pbc=True)
        if distances.min() > 3:
            cluster += molecule
    return dpdata.System(cluster, fmt="ase/structure", type_map=TYPE_MAP)


def paper() -> None:
    """MD of the teacher from the paper's structure, and reference labels for 30 frames of it."""
    work = Path("paper_md")
    work.mkdir(exist_ok=True)
    if not (work / "start").is_file():
        paper_structure().to("vasp/poscar", str(work / "start"))
    labeler_md(
        work,
        work / "start",
        "teacher",
        temperatures=PAPER_TEMPERATURES,
        timestep=1.0,
        nsteps=900,
        interval=20,
    )
    frames = None
    for raw in sorted((work / "labels").rglob("type.raw")):
        trajectory = dpdata.LabeledSystem(str(raw.parent), fmt="deepmd/npy", type_map=TYPE_MAP)
        part = trajectory[len(trajectory) // 3 :: 2]  # 15 of 45
        frames = part if frames is None else frames + part
    frames.to("deepmd/npy", str(work / "chosen"), set_size=len(frames))
    label(work / "chosen", "paper")


def label(source: Path, target: str) -> None:
    """Labels of the reference."""
    command = ["ipip", "label", str(source), target, "--labeler", "reference", "--param", "param.json"]
    subprocess.run([*command, "--workers", "2"], check=True)


def pool(context: Context) -> None:
    """The teacher's MD and labels, as the first step of a run makes them."""
    from ipip_dp.running import dispatch

    with dispatch.submissions(context.mdata, context.params.check_interval):
        seed_pool.step(context)


def main() -> None:
    root = Path(sys.argv[1]).resolve()
    context = parameters(root / "first", "held_out", 1, 180)
    subprocess.run(["ipip", "init"], check=True)
    pool(context)
    label(workdir.Iteration(0).pool, "pool_reference")
    paper()
    parameters(root / "second", "validation", 2, 90)
    if not Path("train").exists():
        Path("train").symlink_to("../first/train")
    subprocess.run(["ipip", "init"], check=True)
    os.chdir(root)
    folders = {"validation": Path("second/validation"), "pool": Path("first") / workdir.Iteration(0).pool}
    with tarfile.open(ARCHIVE.with_suffix(".tmp"), "w:xz") as archive:
        for name in SETS:
            for system in systems.find([folders.get(name, Path("first") / name)]):
                frames = dpdata.LabeledSystem(str(system), fmt="deepmd/npy", type_map=TYPE_MAP)
                target = Path("data") / name / system.name
                shutil.rmtree(target, ignore_errors=True)
                frames.to("deepmd/npy", str(target), set_size=len(frames), prec=np.float32)
            archive.add(Path("data") / name, name)
    ARCHIVE.with_suffix(".tmp").rename(ARCHIVE)


if __name__ == "__main__":
    main()
