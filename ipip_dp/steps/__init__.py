"""The steps of one iteration: one module each, of the same shape.

A step is ``prepare`` (write task folders), ``run`` (dispatch a command that a user
can also type in the task folder) and ``collect`` (check and gather the results), called
in this order by its function ``step``, which marks the step done at the end and does
nothing when it is done already.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ipip_dp.params import Params


@dataclass(frozen=True)
class Context:
    """What every step sees: the iteration, the parameters and DP-GEN's two dictionaries."""

    iteration: workdir.Iteration
    params: Params
    jdata: dict[str, Any]
    mdata: dict[str, Any]

    @property
    def type_map(self) -> list[str]:
        """The elements, in the order of param.json."""
        return self.jdata["type_map"]

    @property
    def students(self) -> list[int]:
        """Indices of the ensemble's members."""
        return list(range(self.jdata["numb_models"]))

    @property
    def pretrained_students(self) -> list[int]:
        """Indices of the members that are pretrained."""
        return self.students[: self.params.pretrain.numb_models]

    @property
    def pytorch(self) -> bool:
        """Whether students train with DeePMD-kit's PyTorch backend instead of TensorFlow."""
        return self.jdata.get("train_backend", "tensorflow") == "pytorch"

    @property
    def checkpoint(self) -> str:
        """Name of a student's checkpoint, as :mod:`ipip_dp.checkpoints` takes it."""
        return "model.ckpt.pt" if self.pytorch else "model.ckpt"

    @property
    def checkpoint_files(self) -> list[str]:
        """The files of a checkpoint."""
        if self.pytorch:
            return ["model.ckpt.pt"]
        return ["model.ckpt.meta", "model.ckpt.index", "model.ckpt.data-00000-of-00001"]

    def seed(self, *purpose: object) -> int:
        """A seed that depends on ``ipip.seed``, the iteration and the purpose only."""
        text = "/".join(str(part) for part in (self.params.seed, self.iteration.index, *purpose))
        return zlib.crc32(text.encode()) & 0x7FFFFFFF

    def reference_data(self) -> list[Path]:
        """Folders of D_k: init_data_sys and every earlier 02.fp, as they are on disk."""
        prefix = Path(self.jdata.get("init_data_prefix") or ".")
        folders = [prefix / name for name in self.jdata["init_data_sys"]]
        for index in range(self.iteration.index):
            folders += sorted(workdir.Iteration(index).reference.glob("data.*"))
        return folders


def checkpoints(context: Context, work_path: Path, tasks: Sequence[str]) -> list[Path]:
    """The checkpoint files of the task folders below ``work_path``."""
    return [work_path / task / name for task in tasks for name in context.checkpoint_files]


def damaged_folders(work_path: Path) -> list[Path]:
    """The folders of results that were damaged after the step in ``work_path`` had finished; logs each file."""
    from dpgen import dlog

    damaged = workdir.damaged(work_path)
    for path in damaged:
        dlog.warning(f"ipip: {path} is missing or truncated; it is made again")
    return sorted({path.parent for path in damaged})


def labeler_files(labeler: Any) -> list[str]:
    """The local files a labeler config names, to be forwarded with a task under the same names.

    Any string (or blank-separated word of one) that is the relative path of an existing
    file counts: potential files, frozen models, weights.

    Raises
    ------
    IpipError
        If a file lies outside the run folder, from where dpdispatcher forwards nothing.
    """
    names = sorted({word for word in _words(labeler) if not Path(word).is_absolute() and os.path.isfile(word)})
    for name in names:
        if ".." in Path(name).parts:
            raise IpipError(
                f"labeler file {name} lies outside the run folder; put it, or a link to it, into the run folder, "
                "or give its absolute path if the machine that labels sees it"
            )
    return names


def link_labeler_files(labeler: Any, folder: Path) -> list[str]:
    """Link the files of :func:`labeler_files` into a task folder; returns their names."""
    names = labeler_files(labeler)
    for name in names:
        workdir.link(Path(name), folder / name)
    return names


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from {value, *value.split()}
    elif isinstance(value, dict):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _words(item)
