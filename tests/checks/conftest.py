# SPDX-License-Identifier: LGPL-3.0-or-later
"""The quick example with some keys changed, and the lines that its check then gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import dpdispatcher as dpdispatcher  # opens its log in the working directory: now, not during a test

from ipip_dp.checks import run_input as check

if TYPE_CHECKING:
    from tests.conftest import Run

REMOVED = object()


def changed(value: Any, changes: dict[str, Any]) -> Any:
    """The JSON value with some key paths, as in ``a.b[0]``, set or removed."""
    for path, new in changes.items():
        parts = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
        parent = value
        for part in parts[:-1]:
            parent = parent.setdefault(part, {}) if isinstance(parent, dict) else parent[part]
        if new is REMOVED:
            del parent[parts[-1]]
        else:
            parent[parts[-1]] = new
    return value


def found(
    run: Run,
    param: dict[str, Any] | None = None,
    machine: dict[str, Any] | None = None,
    with_data: bool | None = True,
) -> list[str]:
    before = sorted(run.folder.rglob("*"))
    jdata, mdata = changed(run.param, param or {}), changed(run.machine, machine or {})
    lines = check.problems(jdata, mdata, "param.json", "machine.json", with_data)
    assert sorted(run.folder.rglob("*")) == before, "a check wrote something"
    return lines
