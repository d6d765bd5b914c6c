# SPDX-License-Identifier: LGPL-3.0-or-later
"""The backends there are, and which of them a checkpoint is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipip_dp.backends.base import PREFIX, file_of
from ipip_dp.backends.pytorch import PYTORCH
from ipip_dp.backends.pytorch_exportable import PYTORCH_EXPORTABLE
from ipip_dp.backends.tensorflow import TENSORFLOW
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from pathlib import Path

    from ipip_dp.backends.base import Backend, Checkpoint

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in (TENSORFLOW, PYTORCH, PYTORCH_EXPORTABLE)}
"""By DP-GEN's name, key ``train_backend`` of param.json."""
MODEL_SUFFIXES = tuple(dict.fromkeys(f".{name}" for backend in BACKENDS.values() for name in backend.model_formats))
"""Of frozen models, by which DeePMD-kit knows them."""


def prefix_of(path: Path) -> Path:
    """Return the prefix of a checkpoint given as prefix, main file or folder.

    In a folder it is ``model.ckpt``, the default of ``training.save_ckpt``.
    """
    if path.is_dir():
        return path / PREFIX
    for backend in BACKENDS.values():
        if path.name.endswith(backend.checkpoint.suffix):
            return path.with_suffix("")
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of any backend.

    Parameters
    ----------
    path : pathlib.Path
        Prefix, main file or folder, see `prefix_of`. Where several backends left a
        checkpoint, a prefix or folder means that of the first in `BACKENDS`.

    Raises
    ------
    IpipError
        When there is none or it cannot be read.
    """
    prefix = prefix_of(path)
    kinds = list(dict.fromkeys(backend.checkpoint for backend in BACKENDS.values()))
    named = [kind for kind in kinds if path.name.endswith(kind.suffix)]
    expected = []
    for kind in named or kinds:
        file = file_of(prefix, kind.suffix)
        if file.is_file():
            return kind.read(prefix)
        expected.append(str(file))
    raise IpipError(
        f"No checkpoint at {path}: expected {' or '.join(expected)}. Has its training reached the first save_freq?"
    )
