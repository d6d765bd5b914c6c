# SPDX-License-Identifier: LGPL-3.0-or-later
"""Every way in which a JSON value breaks a dargs schema, in plain words.

dargs itself stops at the first problem, and names the place only by the enclosing section.
"""

from __future__ import annotations

import copy
import difflib
import math
import re
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from dargs import Argument
from dargs.dargs import ArgumentError

from ipip_dp.text import UNWRITABLE, one_line, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KeyPath = tuple[str | int, ...]

# How types are called, in the singular and in the plural.
NAMES = {
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    str: ("a string", "strings"),
    bool: ("true or false", "true or false"),
    dict: ("an object {...}", "objects"),
    list: ("a list", "lists"),
    type(None): ("null", "null"),
}
# A key of DP-GEN's or dpdispatcher's that both ignore is likely to be misspelt from this similarity on.
NEAR_MISS = 0.85
PLACEHOLDER = re.compile(r"\S*\bYOUR[-_]\S*|\S*/path/to\b\S*|[\w.-]*\bexample\.(org|com|net)\b")
DEPTH = 50  # levels of objects and lists; nobody's input has as many
LARGEST = 2**63  # integers of the programs that read them
MISSING = object()


@dataclass(frozen=True)
class Problem:
    """Something wrong with a value.

    Parameters
    ----------
    path : tuple of str and int
        Where, as keys and list indices.
    text : str
        What.
    found : object
        The value that stands there, if it is to be shown.
    hint : str
        What may be meant.
    """

    path: KeyPath
    text: str
    found: Any = MISSING
    hint: str = ""

    def __str__(self) -> str:
        """The key path as it is written in the documentation, the text and the value, on one line."""
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        text = self.text if self.found is MISSING else f"{self.text}, found {shown(self.found)}{self.hint}"
        return one_line(f"{place.removeprefix('.')}: {text}" if place else text)


def problems(argument: Argument, value: Any, path: KeyPath = (), strict: bool = True) -> Iterator[Problem]:
    """Compare a value with its schema, without filling in defaults.

    Parameters
    ----------
    argument : dargs.Argument
        The schema.
    value : object
        What was read from a JSON file.
    path : tuple of str and int
        Where the value stands in the file.
    strict : bool
        Whether every unknown key is a problem, or only one that looks misspelt.
    """
    if not _has_type(argument, value):
        yield Problem(path, argument.extra_check_errmsg or f"expected {_type_names(argument.dtype)}", value)
    elif argument.extra_check is not None and not argument.extra_check(_by_its_names(argument, value)):
        yield Problem(path, argument.extra_check_errmsg or "not an allowed value", value)
    elif argument.repeat:
        for number, item in enumerate(value) if isinstance(value, list) else value.items():
            yield from _fields(argument, item, (*path, number), strict)
    elif isinstance(value, dict):
        yield from _fields(argument, value, path, strict)


def _by_its_names(argument: Argument, value: Any) -> Any:
    """The value with the names of its keys in place of their aliases, which a check need not know."""
    if not isinstance(value, dict) or argument.repeat:
        return value
    try:
        return argument.normalize_value(value, inplace=False, do_default=False)
    except Exception:  # whatever is wrong below, which is found below
        return value


def _has_type(argument: Argument, value: Any) -> bool:
    try:
        Argument(argument.name, list(argument.dtype)).check_value(value)
    except ArgumentError:
        return False
    # To Python, but not to a reader of JSON, true is an integer.
    return bool in argument.dtype or not (isinstance(value, bool) or (isinstance(value, list) and _holds_bool(value)))


def _holds_bool(value: list[Any]) -> bool:
    return any(isinstance(item, bool) or (isinstance(item, list) and _holds_bool(item)) for item in value)


def unusable(value: Any, path: KeyPath = ()) -> Iterator[Problem]:
    """What no program can use, whatever the schema: NaN, infinity, huge integers, control characters, endless nesting.

    Parameters
    ----------
    value : object
        What was read from a JSON file.
    path : tuple of str and int
        Where the value stands in the file.
    """
    if len(path) > DEPTH:
        yield Problem(path[:4], f"nested more than {DEPTH} levels deep")  # where it begins is enough
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or UNWRITABLE.search(key):
                yield Problem(path, f"a key with control characters, {shown(key)}")
            else:
                yield from unusable(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from unusable(item, (*path, number))
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, "expected a finite number", value)
    elif isinstance(value, int) and abs(value) >= LARGEST:
        yield Problem(path, "expected a number below 2^63 in size", value)
    elif isinstance(value, str) and UNWRITABLE.search(value):
        yield Problem(path, "expected a text without control characters", value)


def _fields(argument: Argument, value: Any, path: KeyPath, strict: bool) -> Iterator[Problem]:
    """The problems of the keys of one JSON object, and of what they hold."""
    if not isinstance(value, dict):  # an item of a list that dargs only knows to be a list
        yield Problem(path, "expected an object {...}", value)
        return
    found: list[Problem] = []
    fields = _known(argument, value, path, found)
    yield from found
    meant = set()
    if fields and not found:  # without its variant, most keys of a section are unknown
        names = [name for field in fields.values() for name in (field.name, *field.alias)]
        for key in value:
            if key in names or key.startswith("_") or key == "$schema":  # "_..." is a comment to DP-GEN
                continue
            near = _nearest(key, names, 0.6 if strict else NEAR_MISS)
            meant.update(near)
            if strict or near:
                others = _choices_with(argument, key)
                meaning = f"known only with {others}; remove it" if others else _suggestion(near, names, value)
                yield Problem((*path, key), meaning if others else f"unknown key; {meaning}")
    for field in fields.values():
        present = [name for name in (field.name, *field.alias) if name in value]
        for name in present[1:]:
            yield Problem((*path, name), f"another name of {present[0]}, which is there, too; remove one of the two")
        for name in present:
            yield from problems(field, value[name], (*path, name), strict)
        if not present and not field.optional and field.name not in meant:
            yield Problem((*path, field.name), f"missing; expected {_type_names(field.dtype)}")


def _known(argument: Argument, value: dict[str, Any], path: KeyPath, found: list[Problem]) -> dict[str, Argument]:
    """The keys an object may have, given the choices it makes; a choice that does not exist is added to ``found``."""
    fields = dict(argument.sub_fields)
    for flag, variant in argument.sub_variants.items():
        tag = value.get(flag, variant.default_tag or None)
        choices = ", ".join(sorted(variant.choice_dict))
        name = variant.choice_alias.get(tag, tag) if isinstance(tag, str) else None
        if name in variant.choice_dict:
            fields[flag] = Argument(flag, str, optional=True)
            fields.update(_known(variant.choice_dict[name], value, path, found))
        elif flag in value:
            near = difflib.get_close_matches(str(tag), variant.choice_dict, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            found.append(Problem((*path, flag), f"expected one of {choices}", tag, hint))
        else:
            found.append(Problem((*path, flag), f"missing; expected one of {choices}"))
    return fields


def _nearest(key: str, names: Iterable[str], cutoff: float) -> list[str]:
    """The names that are likely to be meant: one, or several that are equally near."""
    ratios = {name: difflib.SequenceMatcher(None, name, key).ratio() for name in names}
    best = max(ratios.values(), default=0)
    return [name for name in ratios if ratios[name] == best] if best >= cutoff else []


def _choices_with(argument: Argument, key: str) -> str:
    """The choices with which an object may have a key that it may not have with those it makes."""
    found = {
        flag: [tag for tag, choice in variant.choice_dict.items() if key in choice.sub_fields]
        for flag, variant in argument.sub_variants.items()
    }
    return " or ".join(f"{flag} {', '.join(tags)}" for flag, tags in found.items() if tags)


def unfilled(value: Any, path: KeyPath = ()) -> Iterator[Problem]:
    """Placeholders of a template that nobody has filled in; comments, whose keys begin with ``_``, may have any."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not key.startswith("_"):
                yield from unfilled(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from unfilled(item, (*path, number))
    elif isinstance(value, str) and (placeholder := PLACEHOLDER.search(value)):
        yield Problem(path, f"expected your own value in place of {placeholder[0]}")


def _suggestion(near: list[str], names: list[str], present: Iterable[str]) -> str:
    if len(near) == 1 and near[0] not in present:
        return f"did you mean {near[0]}?"
    if near:
        return "remove it"
    return f"expected one of {', '.join(names)}" if len(names) <= 12 else "remove it"


def _type_names(types: Iterable[Any], plural: bool = False) -> str:
    types = set(types)
    if float in types:
        types.discard(int)
    return " or ".join(sorted(_type_name(kind, plural) for kind in types))


def _type_name(kind: Any, plural: bool) -> str:
    if get_origin(kind) in (Union, UnionType):
        return _type_names(get_args(kind), plural)
    if get_origin(kind) is list:
        return f"{NAMES[list][plural]} of {_type_names(get_args(kind), plural=True)}"
    return NAMES[kind][plural] if kind in NAMES else str(kind)


def without_seeds(value: Any) -> Any:
    """A copy of a JSON value without the key ``seed``, at any depth."""
    if isinstance(value, dict):
        return {key: without_seeds(item) for key, item in value.items() if key != "seed"}
    return [without_seeds(item) for item in value] if isinstance(value, list) else value


def without(value: Any, paths: Iterable[KeyPath]) -> Any:
    """A copy of a JSON value without what stands at some paths, so that defaults take its place."""
    value = copy.deepcopy(value)
    for path in paths:
        parent = value
        for part in path[:-1]:
            parent = parent[part]
        if path and isinstance(parent, dict):
            parent.pop(path[-1], None)
    return value
