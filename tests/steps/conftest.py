# SPDX-License-Identifier: LGPL-3.0-or-later
"""A run folder with the quick example, and contexts of its iterations."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ipip_dp.checks import run_input as check
from ipip_dp.config.params import Params
from ipip_dp.steps.context import Context
from ipip_dp.workdir import Iteration

MakeContext = Callable[..., Context]


@pytest.fixture
def make_context(quick, monkeypatch) -> MakeContext:
    """Context of an iteration in a copy of the quick example, the working directory.

    Keys of param.json are changed by keyword, those of its ipip section by ``ipip``.
    """
    monkeypatch.chdir(quick.folder)

    def make(iteration: int = 0, ipip: dict[str, Any] | None = None, **changes: Any) -> Context:
        param = copy.deepcopy(quick.param)
        param.update(changes)
        param["ipip"].update(ipip or {})
        jdata = check.normalized(param, "param.json")
        return Context(Iteration(iteration), Params.from_jdata(jdata), jdata, quick.machine)

    return make


@pytest.fixture
def context(make_context) -> Context:
    """Iteration 0 of the quick example."""
    return make_context()
