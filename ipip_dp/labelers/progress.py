# SPDX-License-Identifier: LGPL-3.0-or-later
"""Progress on stderr: a bar on a terminal, otherwise a log line every few seconds."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ipip_dp.pace import Pace, amount

if TYPE_CHECKING:
    from typing import Self  # pragma: no cover

logger = logging.getLogger(__name__)

LOG_INTERVAL = 10.0  # seconds


class Progress:
    """Count work done, and show it.

    The log lines come from a thread of their own, so that they do not stop while one
    frame or one MD step takes long.

    Parameters
    ----------
    title : str
        What is going on, for example "labelling".
    total : int
        Amount of work.
    unit : str
        What is counted, for example "frames".
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self._stack = ExitStack()
        self._finished = threading.Event()

    def __enter__(self) -> Self:
        """Start showing."""
        if sys.stderr.isatty():
            self._show_bar()
        else:
            thread = threading.Thread(target=self._log, daemon=True)
            thread.start()
            self._stack.callback(thread.join)
            self._stack.callback(self._finished.set)
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop showing."""
        self._stack.close()

    def update(self, done: int) -> None:
        """Set the amount of work done."""
        self.done = done
        if hasattr(self, "_bar"):
            self._bar.update(self._task, completed=done)

    def _show_bar(self) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = self._stack.enter_context(
            progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.TextColumn("{task.completed}/{task.total}"),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
            )
        )
        self._task = self._bar.add_task(f"{self.title} ({self.unit})", total=self.total)

    def _log(self) -> None:
        since = None
        while not self._finished.wait(LOG_INTERVAL):
            now = Pace(time.monotonic(), self.done)
            since = now.since(since)
            logger.info("%s: %s", self.title, amount(now.done, self.total, self.unit, now.left(since, self.total)))
