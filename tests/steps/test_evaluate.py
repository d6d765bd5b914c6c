# SPDX-License-Identifier: LGPL-3.0-or-later
"""Errors on the held-out frames, the learning curve and the stop test."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import dpdata
import numpy as np
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.steps import evaluate
from ipip_dp.workdir import Iteration

TYPE_MAP = ["Mo", "S"]


def write_system(folder: Path, symbols: list[str], n_frames: int, seed: int, virials: bool = True):
    rng = np.random.default_rng(seed)
    n_atoms = len(symbols)
    data = {
        "atom_names": TYPE_MAP,
        "atom_numbs": [symbols.count(name) for name in TYPE_MAP],
        "atom_types": np.array([TYPE_MAP.index(symbol) for symbol in symbols]),
        "orig": np.zeros(3),
        "cells": np.tile(10 * np.eye(3), (n_frames, 1, 1)),
        "coords": rng.uniform(0, 10, (n_frames, n_atoms, 3)),
        "energies": rng.normal(size=n_frames),
        "forces": rng.normal(size=(n_frames, n_atoms, 3)),
    }
    if virials:
        data["virials"] = rng.normal(size=(n_frames, 3, 3))
    system = dpdata.LabeledSystem(data=data)
    system.to("deepmd/npy", str(folder), set_size=n_frames, prec=np.float64)
    return dpdata.LabeledSystem(str(folder), fmt="deepmd/npy")


@pytest.fixture
def held_out(tmp_path):
    """Two systems of different size, in one data folder."""
    folder = tmp_path / "held_out"
    systems = [write_system(folder / "a", ["Mo", "S"], 3, 1), write_system(folder / "b", ["Mo", "S", "S"], 2, 2)]
    return folder, systems


def write_predictions(path: Path, systems, force_errors, energy_errors=None):
    """Predictions off by a constant per model: of every force component, and of the energy per frame."""
    arrays = {}
    for i, system in enumerate(systems):
        n = len(force_errors)
        arrays[f"{i}/forces"] = np.array([system["forces"] + error for error in force_errors])
        arrays[f"{i}/energies"] = np.array([system["energies"]] * n) + (
            0 if energy_errors is None else energy_errors[i]
        )
        arrays[f"{i}/virials"] = np.array([system["virials"]] * n)
    np.savez(path, **arrays)
    return path


def test_errors_are_those_of_a_calculation_by_hand(held_out, tmp_path):
    folder, systems = held_out
    students = write_predictions(tmp_path / "students.npz", systems, [0.1, -0.5])
    teacher = write_predictions(tmp_path / "teacher.npz", systems, [0.2])
    found = evaluate.errors([folder], TYPE_MAP, students, teacher=teacher)
    assert [student["force_rmse"] for student in found["students"]] == pytest.approx([0.1, 0.5])
    assert found["ensemble"]["force_rmse"] == pytest.approx(0.2)  # of the mean, (0.1 - 0.5) / 2
    assert found["ensemble"]["force_mae"] == pytest.approx(0.2)
    assert found["ensemble"]["n_frames"] == 5
    assert found["teacher"]["force_rmse"] == pytest.approx(0.2)
    assert set(found["systems"]) == {"a", "b"}
    assert found["systems"]["b"]["teacher"]["n_frames"] == 2
    assert found["systems"]["b"]["ensemble"]["force_rmse"] == pytest.approx(0.2)


def test_frames_of_large_systems_weigh_more(held_out, tmp_path):
    folder, systems = held_out
    path = write_predictions(tmp_path / "students.npz", systems, [0.0])
    arrays = dict(np.load(path))
    arrays["1/forces"] = arrays["1/forces"] + 0.6
    np.savez(path, **arrays)
    found = evaluate.errors([folder], TYPE_MAP, path)
    components = np.repeat([0.0, 0.6], [3 * 2 * 3, 2 * 3 * 3])
    assert found["ensemble"]["force_rmse"] == pytest.approx(np.sqrt(np.mean(components**2)))
    assert "teacher" not in found


def test_an_energy_zero_per_element_is_no_error(held_out, tmp_path):
    folder, systems = held_out
    shifts = [np.array(1 * -100.0 + 1 * 7.0), np.array(1 * -100.0 + 2 * 7.0)]
    path = write_predictions(tmp_path / "students.npz", systems, [0.0], shifts)
    found = evaluate.errors([folder], TYPE_MAP, path)
    assert found["ensemble"]["energy_rmse_per_atom_aligned"] == pytest.approx(0, abs=1e-10)


def test_frames_the_teacher_fails_on_are_left_out_of_its_errors(held_out, tmp_path):
    folder, systems = held_out
    students = write_predictions(tmp_path / "students.npz", systems, [0.1])
    teacher = write_predictions(tmp_path / "teacher.npz", systems, [0.2])
    arrays = dict(np.load(teacher))
    arrays["0/energies"][0, 1] = np.nan
    arrays["1/forces"][0, 0, 2] = np.nan
    np.savez(teacher, **arrays)
    found = evaluate.errors([folder], TYPE_MAP, students, teacher=teacher)
    assert found["teacher"]["n_frames"] == 3
    assert found["teacher"]["force_rmse"] == pytest.approx(0.2)
    assert found["ensemble"]["n_frames"] == 5


def test_a_student_that_predicts_nan_on_one_frame_has_no_error_to_be_proud_of(held_out, tmp_path):
    folder, systems = held_out
    path = write_predictions(tmp_path / "students.npz", systems, [0.1, 0.1])
    arrays = dict(np.load(path))
    for name in ("energies", "forces", "virials"):
        arrays[f"0/{name}"][1, 2] = np.nan
    np.savez(path, **arrays)
    found = evaluate.errors([folder], TYPE_MAP, path)
    assert math.isnan(found["ensemble"]["force_rmse"])
    assert found["students"][0]["force_rmse"] == pytest.approx(0.1)


def test_predictions_of_other_held_out_data_are_refused(held_out, tmp_path):
    folder, systems = held_out
    students = write_predictions(tmp_path / "students.npz", systems, [0.1])
    teacher = write_predictions(tmp_path / "teacher.npz", systems[:1], [0.2])
    with pytest.raises(IpipError, match=r"teacher.npz: .* held-out"):
        evaluate.errors([folder], TYPE_MAP, students, teacher=teacher)


def test_systems_without_virials_have_no_virial_error(tmp_path):
    systems = [write_system(tmp_path / "held_out", ["Mo", "S"], 3, 1, virials=False)]
    np.savez(
        tmp_path / "students.npz",
        **{"0/energies": systems[0]["energies"][None], "0/forces": systems[0]["forces"][None]},
    )
    found = evaluate.errors([tmp_path / "held_out"], TYPE_MAP, tmp_path / "students.npz")
    assert found["ensemble"]["virial_rmse_per_atom"] is None


def test_systems_are_named_by_their_path_or_their_folder(held_out, tmp_path):
    folder, _ = held_out
    assert evaluate.system_names([folder]) == ["a", "b"]
    assert evaluate.system_names([folder / "a"]) == ["a"]
    shutil.copytree(folder, tmp_path / "more")
    names = evaluate.system_names([folder, tmp_path / "more"])
    assert len(set(names)) == 4


def test_the_teacher_predicts_once(make_context):
    context = make_context()
    (context.iteration.train).mkdir(parents=True)
    assert evaluate.prepare(context) == ["students", "teacher"]
    (Iteration(1).train).mkdir(parents=True)
    predictions = context.iteration.evaluate / "teacher/predictions.npz"
    np.savez(predictions, **{"0/energies": np.zeros(1)})
    assert evaluate.prepare(make_context(1)) == ["students"]
    predictions.write_bytes(predictions.read_bytes()[:-9])
    assert evaluate.prepare(make_context(1)) == ["students", "teacher"], "truncated predictions are made again"
    assert not predictions.exists()


def test_held_out_systems_are_linked_in_order(make_context):
    context = make_context(ipip={"held_out": ["data/held_out", "data/train"]})
    context.iteration.train.mkdir(parents=True)
    (context.iteration.train / "graph.000.pb").touch()
    evaluate.prepare(context)
    links = sorted((context.iteration.evaluate / "held_out").iterdir())
    assert [link.resolve() for link in links] == [
        Path("data/held_out/Mo9S18").resolve(),
        Path("data/train/Mo9S18").resolve(),
    ]
    labeler = json.loads((context.iteration.evaluate / "students/labeler.json").read_text())
    assert labeler == {"type": "dp", "models": ["graph.000.pb"]}
