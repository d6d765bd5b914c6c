# SPDX-License-Identifier: LGPL-3.0-or-later
"""Errors on explored frames: of whom, where, and how sure."""

from __future__ import annotations

import numpy as np
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.evaluation import on_policy


def frames(n_frames, seed=0):
    rng = np.random.default_rng(seed)
    atoms = {"atom_names": ["Mo", "S"], "atom_types": np.array([0, 1, 1])}
    reference = {**atoms, "energies": np.zeros(n_frames), "forces": rng.standard_normal((n_frames, 3, 3))}
    students = {"forces": reference["forces"] + 0.1 * rng.standard_normal((2, n_frames, 3, 3))}
    teacher = {"forces": reference["forces"][None] + 0.5}
    for predicted in (students, teacher):
        predicted["energies"] = np.zeros(predicted["forces"].shape[:2])
    return reference, students, teacher


def rows_of(*classes, n_frames=10, **changes):
    blocks = [frames(n_frames, seed) for seed in range(len(classes))]
    reference = [("MoS2", name, labels) for name, (labels, _, _) in zip(classes, blocks, strict=True)]
    predictions = [("students.npz", iter([b[1] for b in blocks])), ("teacher.npz", iter([b[2] for b in blocks]))]
    return on_policy.frame_errors(reference, *predictions), blocks


def test_errors_of_every_frame():
    (rows, elements), [(reference, students, _)] = rows_of("candidate")
    assert len(rows) == 10
    difference = students["forces"] - reference["forces"]
    assert rows[3]["student_1"] == pytest.approx(np.sqrt(np.mean(difference[1, 3] ** 2)))
    assert rows[3]["ensemble"] == pytest.approx(np.sqrt(np.mean(difference[:, 3].mean(axis=0) ** 2)))
    assert [row["teacher"] for row in rows] == pytest.approx([0.5] * 10)
    assert {row["system"] for row in rows} == {"MoS2"} and {row["trust_class"] for row in rows} == {"candidate"}
    assert elements["S"]["ensemble"] == pytest.approx(np.sqrt(np.mean(difference.mean(axis=0)[:, 1:] ** 2)))


def test_deviations_are_those_of_deepmd_kit():
    from deepmd.infer.model_devi import calc_model_devi_f

    forces = np.random.default_rng(1).standard_normal((4, 5, 6, 3))
    assert on_policy.force_deviation(forces) == pytest.approx(calc_model_devi_f(forces)[0])


def test_frames_stand_for_the_explored_ones_of_their_class():
    (rows, _), _ = rows_of("accurate", "failed")
    for row in rows:
        row["ensemble"] = 0.1 if row["trust_class"] == "accurate" else 9.0
    assert on_policy.summary(rows, {"accurate": 990, "candidate": 0, "failed": 10})["ensemble"] == {
        "force_rmse": pytest.approx(np.sqrt(0.99 * 0.01 + 0.01 * 81)),
        "force_median": 0.1,
        "force_median_noise": 0.0,
        "force_worst_tenth": 0.1,
    }
    assert on_policy.summary(rows, {"accurate": 10, "candidate": 980, "failed": 10})["covered"] == pytest.approx(0.02)
    even = on_policy.summary(rows, {"accurate": 10, "candidate": 0, "failed": 10})
    assert even["ensemble"]["force_worst_tenth"] == 9.0
    assert even["trust_classes"]["failed"]["ensemble"]["force_median"] == 9.0
    assert len(even["systems"]["MoS2"]["students"]) == 2


def test_candidates_stand_for_those_of_their_entry_of_sys_configs():
    """DP-GEN labels about as many candidates of each, however many there are."""
    (rows, _), _ = rows_of("candidate.000", "candidate.001")
    for row in rows:
        row["ensemble"] = 1.0 if row["stratum"] == "candidate.000" else 0.1
    found = on_policy.summary(rows, {"accurate": 0, "candidate.000": 20, "candidate.001": 1980, "failed": 0})
    assert found["ensemble"]["force_median"] == 0.1
    assert found["trust_classes"].keys() == {"candidate"}


def test_the_noise_of_a_median_falls_with_the_number_of_frames():
    noise = []
    for n_frames in (10, 1000):
        (rows, _), _ = rows_of("candidate", n_frames=n_frames)
        found = on_policy.summary(rows, {"accurate": 0, "candidate": n_frames, "failed": 0})
        noise.append(found["ensemble"]["force_median_noise"])
    assert 0 < noise[1] < noise[0] / 3


def test_a_teacher_sets_no_standard_where_it_fails():
    (rows, _), _ = rows_of("candidate")
    rows[0]["teacher"] = np.nan
    found = on_policy.summary(rows, {"accurate": 0, "candidate": 10, "failed": 0})
    assert found["teacher"]["force_rmse"] == pytest.approx(0.5)


def test_predictions_of_other_frames_are_refused():
    reference, students, teacher = frames(3)
    block = [("MoS2", "candidate", reference)]
    with pytest.raises(IpipError, match="students.npz"):
        on_policy.frame_errors(block, ("students.npz", iter([])), ("teacher.npz", iter([teacher])))
    with pytest.raises(IpipError, match="teacher.npz"):
        on_policy.frame_errors(block, ("students.npz", iter([students])), ("teacher.npz", iter([teacher, teacher])))
