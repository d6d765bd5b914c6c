# SPDX-License-Identifier: LGPL-3.0-or-later
"""A calculator that fails on a stated share of the frames, in a stated way."""

import os
import signal
import zlib

import numpy as np
from ase.calculators.lj import LennardJones


def position_in_order(atoms) -> float:
    """A number between 0 and 1 that depends on the positions only."""
    return zlib.crc32(np.round(atoms.positions, 4).tobytes()) / 2**32


class Failing(LennardJones):
    """Lennard-Jones that fails where a hash of the positions says so, unless $MENDED is set.

    Parameters
    ----------
    share : float
        Fraction of the frames that fail; which ones depends on their positions only.
    how : {"raise", "nan", "huge", "die"}
        Raise an exception, return NaN or 1e6 eV/Angstrom, or be killed as by a lack of memory.
    n_atoms : int, optional
        Fail only on frames of so many atoms.
    """

    def __init__(self, share: float, how: str, n_atoms: int | None = None, **kwargs) -> None:
        super().__init__(sigma=2.0, epsilon=0.01, **kwargs)
        self.share, self.how, self.n_atoms = share, how, n_atoms

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, list(properties), list(system_changes))
        spared = position_in_order(atoms) >= self.share or self.n_atoms not in (None, len(atoms))
        if spared or "MENDED" in os.environ:
            return
        if self.how == "raise":
            raise RuntimeError("SCF not converged in 100 cycles")
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        self.results["forces"][0, 0] = {"nan": np.nan, "huge": 1e6}[self.how]
