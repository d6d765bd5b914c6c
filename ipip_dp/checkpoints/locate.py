"""Find out which backend a checkpoint is of, and read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipip_dp.checkpoints.base import file_of
from ipip_dp.checkpoints.pytorch import PyTorchCheckpoint
from ipip_dp.checkpoints.tensorflow import TensorFlowCheckpoint
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from pathlib import Path

    from ipip_dp.checkpoints.base import Checkpoint

_BACKENDS: tuple[type[Checkpoint], ...] = (TensorFlowCheckpoint, PyTorchCheckpoint)


def prefix_of(path: Path) -> Path:
    """Return the prefix of a checkpoint given as prefix, main file or folder.

    In a folder it is ``model.ckpt``, the default of ``training.save_ckpt``.
    """
    if path.is_dir():
        return path / "model.ckpt"
    for backend in _BACKENDS:
        if path.name.endswith(backend.suffix):
            return path.with_suffix("")
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of either backend.

    Parameters
    ----------
    path : pathlib.Path
        Prefix, main file or folder, see `prefix_of`. Where both backends left a
        checkpoint, a prefix or folder means TensorFlow's.

    Raises
    ------
    IpipError
        When there is none or it cannot be read.
    """
    prefix = prefix_of(path)
    named = [backend for backend in _BACKENDS if path.name.endswith(backend.suffix)]
    expected = []
    for backend in named or _BACKENDS:
        file = file_of(prefix, backend.suffix)
        if file.is_file():
            return backend.read(prefix)
        expected.append(str(file))
    raise IpipError(
        f"No checkpoint at {path}: expected {' or '.join(expected)}. Has its training reached the first save_freq?"
    )
