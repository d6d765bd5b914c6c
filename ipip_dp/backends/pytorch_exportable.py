# SPDX-License-Identifier: LGPL-3.0-or-later
"""DeePMD-kit's exportable PyTorch backend: checkpoints like those of PyTorch, models compiled ahead of time."""

from __future__ import annotations

from ipip_dp.backends.base import PREFIX, Backend
from ipip_dp.backends.pytorch import PyTorchCheckpoint

PYTORCH_EXPORTABLE = Backend(
    name="pytorch-exportable",
    flag="--pt-expt",
    checkpoint_files=(f"{PREFIX}.pt",),
    model_formats=("pt2",),
    checkpoint=PyTorchCheckpoint,
)
