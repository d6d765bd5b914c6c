# SPDX-License-Identifier: LGPL-3.0-or-later
"""GFN1-xTB that writes a line for every calculation, and can be told to fail or to be slow."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tblite.ase import TBLite


class CountingTBLite(TBLite):
    def __init__(self, log, seconds=0.0, fail_above=None, **kwargs):
        super().__init__(**kwargs)
        self.log, self.seconds, self.fail_above = Path(log), seconds, fail_above

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        with self.log.open("a") as file:
            file.write(f"{os.getpid()} {atoms.positions[0, 0]!r}\n")
        time.sleep(self.seconds)
        if self.fail_above is not None and atoms.positions[0, 0] > self.fail_above:
            raise RuntimeError("SCF not converged in 1 cycles")
        super().calculate(atoms, list(properties), list(system_changes))
