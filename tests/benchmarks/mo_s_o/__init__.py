# SPDX-License-Identifier: LGPL-3.0-or-later
"""The study of IPIP on Mo-S-O, and what its final model is good for."""

import json
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[3] / "examples/mo_s_o"
TYPE_MAP = ["Mo", "S", "O"]


def labeler(name: str) -> dict[str, Any]:
    """The ``teacher`` or the ``reference`` of examples/mo_s_o."""
    return json.loads((EXAMPLE / "param.json").read_text())["ipip"][name]
