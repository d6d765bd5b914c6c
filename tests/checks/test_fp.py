# SPDX-License-Identifier: LGPL-3.0-or-later
"""The settings and files of 02.fp."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipip_dp.text import shown
from tests.checks.conftest import REMOVED, found

WRONG_VALUES = [
    ("fp_task_max", -1, "expected an integer of at least 0, found -1"),
    ("fp_task_min", -1, "expected an integer of at least 0, found -1"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "text"), WRONG_VALUES)
def test_wrong_value(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {key}: {text}"]


CONFLICTS = [
    (
        "ipip.reference",
        REMOVED,
        "ipip.reference: missing; the command of section fp in machine.json runs it. Give the command of your DFT code "
        "there instead, or add ipip.reference",
    ),
    (
        "ipip.reference.kwargs.param",
        "structures/mos2_mono27.vasp",
        "ipip.reference: structures/mos2_mono27.vasp: expected in the run folder itself; "
        "tasks of 02.fp have no folders",
    ),
    (
        "ipip.reference.kwargs.param",
        "machine.json",
        "ipip.reference: machine.json: expected in user_forward_files of section fp in machine.json, too",
    ),
    ("ratio_failed", 1.5, "ratio_failed: expected a number between 0 and 1, found 1.5"),
    ("fp_cluster_vacuum", 0.0, "fp_cluster_vacuum: expected a number greater than 0, found 0.0"),
    (
        "fp_params.input_fmt",
        "vasp/outcar",
        'fp_params.input_fmt: expected a format of dpdata that writes frames, found "vasp/outcar"',
    ),
    (
        "fp_params.output_fmt",
        "vasp/poscar",
        'fp_params.output_fmt: expected a format of dpdata that reads labels, found "vasp/poscar"',
    ),
    (
        "fp_params.input_fn",
        "in/POSCAR",
        'fp_params.input_fn: expected the name of a file in the task folder, found "in/POSCAR"',
    ),
    ("fp_params.output_fn", "POSCAR", 'fp_params.output_fn: expected a name of its own, found "POSCAR"'),
    ("fp_params.output_fn", "output", 'fp_params.output_fn: expected a name of its own, found "output"'),
]


COMMAND = "ipip label POSCAR labels --param param.json --labeler reference --min-success 0"


@pytest.mark.parametrize(("key", "value", "text"), CONFLICTS)
def test_conflict(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {text.format(folder=run.folder)}"]


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (COMMAND.replace("reference", "refrence"), "fp_style: expected --labeler teacher or reference beside --param"),
        (COMMAND.replace("param.json", "my.json"), "fp_style: my.json: expected in user_forward_files of section fp"),
        (COMMAND.replace("param.json", "$HOME/param.json"), ""),
        (
            COMMAND.replace("--param param.json --labeler reference", "--labeler=my.json"),
            "fp_style: my.json: expected in",
        ),
        (f"source env.sh && {COMMAND}", ""),
        (f"cd .. && {COMMAND.replace('reference', 'mine')}", ""),
        (COMMAND.replace("ipip", "python").replace("reference", "mine"), ""),
    ],
)
def test_command_of_fp(run, command, text):
    lines = found(run, machine={"fp.command": command})
    assert len(lines) == bool(text), lines
    assert all(line.startswith(f"param.json: {text}") for line in lines)
    assert found(run, {"fp_task_max": 0}, {"fp.command": command}) == []


def test_what_is_not_used_without_reference_calculations_is_not_checked(run):
    changes = {"fp_params.output_fn": "output", "fp_params.input_fn": ""}
    assert len(found(run, changes)) == 2
    assert found(run, {**changes, "fp_task_max": 0}) == []


VASP = {
    "fp_style": "vasp",
    "fp_pp_path": "potcars",
    "fp_pp_files": ["Mo", "S"],
    "fp_incar": "INCAR",
    "fp_params": REMOVED,
}
BAD_BOX = (
    "fp_skip_bad_box: expected NAME:LIMIT;... of length_ratio, height_ratio, wrap_ratio, tilt_ratio, min_distance, "
    'min_dist, as in length_ratio:3, found "length_ratio:5;tilt:1"'
)
INCAR = "ENCUT = 400\n  KSPACING=0.2\nkgamma = .TRUE.\n"


@pytest.mark.parametrize(
    ("changes", "incar", "lines"),
    [
        ({}, INCAR, []),
        ({"fp_incar": "INCAR.2"}, INCAR, ['fp_incar: expected a file that exists, found "INCAR.2"']),
        ({}, INCAR.replace("KSPACING", "# KSPACING"), ["fp_incar: INCAR lacks KSPACING, which DP-GEN needs"]),
        ({"fp_aniso_kspacing": [0.2, 0.2, 0.3]}, INCAR.replace("KSPACING", "# KSPACING"), []),
        ({}, "ENCUT = 400\nKSPACING = 0.2 ; KGAMMA = F\n", []),
        (
            {"fp_aniso_kspacing": [0.2, 0.2]},
            INCAR,
            ["fp_aniso_kspacing: expected three numbers greater than 0, found [0.2, 0.2]"],
        ),
        ({"fp_pp_path": "potcar"}, INCAR, ['fp_pp_path: expected a folder that exists, found "potcar"']),
        ({"fp_pp_files": ["Mo"]}, INCAR, ['fp_pp_files: expected one for each of type_map ["Mo", "S"], found ["Mo"]']),
        ({"fp_skip_bad_box": "length_ratio:5;tilt_ratio:2"}, INCAR, []),
        ({"fp_skip_bad_box": "length_ratio:5;tilt:1"}, INCAR, [BAD_BOX]),
        ({"fp_pp_files": ["Mo", "Se"]}, INCAR, ["fp_pp_files: there is no file potcars/Se"]),
    ],
)
def test_files_of_vasp(run, changes, incar, lines):
    Path("potcars").mkdir()
    for name in ("Mo", "S"):
        Path("potcars", name).touch()
    Path("INCAR").write_text(incar)
    assert found(run, {**VASP, **changes}) == [f"param.json: {line}" for line in lines]


def test_the_text_of_a_file_is_not_its_name(run):
    text = "ENCUT = 400; " * 30
    line = f"param.json or machine.json: expected the name of a file, found {shown(text)}"
    assert found(run, {**VASP, "fp_incar": text}) == [line]


def test_an_orbital_file_lies_beside_the_pseudopotentials(run):
    Path("pp").mkdir()
    for name in ("Mo.upf", "S.upf", "jle.orb"):
        Path("pp", name).touch()
    files = {"fp_pp_path": "pp", "fp_pp_files": ["Mo.upf", "S.upf"], "fp_dpks_descriptor": "jle.orb"}
    abacus = {"fp_style": "abacus", "fp_params": REMOVED, "user_fp_params": {"ecutwfc": 50}, **files}
    assert found(run, abacus) == []
    line = "param.json: fp_orb_files: there is no file pp/Mo.orb"
    assert found(run, {**abacus, "fp_orb_files": ["Mo.orb"]}) == [line]


PWSCF = {"ecut": 50.0, "ediff": 1e-6, "smearing": "gauss", "sigma": 0.05, "kspacing": 0.5}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"fp_style": "cp2k"}, "cp2k: it needs 'fp_params', which is missing"),
        ({"fp_style": "cp2k", "user_fp_params": {"FORCE_EVAL": {}}}, ""),
        ({"fp_style": "pwscf"}, "pwscf: it needs 'fp_params', which is missing"),
        ({"fp_style": "pwscf", "user_fp_params": {"control": {}}}, "pwscf: it needs 'kspacing', which is missing"),
        ({"fp_style": "pwscf", "fp_params": PWSCF, "mass_map": "auto"}, ""),
        ({"fp_style": "pwscf", "fp_params": {**PWSCF, "smearing": "gaussian"}}, "pwscf: RuntimeError: unknow smearing"),
        ({"fp_style": "abacus"}, "abacus: RuntimeError: Set 'user_fp_params' or 'fp_incar' in json file"),
        ({"fp_style": "abacus", "user_fp_params": {"ecutwfc": "50 Ry"}}, "abacus: "),
    ],
)
def test_dpgen_writes_the_input_of_its_code_before_anything_runs(run, changes, text):
    """What its schema leaves open and the run would fail at when the first students have explored."""
    Path("pp").mkdir()
    for name in ("Mo.upf", "S.upf"):
        Path("pp", name).touch()
    files = {} if changes["fp_style"] == "cp2k" else {"fp_pp_path": "pp", "fp_pp_files": ["Mo.upf", "S.upf"]}
    lines = found(run, {"fp_params": REMOVED, **files, **changes})
    assert len(lines) == bool(text), lines
    assert all(line.startswith(f"param.json: fp_style: DP-GEN cannot write the input of {text}") for line in lines)


def test_frames_cut_into_clusters_are_refused(run):
    keywords = {"keywords": "force b3lyp/6-31g*", "multiplicity": 1, "nproc": 1}
    gaussian = {"fp_style": "gaussian", "fp_params": keywords}
    assert found(run, {**gaussian, "use_clusters": False}) == []
    line = "param.json: cluster_cutoff: frames cut into clusters cannot be relabelled; remove the key"
    assert line in found(run, {**gaussian, "use_clusters": True, "cluster_cutoff": 5.0})


def test_a_shrink_wrapped_box_is_no_cell_of_vasp(run):
    Path("in.lmp").write_text("boundary s s s\npair_style deepmd x\ndump dpgen_dump all custom 10 x\n")
    job = {"sys_idx": [0], "trj_freq": 10, "template": {"lmp": "in.lmp"}}
    assert found(run, {"model_devi_jobs": [job]}) == []
    (line,) = found(run, {"model_devi_jobs": [job], "fp_params.input_fmt": "lammps/lmp"})
    assert line.startswith(
        "param.json: fp_params.input_fmt: expected a format that keeps open boundaries, as deepmd/npy"
    )
