# SPDX-License-Identifier: LGPL-3.0-or-later
"""The options that several commands share."""

from __future__ import annotations

import pytest

from tests.cli.conftest import BY_CHEAP, ON_TEACHER, START, check_mistake

# What is typed, and the line that answers.
WRONG = [
    (["label", START, "out", "--labeler", "nothing.json"], "nothing.json: does not exist"),
    (["label", START, "out", "--labeler", "teacher"], "--labeler teacher: expected --param, too: a param.json with"),
    (["md", START, "out"], "--labeler teacher: expected --param, too: a param.json with section ipip.teacher"),
    (["md", START, "out", *ON_TEACHER, "--temperatures", "hot"], "--temperatures: expected numbers greater than 0, as"),
    (
        ["label", START, "out", "--labeler", "labeler.json", "--type-map", "MoSO"],
        "--type-map: MoSO is no element; did you mean Mo,S,O?",
    ),
    (
        ["label", START, "out", "--labeler", "student", "--param", "param.json"],
        "--labeler student: expected teacher or reference, one that param.json has in its ipip section",
    ),
    (
        ["label", START, "out", "--labeler", "labeler.json"],
        "--type-map: expected every element once, in order, as in Mo,S,O; found none",
    ),
    (
        ["label", START, "out", "--labeler", "labeler.json", "--type-map", "Mo,,S"],
        "--type-map: expected every element once, in order, as in Mo,S,O; found Mo,,S",
    ),
    (
        ["label", START, "out", "--labeler", "misspelt.json", "--type-map", "Mo,S"],
        "misspelt.json: pair_styl: unknown key; did you mean pair_style?",
    ),
    (["evaluate", "graph.pb", "--data", "data/train", "--type-map", ""], "--type-map: expected every element once"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line(ipip, words, line):
    check_mistake(ipip, words, line)


def test_label_keeps_to_the_gate_of_param_json(ipip):
    param = ipip.run.param
    param["ipip"]["gate"] = {"min_distance": 5.0}
    ipip.run.param = param
    by_teacher = ["--labeler", "teacher", "--param", "param.json", "--min-success", "0"]
    assert "0 of 1 frames labelled, 1 failed" in ipip("label", START, "refused", *by_teacher).output
    assert "1 of 1 frames labelled" in ipip("label", START, "taken", *by_teacher, "--min-distance", "1").output


@pytest.mark.parametrize("type_map", ["Mo,S", "Mo, S", "Mo S"])
def test_elements_may_be_divided_by_commas_or_blanks(ipip, type_map):
    assert ipip("label", START, "labels", *BY_CHEAP[:2], "--type-map", type_map).status == 0
