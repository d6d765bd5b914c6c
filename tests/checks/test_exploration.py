# SPDX-License-Identifier: LGPL-3.0-or-later
"""The jobs of 01.model_devi and the trust levels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.conftest import REMOVED, found

WRONG_VALUES = [
    ("model_devi_f_trust_lo", 0.9, "expected from 0 up to model_devi_f_trust_hi, 0.6; found 0.9"),
    ("model_devi_jobs[0].sys_idx", [1], "expected indices of the 1 entries of sys_configs, from 0 on; found 1"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "text"), WRONG_VALUES)
def test_wrong_value(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {key}: {text}"]


def test_no_exploration_is_no_problem(run):
    assert found(run, {"model_devi_jobs": []}) == []


CONFLICTS = [
    (
        "model_devi_jobs[0].nbeads",
        4,
        "model_devi_jobs[0].nbeads: frames of path integrals cannot be relabelled; remove the key",
    ),
    ("use_ele_temp", 1, "use_ele_temp: pseudo-labels have no electron temperature; remove the key"),
    ("model_devi_dt", 0.0, "model_devi_dt: expected a number greater than 0, found 0.0"),
    ("model_devi_skip", -1, "model_devi_skip: expected an integer of at least 0, found -1"),
    ("model_devi_perc_candi_f", 101.0, "model_devi_perc_candi_f: expected a number between 0 and 100, found 101.0"),
    ("use_relative", True, "epsilon: missing; use_relative needs it"),
    ("model_devi_plumed", True, "model_devi_jobs[0].template: missing; model_devi_plumed needs it"),
    ("model_devi_jobs[0].sys_idx", [], "model_devi_jobs[0].sys_idx: expected at least one index of sys_configs"),
    ("model_devi_jobs[0].sys_idx", [0, 0], "model_devi_jobs[0].sys_idx: expected every index once, found [0, 0]"),
    (
        "model_devi_jobs[0].nsteps",
        5,
        "model_devi_jobs[0].nsteps: expected at least trj_freq, 10, or there is no frame; found 5",
    ),
    ("model_devi_jobs[0].nsteps", REMOVED, "model_devi_jobs[0].nsteps: missing; expected an integer"),
    ("model_devi_jobs[0].taut", -0.1, "model_devi_jobs[0].taut: expected a number greater than 0, found -0.1"),
    (
        "model_devi_jobs[0].ensemble",
        "nvp",
        "model_devi_jobs[0].ensemble: expected one of nvt, nve, npt, npt-i, npt-iso, npt-a, npt-aniso, npt-t, npt-tri, "
        'found "nvp"',
    ),
    (
        "model_devi_jobs[0].temps",
        [300, 0],
        "model_devi_jobs[0].temps: expected a list of temperatures in K, all greater than 0, found [300, 0]",
    ),
    (
        "model_devi_f_trust_lo",
        -0.1,
        "model_devi_f_trust_lo: expected from 0 up to model_devi_f_trust_hi, 0.6; found -0.1",
    ),
]


@pytest.mark.parametrize(("key", "value", "text"), CONFLICTS)
def test_conflict(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {text.format(folder=run.folder)}"]


def test_the_ensemble_decides_what_a_job_needs(run):
    job = "model_devi_jobs[0]"
    assert found(run, {f"{job}.ensemble": "npt"}) == []
    assert found(run, {f"{job}.press": REMOVED}) == []
    (line,) = found(run, {f"{job}.ensemble": "npt", f"{job}.press": REMOVED})
    assert line == f"param.json: {job}.press: expected a list of pressures in bar for npt, found null"
    assert found(run, {"model_devi_nopbc": True}) == []
    (line,) = found(run, {f"{job}.ensemble": "npt", "model_devi_nopbc": True})
    assert line == f"param.json: {job}.ensemble: npt needs periodic boundaries, but model_devi_nopbc is true"


def test_trust_levels_of_every_entry_of_sys_configs_are_compared(run):
    low, high = "model_devi_f_trust_lo", "model_devi_f_trust_hi"
    two = {"sys_configs": [["mos2_mono27.vasp"]] * 2, "model_devi_jobs[0].sys_idx": [0, 1]}
    assert found(run, {**two, low: [0.1, 0.2], high: {"0": 0.2, "1": 0.3}}) == []
    assert found(run, {**two, low: [0.1, 0.4], high: {"0": 0.2, "1": 0.3}}) == [
        f"param.json: {low}: expected from 0 up to {high}, 0.3; found 0.4"
    ]
    assert found(run, {**two, low: [0.1], high: 0.6}) == [
        f"param.json: {low}: expected a number for entry 1 of sys_configs, found [0.1]"
    ]


def test_trust_levels_of_a_job_count_for_the_systems_of_the_job(run):
    job = "model_devi_jobs[0]"
    assert found(run, {f"{job}.model_devi_f_trust_lo": 0.5}) == []
    assert found(run, {f"{job}.model_devi_f_trust_lo": 0.7}) == [
        f"param.json: {job}.model_devi_f_trust_lo: expected from 0 up to model_devi_f_trust_hi, 0.6; found 0.7"
    ]


WHOLE = (
    "pair_style deepmd ../graph.000.pb ../graph.001.pb out_freq {} out_file model_devi.out\npair_coeff * *\n"
    "dump dpgen_dump all custom 10 traj\n"
)
TEMPLATE = "pair_style deepmd graph.pb\npair_coeff * *\ndump dpgen_dump all custom 10 traj\n"


@pytest.mark.parametrize(
    ("text", "changes", "line"),
    [
        (TEMPLATE, {}, None),
        (
            TEMPLATE.replace("dpgen_dump", "mine"),
            {},
            "template.lmp: expected exactly one line dump dpgen_dump ... in in.lmp",
        ),
        (
            TEMPLATE + "pair_style deepmd other.pb\n",
            {},
            "template.lmp: expected exactly one line pair_style deepmd ... in in.lmp",
        ),
        (
            TEMPLATE,
            {"rev_mat": {"lmp": {"V_T": 300}}},
            'rev_mat.lmp: expected a list of values for every variable, found {"V_T": 300}',
        ),
        (
            TEMPLATE,
            {"sys_rev_mat": {"0": 1}},
            'sys_rev_mat: expected an object for every index of sys_configs, found {"0": 1}',
        ),
        (
            TEMPLATE,
            {"sys_rev_mat": {"0": {"lmp": {"V_T": []}}}},
            'sys_rev_mat.0.lmp: expected a list of values for every variable, found {"V_T": []}',
        ),
        (TEMPLATE, {"rev_mat": {"lmp": {"V_T": [300]}, "plm": {"V_A": 1}, "_comment": "mine"}}, None),
        (TEMPLATE + "boundary p p f\n", {}, "template.lmp: expected boundaries that are all periodic (p), or none is, "
         "found p p f in in.lmp"),
        (TEMPLATE + "boundary s s s\n", {}, None),
        (TEMPLATE + "boundary V_B V_B V_B\n", {}, None),
        (WHOLE.format(30), {}, None),
        (WHOLE.format(15), {}, "template.lmp: expected out_freq to be a multiple of trj_freq, 10, or rows lack a "
         "frame; found 15 in in.lmp"),
        (None, {}, 'template.lmp: expected a file that exists, found "in.lmp"'),
    ],
)  # fmt: skip
def test_a_template(run, text, changes, line):
    if text is not None:
        Path("in.lmp").write_text(text)
    job = {
        "sys_idx": [0],
        "trj_freq": 10,
        "template": {"lmp": "in.lmp"},
        "rev_mat": {"lmp": {"V_T": [300]}},
        **changes,
    }
    wanted = [] if line is None else [f"param.json: model_devi_jobs[0].{line}"]
    assert found(run, {"model_devi_jobs": [job]}) == wanted


def test_plumed_needs_its_fix(run):
    Path("in.lmp").write_text(TEMPLATE)
    Path("in.plm").write_text("")
    job = {"sys_idx": [0], "trj_freq": 10, "template": {"lmp": "in.lmp", "plm": "in.plm"}}
    (line,) = found(run, {"model_devi_plumed": True, "model_devi_jobs": [job]})
    assert line.endswith("template.lmp: expected exactly one line fix dpgen_plm ... in in.lmp")
    Path("in.lmp").write_text(f"{TEMPLATE}fix dpgen_plm all plumed plumedfile in outfile out\n")
    assert found(run, {"model_devi_plumed": True, "model_devi_jobs": [job]}) == []


def test_some_frames_must_come_after_the_skipped_ones(run):
    assert found(run, {"model_devi_skip": 500}) == []
    (line,) = found(run, {"model_devi_skip": 501})
    assert line == "param.json: model_devi_jobs[0].nsteps: 500 is below model_devi_skip, 501; no frame is looked at"
