# SPDX-License-Identifier: LGPL-3.0-or-later
"""The scripts of examples/ do what they say, on real outputs and real MD."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ase
import dpdata
import numpy as np
import pytest
from ase.io import write

from ipip_dp.labelers import make_labeler
from tests.conftest import ENVIRONMENT, EXAMPLES, ROOT, Run

OUTCAR = Path(ase.__file__).parent / "test/testdata/vasp/OUTCAR_example_1"  # one frame of nickel
CP2K = Path(__file__).with_name("h2_cp2k.out")


def script(*words: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True, timeout=timeout)


def convert(code: str, runs: Path, data: Path, type_map: str) -> subprocess.CompletedProcess[str]:
    return script(EXAMPLES / "convert.py", code, runs, data, "--type-map", type_map)


@pytest.mark.parametrize(
    ("program", "calculator", "keyword", "raw"),
    [
        (
            "fine_tune_chgnet.py",
            "chgnet.model.dynamics:CHGNetCalculator.from_file",
            "path",
            {"calculator": "chgnet.model.dynamics:CHGNetCalculator"},
        ),
        (
            "fine_tune_sevennet.py",
            "sevenn.calculator:SevenNetCalculator",
            "model",
            {"calculator": "sevenn.calculator:SevenNetCalculator", "kwargs": {"model": "7net-0"}},
        ),
    ],
)
def test_a_fine_tuned_teacher_is_less_wrong(tmp_path, program, calculator, keyword, raw):
    """As a labeler, as the how-to page gives it; energies have the reference's zero."""
    pytest.importorskip(calculator.partition(".")[0])
    frames = dpdata.LabeledSystem(str(EXAMPLES / "mo_s_quick/data/train/Mo9S18"), fmt="deepmd/npy")[:4]
    write(tmp_path / "data.extxyz", frames.to("ase/structure"))
    done = script(EXAMPLES / program, tmp_path / "data.extxyz", tmp_path / "tuned.pth", "--epochs", 8, timeout=300)
    assert done.returncode == 0, done.stderr
    tuned = {"calculator": calculator, "kwargs": {keyword: str(tmp_path / "tuned.pth")}}

    def errors(config) -> tuple[float, float]:
        ase_calculator = make_labeler({"type": "ase", **config}, ["Mo", "S"]).ase_calculator
        energies, forces = [], []
        for atoms, energy, force in zip(frames.to("ase/structure"), frames["energies"], frames["forces"], strict=True):
            energies.append((ase_calculator.get_potential_energy(atoms) - energy) / len(atoms))
            forces.append(ase_calculator.get_forces(atoms) - force)
        return float(np.abs(energies).max()), float(np.sqrt(np.mean(np.square(forces))))

    (energy, force), (raw_energy, raw_force) = errors(tuned), errors(raw)
    assert energy < 0.1 * raw_energy
    assert force < 0.8 * raw_force


@pytest.fixture
def runs(tmp_path) -> Path:
    for name in ("a", "b"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        shutil.copy(OUTCAR, folder / "OUTCAR")
        shutil.copy(CP2K, folder / "output")
        frames = dpdata.LabeledSystem(str(EXAMPLES / "mo_s_quick/data/train/Mo9S18"), fmt="deepmd/npy")
        write(folder / "frames.extxyz", frames[:3].to("ase/structure"))
    (tmp_path / "runs/OUTCAR.broken").write_text("nothing\n")
    (tmp_path / "runs/broken.extxyz").write_text("nothing\n")
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("code", "type_map", "system", "frames"),
    [("vasp", "Ni", "Ni18", 1), ("cp2k", "O,H", "O0H2", 1), ("extxyz", "Mo,S", "Mo9S18", 3)],
)
def test_outputs_become_data(runs, tmp_path, code, type_map, system, frames):
    done = convert(code, runs, tmp_path / "run/data", type_map)
    assert done.returncode == 0, done.stderr
    assert ("broken" in done.stdout) == (code != "cp2k")
    for part in ("train", "held_out"):
        made = dpdata.LabeledSystem(str(tmp_path / "run/data" / part / system), fmt="deepmd/npy")
        assert len(made) == frames
        assert made["atom_names"] == type_map.split(",")
    assert np.abs(made["forces"]).max() > 0.01


def test_what_cannot_be_converted(runs, tmp_path):
    (tmp_path / "there").mkdir()
    shutil.copytree(runs / "a", tmp_path / "one")
    for arguments, message in (
        (("vasp", runs, tmp_path / "there", "Ni"), "there exists already"),
        (("vasp", runs, tmp_path / "new", "Cu"), "has Ni, too"),
        (("vasp", tmp_path / "one", tmp_path / "new", "Ni"), "expected two or more files"),
    ):
        done = convert(*arguments)
        assert done.returncode == 1
        assert message in done.stderr and "Traceback" not in done.stderr
        assert not (tmp_path / "new").exists()


def test_bonds_of_the_cluster_in_sulfur(tmp_path):
    command = (EXAMPLES / "sulfidation/sulfidation.py", tmp_path, "--ps", 0.2)
    done = script(*command)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "bonds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["time (ps)"] for row in rows] == ["0.0", "0.1", "0.2"]
    # A ring of three Mo, each with two oxygen atoms of its own, and 26 molecules.
    assert (rows[0]["Mo-S"], rows[0]["Mo-O"], rows[0]["S-S"], rows[0]["S-O"]) == ("0", "12", "26", "0")
    for picture in ("bonds.png", "snapshots.png"):
        assert (tmp_path / picture).stat().st_size > 10_000
    (log,) = tmp_path.glob("md.*/log.lammps")
    before = log.stat().st_mtime
    assert script(*command).returncode == 0
    assert log.stat().st_mtime == before


@pytest.mark.long
@pytest.mark.slow
def test_chgnet_is_fine_tuned(tmp_path):
    """With a script of examples/, to the teacher that the docs name."""
    text = (ROOT / "docs/how_to/fine_tune_teacher.md").read_text()
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (settings,) = (json.loads(f"{{{block}}}")["ipip"]["teacher_fine_tune"] for block in blocks if "chgnet" in block)
    frames = dpdata.LabeledSystem(str(EXAMPLES / "mo_s_o_cp2k/data/train/Mo3S11O6"), fmt="deepmd/npy")[:4]
    write(tmp_path / "data.extxyz", frames.to("ase/structure"))
    _, name, _, result = settings["command"].split()
    assert [name] == settings["files"] and [result] == settings["results"]
    done = script(EXAMPLES / name, tmp_path / "data.extxyz", tmp_path / result, timeout=900)
    assert done.returncode == 0, done.stderr
    teacher = {**settings["teacher"], "kwargs": {"path": str(tmp_path / result)}}
    raw = {"type": "ase", "calculator": teacher["calculator"].removesuffix(".from_file")}
    errors = []
    for labeler in (raw, teacher):
        found = frames.predict(driver=make_labeler(labeler, ["Mo", "S", "O"]))
        errors.append([np.abs(found[name] - frames[name]).mean() for name in ("energies", "forces")])
    assert np.all(np.array(errors[1]) < 0.7 * np.array(errors[0])), errors


def test_cp2k_gets_the_input_that_made_the_data():
    from dpgen.generator.lib.cp2k import make_cp2k_input

    user = json.loads((EXAMPLES / "mo_s_o_cp2k/param.json").read_text())["user_fp_params"]
    frame = dpdata.LabeledSystem(str(EXAMPLES / "mo_s_o_cp2k/data/train/Mo0S14O0"), fmt="deepmd/npy")[0]
    by_dpgen = make_cp2k_input(frame.data, user)
    by_hand = (ROOT / "tests/benchmarks/mo_s_o/pbe/cp2k.inp").read_text()
    wanted, found = ({" ".join(line.upper().split()) for line in text.splitlines()} for text in (by_hand, by_dpgen))
    differ = {line.split()[0] for line in wanted - found if not line.startswith(("!", "@", "&"))}
    assert differ == {"PROJECT", "RUN_TYPE", "PRINT_LEVEL", "METHOD", "EPS_DEFAULT"}  # names, defaults, a tighter bound


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cp2k.psmp"), reason="CP2K is not on this machine")
def test_cp2k_in_the_loop(tmp_path):
    """The commands of its README, with trainings and MD of seconds, and one label."""
    shutil.copytree(EXAMPLES / "mo_s_o_cp2k", tmp_path / "run")
    shutil.copytree(EXAMPLES / "mo_s_o/structures", tmp_path / "run/structures")
    run = Run(tmp_path / "run")
    param = run.param
    param["sys_configs"] = [["s8_s2.vasp"]]
    param["model_devi_jobs"] = [{**param["model_devi_jobs"][0], "sys_idx": [0], "temps": [300], "nsteps": 50}]
    param.update(fp_task_max=1, model_devi_f_trust_lo=0.0, model_devi_f_trust_hi=100.0)
    param["ipip"]["teacher_md"].update(temperatures=[300], nsteps=20, interval=2)
    param["ipip"]["pretrain"]["numb_steps"] = 100
    param["default_training_param"]["training"].update(numb_steps=100, disp_freq=50)
    run.param = param
    assert run("ipip", "check").returncode == 0
    done = run("dpgen", "run", "param.json", "machine.json", timeout=1800)
    assert done.returncode == 0, done.stdout[-3000:]
    (labelled,) = run.folder.glob("iter.000000/02.fp/data.*")
    assert len(dpdata.LabeledSystem(str(labelled), fmt="deepmd/npy")) == 1
