# SPDX-License-Identifier: LGPL-3.0-or-later
"""The whole input: every bad value gives one line with file, key path, what was expected and what was found."""

from __future__ import annotations

import time

import pytest

from tests.checks.conftest import REMOVED, found


def test_the_example_has_no_problem(run):
    assert found(run) == []


# Key path, value, what is said about it.
WRONG_VALUES = [
    ("numb_models", True, "expected an integer, found true"),
    ("numb_models", "two", 'expected an integer, found "two"'),
    ("type_map", "Mo S", 'expected every element once, found "Mo S"'),
    ("type_map", ["Mo", "S", "S"], 'expected every element once, found ["Mo", "S", "S"]'),
    ("type_map", [], "expected every element once, found []"),
    ("fp_style", "vsap", "expected one of abacus, amber/diff, cp2k, cpx, custom, gaussian, pwmat, pwscf, siesta, vasp, "
     'found "vsap"; did you mean vasp?'),
    ("model_devi_engine", "gromacs", 'expected lammps, found "gromacs"'),
    ("model_devi_jobs", [7], "expected an object {...}, found 7"),
    ("sys_configs", [["a.vasp", 3]], 'expected a list of lists of strings, found [["a.vasp", 3]]'),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "text"), WRONG_VALUES)
def test_wrong_value(run, key, value, text):
    lines = found(run, {key: value})
    places = {key, f"{key}[0]"} if key == "model_devi_jobs" else {key}
    assert lines[0] in {f"param.json: {place}: {text}" for place in places}
    assert len(lines) == 1


# These need more than one key.
CONFLICTS = [
    (
        "ipip.teacher_md.nsteps",
        9,
        "ipip.teacher_md.nsteps: expected at least interval, 10, for one frame; found 9",
    ),
    (
        "ipip.init.interval",
        1000,
        "ipip.init.nsteps: expected at least interval, 1000, for one frame; found 600",
    ),
]


def test_an_audit_needs_a_reference(run):
    assert found(run, {"ipip.evaluate.audit_frames": 5}) == []
    changes = {"ipip.evaluate.audit_frames": 5, "ipip.reference": REMOVED}
    (line,) = [line for line in found(run, changes) if "audit" in line]
    assert line.startswith("param.json: ipip.evaluate.audit_frames: expected 0 without ipip.reference")


@pytest.mark.parametrize("key", ["use_relative", "model_devi_f_avg_relative", "model_devi_adapt_trust_lo"])
def test_levels_in_electronvolts_are_not_for_relative_deviations(run, key):
    assert any(
        line.startswith(f"param.json: {key}: expected false") for line in found(run, {"ipip.trust": "auto", key: True})
    )
    assert not any("ipip.trust" in line for line in found(run, {key: True}))


LEARNING = {
    "command": "true", "files": ["learn.json"], "results": ["new.pb"], "teacher": {"type": "dp", "models": ["new.pb"]},
}  # fmt: skip


def test_what_fine_tunes_the_teacher(run):
    key = "ipip.teacher_fine_tune"
    assert found(run, {key: LEARNING}) == [f"param.json: {key}.files: learn.json does not exist"]
    (run.folder / "learn.json").touch()
    assert found(run, {key: LEARNING}) == []
    away = {**LEARNING, "files": ["../learn.json"]}
    assert found(run, {key: away}) == [
        f"param.json: {key}.files: expected files in the run folder, found ../learn.json"
    ]
    other = {**LEARNING, "results": ["old.pb"]}
    assert found(run, {key: other}) == [
        f'param.json: {key}.results: expected a file that {key}.teacher is made of, found ["old.pb"]'
    ]


@pytest.mark.parametrize(("key", "value", "text"), CONFLICTS)
def test_conflict(run, key, value, text):
    assert found(run, {key: value}) == [f"param.json: {text.format(folder=run.folder)}"]


def test_every_problem_is_reported_at_once(run):
    start = time.monotonic()
    lines = found(
        run,
        {
            "ipip.pool.retention": 2,
            "ipip.pol": {},
            "ipip.teacher.elements": ["Mo"],
            "numb_models": 0,
            "sys_configs": [["a.vasp"], ["mos2_mono27.vasp"]],
            "init_data_sys": ["nowhere"],
        },
        {"train.resources.group_size": "1", "fp": REMOVED},
    )
    assert [line.split(": ")[:2] for line in lines] == [
        ["machine.json", "fp"],
        ["machine.json", "train.resources.group_size"],
        ["param.json", "ipip.pol"],
        ["param.json", "ipip.pool.retention"],
        ["param.json", "numb_models"],
        ["param.json", "sys_configs[0][0]"],
        ["param.json", "ipip.teacher.elements"],
        ["param.json", "init_data_sys"],
    ]
    assert time.monotonic() - start < 5
