# SPDX-License-Identifier: LGPL-3.0-or-later
"""What every step sees, and what steps have in common."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.backends import BACKENDS, Backend
from ipip_dp.data.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipip_dp.config.params import Params


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
    def backend(self) -> Backend:
        """The backend of DeePMD-kit that the students are trained with."""
        from dpgen.generator.run import _get_train_backend_config

        return BACKENDS[_get_train_backend_config(self.jdata)[0]]

    @property
    def model_format(self) -> str:
        """The suffix of frozen students, without its dot."""
        from dpgen.generator.run import _get_model_backend_config

        return _get_model_backend_config(self.jdata)[2]

    @property
    def teacher(self) -> dict[str, Any]:
        """The labeler section of this iteration's teacher."""
        fine_tune = self.params.teacher_fine_tune
        return fine_tune["teacher"] if fine_tune else self.params.teacher

    @property
    def pool(self) -> Path:
        """The pool that students pretrain on."""
        return self.iteration.taught_pool if self.iteration.taught_pool.is_dir() else self.iteration.pool

    @property
    def taught_since(self) -> workdir.Iteration:
        """The first iteration with the teacher of this one, where its errors are evaluated."""
        if self.params.teacher_fine_tune is None:
            return workdir.Iteration(0)
        first = self
        while first.iteration.index > 0:
            earlier = replace(first, iteration=first.iteration.previous)
            if earlier.reference_data() != self.reference_data():
                break
            first = earlier
        return first.iteration

    @property
    def gate(self) -> Gate:
        """The gate of explored frames: bounds that param.json leaves open are those of reference data and seed pool."""
        known = json.loads(workdir.GATE.read_text()) if workdir.GATE.is_file() else {}
        return self.params.gate.gate(Gate(**known))

    def random_seed(self, *purpose: object) -> int:
        """A seed that depends on ``ipip.seed``, the iteration and the purpose only."""
        text = "/".join(str(part) for part in (self.params.seed, self.iteration.index, *purpose))
        return zlib.crc32(text.encode()) & 0x7FFFFFFF

    def reference_data(self) -> list[Path]:
        """Folders of D_k: init_data_sys and every earlier 02.fp, as they are on disk."""
        prefix = Path(self.jdata.get("init_data_prefix") or ".")
        folders = [prefix / name for name in self.jdata["init_data_sys"]]
        for index in range(self.iteration.index):
            folders += sorted(workdir.Iteration(index).fp.glob("data.*"))
        return folders


def checkpoints(context: Context, work_path: Path, tasks: Sequence[str]) -> list[Path]:
    """The checkpoint files of the task folders below ``work_path``."""
    return [work_path / task / name for task in tasks for name in context.backend.checkpoint_files]


def damaged_folders(work_path: Path) -> list[Path]:
    """The folders of results that were damaged after the step in ``work_path`` had finished; logs each file."""
    from dpgen import dlog

    damaged = workdir.damaged(work_path)
    for path in damaged:
        dlog.warning(f"ipip: {path} is missing or truncated; it is made again")
    return sorted({path.parent for path in damaged})
