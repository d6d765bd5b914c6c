# SPDX-License-Identifier: LGPL-3.0-or-later
"""Keep off the screen what native libraries say of themselves when they are loaded."""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of TensorFlow, which has no switch for the first two, and of DeePMD-kit.
NOISE = re.compile(rb"before absl::InitializeLog\(\) is called|oneDNN custom operations are on|load libcudart")


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the lines of :data:`NOISE` that reach the error output of this process meanwhile."""
    read, write = os.pipe()
    screen = os.dup(2)
    os.dup2(write, 2)
    os.close(write)

    def forward() -> None:
        with os.fdopen(read, "rb") as lines:
            for line in lines:
                if not NOISE.search(line):
                    os.write(screen, line)
        os.close(screen)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(screen, 2)
        thread.join(timeout=1)  # longer if a child process still holds the pipe
