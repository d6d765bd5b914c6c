# SPDX-License-Identifier: LGPL-3.0-or-later
"""A section of param.json stated once: a frozen dataclass, whose fields say all that its dargs schema says.

The docstring of the dataclass documents the section, the default of a field is that of its key, and :func:`key`
adds the rest. A field without a default is a required key, one whose type is such a dataclass a section.
"""

from __future__ import annotations

import copy
import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from dargs import Argument

from ipip_dp.text import is_positive

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBER = [int, float]


def key(
    default: Any = dataclasses.MISSING,
    doc: str = "",
    check: Callable[[Any], bool] | None = None,
    expected: str = "",
    *,
    types: Any = None,
    argument: Callable[[], Argument] | None = None,
) -> Any:
    """A field of a section.

    Parameters
    ----------
    default : object
        The value of a key that is left out, as JSON has it; required if not given.
    doc : str
        What the key means.
    check, expected : callable, str
        Whether a value of the right type is allowed, and what is said if it is not.
    types : type or list of types
        What JSON may hold; by default the field's own type.
    argument : callable
        The schema of the key, where it is more than all this.
    """
    metadata = {"doc": doc, "check": check, "expected": expected, "types": types, "argument": argument}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def positive_int(default: int, doc: str) -> Any:
    """An integer greater than 0."""
    return key(default, doc, _is_positive, "expected an integer greater than 0", types=int)


def count(default: int, doc: str) -> Any:
    """An integer of 0 or more."""
    return key(default, doc, _not_negative, "expected an integer of 0 or more", types=int)


def positive(default: float, doc: str) -> Any:
    """A number greater than 0."""
    return key(default, doc, _is_positive, "expected a number greater than 0", types=NUMBER)


def not_negative(default: float, doc: str) -> Any:
    """A number of 0 or more."""
    return key(default, doc, _not_negative, "expected a number of 0 or more", types=NUMBER)


def fraction(default: float, doc: str) -> Any:
    """A number between 0 and 1."""
    return key(default, doc, _is_fraction, "expected a number between 0 and 1", types=NUMBER)


def arguments(section: type) -> list[Argument]:
    """The keys of a section, in order."""
    types = typing.get_type_hints(section)
    return [_argument(field, types[field.name]) for field in dataclasses.fields(section)]


def section_argument(name: str, section: type, optional: bool = True) -> Argument:
    """The schema of a section."""
    fields = arguments(section)
    doc = " ".join((section.__doc__ or "").split("\n\n")[0].split())
    if not optional:
        return Argument(name, dict, fields, doc=doc)
    # dargs does not fill in the defaults of the fields of a section that is left out.
    defaults = {field.name: field.default for field in fields}
    return Argument(name, dict, fields, optional=True, default=defaults, doc=doc)


def _argument(field: dataclasses.Field, kind: Any) -> Argument:
    if field.metadata.get("argument") is not None:
        return field.metadata["argument"]()
    if dataclasses.is_dataclass(kind):
        return section_argument(field.name, kind)  # type: ignore[arg-type]  # a class, not an instance
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    required = default is dataclasses.MISSING
    types = field.metadata.get("types") or (NUMBER if kind is float else kind)
    return Argument(
        field.name,
        types,
        optional=not required,
        **({} if required else {"default": default}),
        doc=field.metadata["doc"],
        extra_check=field.metadata["check"],
        extra_check_errmsg=field.metadata["expected"],
    )


def read(section: type, value: dict[str, Any]) -> Any:
    """The dataclass of a normalised section.

    JSON's lists become tuples where the field is one, and sections their own dataclasses.
    """
    types = typing.get_type_hints(section)
    fields = {field.name: _read(types[field.name], value.get(field.name)) for field in dataclasses.fields(section)}
    return section(**fields)


def _read(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind):
        return read(kind, value)  # type: ignore[arg-type]  # a class, not an instance
    return tuple(value) if isinstance(value, list) and typing.get_origin(kind) is tuple else value


def _is_positive(value: Any) -> bool:
    return not isinstance(value, bool) and is_positive(value)


def _not_negative(value: Any) -> bool:
    return not isinstance(value, bool) and value >= 0


def _is_fraction(value: Any) -> bool:
    return not isinstance(value, bool) and 0 <= value <= 1
