# SPDX-License-Identifier: LGPL-3.0-or-later
"""How far a run is and whether it is alive, from what is on disk; a run's own sign of life is all that is written."""
