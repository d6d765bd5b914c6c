# SPDX-License-Identifier: LGPL-3.0-or-later
"""A section stated once: its dataclass says all that its schema says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from dargs import Argument

from ipip_dp.config import keys, schema


@dataclass(frozen=True)
class Oven:
    """How it is baked.

    Only for those who read this file.
    """

    minutes: int = keys.positive_int(40, "How long.")
    share: float = keys.fraction(0.5, "Upper heat.")
    spare: int = keys.count(0, "Loaves to give away.")
    humidity: float = keys.not_negative(0.0, "Of the air.")


@dataclass(frozen=True, kw_only=True)
class Bread:
    """A section with a section."""

    flour: str = keys.key(doc="What it is made of.", check=bool, expected="expected some flour")
    weights: tuple[float, ...] = keys.key([500.0], "In g.", types=list)
    oven: Oven


def problems(value: dict) -> list[str]:
    return [str(problem) for problem in schema.problems(Argument("bread", dict, keys.arguments(Bread)), value)]


def read(value: dict) -> Bread:
    return keys.read(Bread, Argument("bread", dict, keys.arguments(Bread)).normalize_value(value))


def test_what_is_left_out_has_its_default():
    assert read({"flour": "rye"}) == Bread(flour="rye", weights=(500.0,), oven=Oven(40, 0.5, 0, 0.0))
    assert read({"flour": "rye", "oven": {"minutes": 50}}).oven == Oven(50, 0.5, 0, 0.0)


def test_a_key_without_a_default_is_required():
    assert problems({"weights": [1.0]}) == ["flour: missing; expected a string"]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"flour": ""}, 'flour: expected some flour, found ""'),
        ({"flour": "rye", "oven": {"minutes": 0}}, "oven.minutes: expected an integer greater than 0, found 0"),
        ({"flour": "rye", "oven": {"minutes": 1.5}}, "oven.minutes: expected an integer greater than 0, found 1.5"),
        ({"flour": "rye", "oven": {"share": 1.01}}, "oven.share: expected a number between 0 and 1, found 1.01"),
        ({"flour": "rye", "oven": {"spare": -1}}, "oven.spare: expected an integer of 0 or more, found -1"),
        ({"flour": "rye", "oven": {"humidity": -0.1}}, "oven.humidity: expected a number of 0 or more, found -0.1"),
        ({"flour": "rye", "oven": {"minute": 1}}, "oven.minute: unknown key; did you mean minutes?"),
    ],
)
def test_what_a_field_says_is_checked(value, line):
    assert problems(value) == [line]


def test_bounds_are_inclusive_where_they_say_so():
    oven = {"share": 1, "spare": 0, "humidity": 0}
    assert problems({"flour": "rye", "oven": oven}) == []
    assert problems({"flour": "rye", "oven": {**oven, "share": 0}}) == []


def test_the_documentation_is_that_of_the_dataclass():
    found = keys.section_argument("oven", Oven)
    assert found.doc == "How it is baked."
    assert {name: field.doc for name, field in found.sub_fields.items()}["minutes"] == "How long."
    assert found.optional and not keys.section_argument("oven", Oven, optional=False).optional
