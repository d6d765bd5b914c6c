# SPDX-License-Identifier: LGPL-3.0-or-later
"""The backends of DeePMD-kit: their checkpoints, and how a student forgets and is handed over.

``forget`` re-initialises or shrinks fitting-net weights, keeps the descriptor,
refits the energy bias to reference data and resets optimiser and schedule; what
it writes is accepted by ``dp train --init-model``.
"""

from ipip_dp.backends.base import Backend
from ipip_dp.backends.forget import ForgetReport, forget
from ipip_dp.backends.registry import BACKENDS, MODEL_SUFFIXES
from ipip_dp.backends.weights import METHODS

__all__ = ["BACKENDS", "METHODS", "MODEL_SUFFIXES", "Backend", "ForgetReport", "forget"]
