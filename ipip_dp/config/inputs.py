# SPDX-License-Identifier: LGPL-3.0-or-later
"""Read the JSON and YAML files of the user's: more strictly than DP-GEN does, and with one line for what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp.config import schema
from ipip_dp.errors import IpipError
from ipip_dp.text import one_line, shown

if TYPE_CHECKING:
    from dargs import Argument


def load(path: Path) -> dict[str, Any]:
    """Read a JSON file of the user's.

    Raises
    ------
    IpipError
        If it is missing, is not JSON or is not an object.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise IpipError(f"{path}: is not a file")
        text = path.read_text(encoding="utf-8")
        value = _parse_yaml(text) if path.suffix in (".yaml", ".yml") else json.loads(text, object_pairs_hook=_object)
    except FileNotFoundError:
        raise IpipError(f"{path}: does not exist (working directory {Path.cwd()})") from None
    except json.JSONDecodeError as error:
        raise IpipError(f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise IpipError(one_line(f"{path}: cannot be read: {error}")) from None
    if not isinstance(value, dict):
        raise IpipError(f"{path}: expected an object {{...}}, found {shown(value)}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which DP-GEN's reader would silently take the last of equal keys."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and not key.startswith("_"):  # a comment
            raise ValueError(f"key {shown(key)} stands twice in one object; remove one")
        found[key] = value
    return found


def _parse_yaml(text: str) -> Any:
    """The other format of DP-GEN's; without any tag that makes Python objects."""
    from ruamel.yaml import YAML, YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f"not valid YAML: {error}") from None
    _require_text_as_keys(value)
    return value


def _require_text_as_keys(value: Any) -> None:
    """Refuse keys that JSON could not have: to DP-GEN 0 is another key than "0"."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        if isinstance(value, dict) and not isinstance(key, str):
            raise ValueError(f'expected text as keys, found {shown(key)}; write "{key}"')
        _require_text_as_keys(part)


def load_input(param_file: Path, machine_file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read param.json and machine.json.

    Raises
    ------
    IpipError
        With one line for each of the two that cannot be read, or if they are swapped.
    """
    values, found = [], []
    for path in (param_file, machine_file):
        try:
            values.append(load(path))
        except IpipError as error:
            found.append(str(error))
    if found:
        raise IpipError("\n".join(found))
    jdata, mdata = values
    if "type_map" in mdata and "type_map" not in jdata:
        raise IpipError(f"{param_file}: expected param.json here, and machine.json after it; they seem to be swapped")
    return jdata, mdata


def require_schema(argument: Argument, value: Any, where: str) -> None:
    """Compare a JSON value with its schema.

    Parameters
    ----------
    where : str
        The value's file, for the messages.

    Raises
    ------
    IpipError
        With one line for every key that is unknown, missing or has a wrong value.
    """
    found = list(schema.problems(argument, value))
    if found:
        raise IpipError("\n".join(f"{where}: {problem}" for problem in found))
