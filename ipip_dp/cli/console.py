# SPDX-License-Identifier: LGPL-3.0-or-later
"""Where commands print their tables."""

from __future__ import annotations

import os

from rich.console import Console

WIDE = 1000  # columns; more than any table takes


def console() -> Console:
    """The terminal; a file or a pipe, for which rich takes 80 columns, gets tables as wide as they are."""
    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=WIDE)
