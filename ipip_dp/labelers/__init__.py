# SPDX-License-Identifier: LGPL-3.0-or-later
"""Teachers and references: dpdata drivers that put energies, forces and virials on frames.

Importing this package registers the drivers ``ipip/lammps``, ``ipip/ase`` and ``ipip/dp``
and the format ``ipip/labels`` with dpdata. It happens while dpdata itself is being
imported (entry point group ``dpdata.plugins``), hence no ``dpdata.System`` at module level.
"""

from ipip_dp.labelers import labels_format  # noqa: F401 (registers itself with dpdata, as the kinds of labelers do)
from ipip_dp.labelers.base import DrivesMD, Ensemble, Labeler, LabelerError
from ipip_dp.labelers.registry import kind_of, labeler_arguments, labeler_files, make_labeler

__all__ = [
    "DrivesMD",
    "Ensemble",
    "Labeler",
    "LabelerError",
    "kind_of",
    "labeler_arguments",
    "labeler_files",
    "make_labeler",
]
