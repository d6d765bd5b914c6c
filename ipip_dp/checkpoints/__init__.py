"""Read a DeePMD training checkpoint, make it forget, write one to train on from.

``forget`` re-initialises or shrinks fitting-net weights, keeps the descriptor,
refits the energy bias to reference data and resets optimiser and schedule; what
it writes is accepted by ``dp train --init-model``. It knows the TensorFlow and the
PyTorch backend and chooses by the files on disk.
"""

from ipip_dp.checkpoints.rewrite import ForgetReport, forget
from ipip_dp.checkpoints.weights import METHODS

__all__ = ["METHODS", "ForgetReport", "forget"]
