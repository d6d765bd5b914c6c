# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whoever was less wrong on labelled frames labels those like them."""

from __future__ import annotations

import numpy as np
import pytest

from ipip_dp.evaluation import calibration


def labelled(deviations, students, teacher, system="Mo9S18"):
    return [
        {"system": system, "deviation": deviation, "ensemble": own, "teacher": other}
        for deviation, own, other in zip(deviations, students, teacher, strict=True)
    ]


def measured(seed=0, n_frames=60, scatter=0.3):
    """Frames as the Mo-S-O study found them: the teacher is the better one from a deviation of 1.5."""
    rng = np.random.default_rng(seed)
    deviations = rng.uniform(0.1, 6, n_frames)
    students = np.where(deviations < 1.5, 0.4 + 0.2 * deviations, 5 * deviations / 2)
    teacher = 0.8 + 0.5 * deviations
    return labelled(deviations, students * rng.lognormal(0, scatter, n_frames), teacher)


@pytest.mark.parametrize("seed", range(5))
def test_the_crossing_is_where_errors_cross(seed):
    found = calibration.crossing(measured(seed))
    assert found.deviation == pytest.approx(1.5, abs=0.3)
    assert found.n_frames == 60
    assert str(found).startswith(f"from a deviation of {found.deviation:.3g} eV/Angstrom on the teacher is less wrong")


def test_classes_decide_where_nothing_was_labelled():
    """Only candidates, between 0.3 and 1.5: the students are better in all of them."""
    deviations = np.linspace(0.3, 1.5, 12)
    found = calibration.crossing(labelled(deviations, [0.5] * 12, [1.5] * 12))
    assert found.students_are_better(np.array([0.1, 0.2]), "accurate").all()
    assert found.students_are_better(np.array([0.4, 1.4]), "candidate").all()
    assert not found.students_are_better(np.array([1.6, 9.0]), "failed").any()
    turned = calibration.crossing(labelled(deviations, [1.5] * 12, [0.5] * 12))
    assert turned.students_are_better(np.array([0.1, 0.2]), "accurate").all()
    assert not turned.students_are_better(np.array([0.4, 1.4]), "candidate").any()


def test_what_was_labelled_below_and_above_the_trust_levels_counts():
    deviations = np.linspace(0.1, 6, 20)
    students = calibration.crossing(labelled(deviations, [0.5] * 20, [1.5] * 20))
    assert students.students_are_better(np.array([2.0, 6.0]), "failed").all()
    assert str(students) == "students are less wrong at every deviation seen"
    teacher = calibration.crossing(labelled(deviations, [1.5] * 20, [0.5] * 20))
    assert not teacher.students_are_better(np.array([0.2]), "accurate").any()
    assert str(teacher) == "the teacher is less wrong at every deviation seen"


def test_few_frames_say_nothing_and_frames_of_a_teacher_that_failed_are_none():
    rows = measured()[:9]
    assert calibration.crossings([rows]) == {}
    failed = labelled([1.0] * 9, [0.5] * 9, [np.nan] * 9)
    assert calibration.crossings([rows + failed]) == {}
    assert calibration.crossings([rows, rows]).keys() == {None, "Mo9S18"}, "earlier iterations are asked, too"


def test_a_system_with_enough_frames_has_a_crossing_of_its_own():
    other = labelled(np.linspace(0.1, 6, 12), [3.0] * 12, [0.1] * 12, "S14")
    few = labelled([1.0, 2.0], [0.1] * 2, [9.0] * 2, "O2")
    found = calibration.crossings([measured() + other + few])
    assert found.keys() == {None, "Mo9S18", "S14"}
    assert calibration.of_system(found, "S14").deviation == 0
    assert calibration.of_system(found, "O2") == found[None]


def test_the_latest_iterations_count():
    old = labelled(np.linspace(0.1, 6, 40), [9.0] * 40, [0.1] * 40)
    new = labelled(np.linspace(0.1, 6, 40), [0.1] * 40, [9.0] * 40)
    assert calibration.crossings([old, new])[None].deviation == np.inf


def test_trust_levels_are_where_errors_are_expected():
    lower, upper = calibration.trust_levels(measured(n_frames=200), accurate=0.55, worthless=2.0)
    assert lower == pytest.approx(0.75, abs=0.35)  # 0.4 + 0.2 d = 0.55
    assert upper == pytest.approx(1.5, abs=0.2)
    assert calibration.trust_levels(measured()[:9], 0.55, 2.0) is None
    assert calibration.trust_levels(measured(), accurate=50, worthless=60) is None, "all are accurate"
    assert calibration.trust_levels(measured(), accurate=50, worthless=60, given=99) is None
    deviations = [row["deviation"] for row in measured()]
    assert calibration.trust_levels(measured(), 0.5, 1e3)[1] == max(deviations), "none has failed"
    assert calibration.trust_levels(measured(), 0.5, 1e3, given=99)[1] == 99, "nothing speaks against the given one"
    assert calibration.trust_levels(measured(), 0.01, 2.0)[0] == min(deviations), "none is accurate"


def test_frames_are_counted_below_between_and_above_levels():
    found = calibration.by_class(labelled([0.1, 0.3, 0.5, 2.0], [1, 2, 3, 4], [9] * 4), (0.3, 1.0))
    assert {name: errors.tolist() for name, errors in found.items()} == {
        "accurate": [1],
        "candidate": [2, 3],
        "failed": [4],
    }
