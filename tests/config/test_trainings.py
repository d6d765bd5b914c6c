# SPDX-License-Identifier: LGPL-3.0-or-later
"""One training input for all students, or one for each."""

from __future__ import annotations

import pytest

from ipip_dp.config import trainings

VIRIALS = {"loss": {"start_pref_v": 0.02}}


@pytest.mark.parametrize(
    ("given", "found", "virials"),
    [({}, [{}], False), (VIRIALS, [VIRIALS], True), ([VIRIALS] * 2, [VIRIALS] * 2, True), ([VIRIALS, {}], None, False)],
)
def test_inputs_and_whether_all_of_them_learn_virials(given, found, virials):
    jdata = {"default_training_param": given}
    assert trainings.inputs(jdata) == (found or given)
    assert trainings.learns_virials(jdata) == virials


@pytest.mark.parametrize("name", trainings.NUMB_STEPS)
def test_steps_by_every_name(name):
    assert trainings.numb_steps({"training": {name: 5}}) == 5


def test_epochs_are_no_steps():
    assert trainings.numb_steps({"training": {"numb_epoch": 5}}) is None
    assert trainings.numb_steps({}) is None
