# SPDX-License-Identifier: LGPL-3.0-or-later
"""What breaks a schema is told in plain words."""

from __future__ import annotations

import copy
import re

import pytest
from dargs import Argument, Variant

from ipip_dp.config import schema
from tests.checks.conftest import REMOVED, changed, found

UNKNOWN_KEYS = {
    "ipip.retention": "unknown key; remove it",
    "ipip.pol": "unknown key; did you mean pool?",
    "ipip.pool.retension": "unknown key; did you mean retention?",
    "ipip.pool.size": "unknown key; expected one of retention, self_labels, keep_iterations",
    "ipip.teacher.element": "unknown key; did you mean elements?",
    "ipip.reference.pair_style": "known only with type lammps; remove it",
    "ipip.pretrain.nsteps": "unknown key; did you mean numb_steps?",
    "model_devi_f_trust_low": "unknown key; did you mean model_devi_f_trust_lo?",
    "model_devi_jobs[0].nstep": "unknown key; remove it",
    "fp_params.input": "unknown key; did you mean input_fn?",
    "default_training_params": "unknown key; did you mean default_training_param?",
}


@pytest.mark.parametrize("key", UNKNOWN_KEYS)
def test_unknown_key_suggests_the_nearest(run, key):
    meant = re.search("did you mean (.*)\\?", UNKNOWN_KEYS[key])
    place = "".join(key.rpartition(".")[:2])
    in_its_place = {f"{place}{meant[1]}": REMOVED} if meant and has(run.param, f"{place}{meant[1]}") else {}
    assert found(run, {**in_its_place, key: 1}) == [f"param.json: {key}: {UNKNOWN_KEYS[key]}"]


def has(value, path):
    """Whether there is something at a key path."""
    try:
        changed(copy.deepcopy(value), {path: REMOVED})
    except KeyError:
        return False
    return True


@pytest.mark.parametrize("key", ["ipip.held_outt", "model_devi_e_trust_lo"])
def test_no_hint_is_better_than_a_wrong_one(run, key):
    """The nearest key is there already, or two are equally near."""
    assert found(run, {key: 1}) == [f"param.json: {key}: unknown key; remove it"]


def test_a_key_of_another_choice_is_named(run):
    (line,) = found(run, {"cluster_cutoff": 5.0})
    assert re.fullmatch("param.json: cluster_cutoff: known only with fp_style gaussian, siesta; remove it", line)


def test_misspelt_required_key_is_one_problem(run):
    changes = {"ipip.heldout": ["data/held_out"], "ipip.held_out": REMOVED}
    assert found(run, changes) == ["param.json: ipip.heldout: unknown key; did you mean held_out?"]


def test_comments_are_no_problem(run):
    assert found(run, {"_comment": "mine", "ipip._comment": "mine", "$schema": "x"}) == []


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"a": [0, float("inf")]}, "a[1]: expected a finite number, found Infinity"),
        ({"a": {"b": float("nan")}}, "a.b: expected a finite number, found NaN"),
        ([2**63], "[0]: expected a number below 2^63 in size, found 9223372036854775808"),
        ({"a": "\x1b[31m"}, 'a: expected a text without control characters, found "\\u001b[31m"'),
        ({"a": {"b\x00": 1}}, 'a: a key with control characters, "b\\u0000"'),
    ],
)
def test_what_no_program_can_use_is_found_whatever_the_schema(value, line):
    assert [str(problem) for problem in schema.unusable(value)] == [line]


def test_usable_values_are_left_alone():
    assert list(schema.unusable({"a": [1, 2**63 - 1, -0.5, None, True, "Mo\nS \N{GREEK SMALL LETTER MU}"]})) == []


def test_endless_nesting_ends():
    value: list = []
    for _ in range(200):
        value = [value]
    (problem,) = schema.unusable(value)
    assert str(problem) == "[0][0][0][0]: nested more than 50 levels deep"


BREAD = Argument(
    "bread",
    dict,
    [Argument("flour", str), Argument("weights", list[float], optional=True, alias=["masses"])],
    [Variant("oven", [Argument("gas", dict, [Argument("pressure", float)]), Argument("wood", dict)])],
)


def of_bread(value, strict=True):
    return [str(problem) for problem in schema.problems(BREAD, value, ("bread",), strict)]


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ({"flour": "rye", "masses": [1, 2.5], "oven": "wood"}, []),
        ({"flour": "rye", "oven": "wod"}, ['bread.oven: expected one of gas, wood, found "wod"; did you mean wood?']),
        ({"flour": "rye"}, ["bread.oven: missing; expected one of gas, wood"]),
        ({"flour": 1, "oven": "gas"}, ["bread.flour: expected a string, found 1",
                                       "bread.pressure: missing; expected a number"]),
        ({"flour": "rye", "weights": [1, True], "oven": "wood"},
         ["bread.weights: expected a list of numbers, found [1, true]"]),
        ({"flour": "rye", "oven": "wood", "pressure": 1.0},
         ["bread.pressure: known only with oven gas; remove it"]),
    ],
)  # fmt: skip
def test_all_problems_of_a_value_are_found_at_once(value, lines):
    assert of_bread(value) == lines


def test_keys_of_others_are_no_problem_unless_they_look_misspelt():
    value = {"flour": "rye", "oven": "wood", "colour": "brown"}
    assert of_bread(value, strict=False) == []
    assert of_bread({**value, "weight": [1]}, strict=False) == ["bread.weight: unknown key; did you mean weights?"]


def test_values_without_seeds_or_other_paths_are_copies():
    value = {"seed": 1, "list": [{"seed": 2, "rcut": 6.0}]}
    assert schema.without_seeds(value) == {"list": [{"rcut": 6.0}]}
    assert schema.without(value, [("list", 0, "rcut"), ("list", 0, "sel")]) == {"seed": 1, "list": [{"seed": 2}]}
    assert value == {"seed": 1, "list": [{"seed": 2, "rcut": 6.0}]}
