# SPDX-License-Identifier: LGPL-3.0-or-later
"""The ``ipip`` section of param.json.

:class:`Params` and :mod:`ipip_dp.config.sections` say what its keys are, what they mean and what they may be; the
schema that DP-GEN, ``ipip check`` and the documentation share is made of it (:mod:`ipip_dp.config.keys`). Checks that
need more than one key are in :mod:`ipip_dp.checks`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dargs import Argument

from ipip_dp import labelers
from ipip_dp.config import keys
from ipip_dp.config.keys import count, key, positive
from ipip_dp.config.sections import Bounds, Evaluate, Forget, Init, Pool, Pretrain, Relabel, Stop, TeacherMD

LABELERS = ("teacher", "reference")
"""The keys that hold a labeler, which the commands know by these names."""


def _held_out() -> Argument:
    return Argument(
        "held_out",
        [list[str], str],
        extra_check=lambda value: bool(value) and all(value),
        extra_check_errmsg="expected at least one data folder",
        doc="Folders of reference-labelled deepmd/npy systems that no student ever trains on. "
        "Relative to the run folder.",
    )


def _teacher() -> Argument:
    return labelers.labeler_arguments(
        "teacher", "The cheap potential that labels the pool. It must know every element of type_map that occurs."
    )


def _teacher_fine_tune() -> Argument:
    return Argument(
        "teacher_fine_tune",
        [dict, None],
        [
            Argument(
                "command",
                str,
                doc="What fine-tunes the teacher on the reference data, ../data (deepmd/npy, one folder per system) or "
                "../data.extxyz (the same frames), in a folder of its own and in machine section ipip_pretrain. Typed "
                "again in the same folder it must begin anew or go on.",
            ),
            Argument(
                "files", list[str], optional=True, default=[], doc="Files of the run folder that the command needs."
            ),
            Argument("results", list[str], doc="Files that the command leaves in its folder."),
            labelers.labeler_arguments("teacher", "The fine-tuned teacher, which names files of results."),
        ],
        optional=True,
        default=None,
        doc="The teacher learns: in every iteration with new reference data it is fine-tuned on them before the "
        "students pretrain, labels its part of the pool again, and all later frames. Its MD in iteration 0 is that of "
        "ipip.teacher. null: it stays as it is.",
    )


def _reference() -> Argument:
    return labelers.labeler_arguments(
        "reference",
        "The accurate labeler, in the same form as teacher: used by `ipip init`, and by `ipip "
        "label ... --labeler reference` as the command of fp_style custom. Not needed when "
        "fp_style is a DFT code and the data exist.",
        optional=True,
    )


@dataclass(frozen=True, kw_only=True)
class Params:
    """Iterative pretraining (arXiv 2507.20118). Without this section `dpgen run` is stock DP-GEN."""

    seed: int = count(
        1, "Seed of every random draw of the run, also of those DP-GEN makes, but for its shuffle_poscar."
    )
    check_interval: float = positive(
        30,
        "Seconds between two looks of dpdispatcher at the jobs, in all stages. 1 suits a local run, 30 a queue.",
    )
    trust: str = key(
        "given",
        "given: the trust levels of param.json. auto: from the students' errors on explored frames with reference "
        "labels, as soon as earlier iterations have 10 of them: accurate up to 1.5 times the held-out force RMSE, "
        "failed from an error as large as the forces are.",
        lambda v: v in ("given", "auto"),
        "expected given or auto",
    )
    held_out: tuple[Path, ...] = key(argument=_held_out)
    teacher: dict[str, Any] = key(argument=_teacher)
    teacher_fine_tune: dict[str, Any] | None = key(None, argument=_teacher_fine_tune)
    reference: dict[str, Any] | None = key(argument=_reference)
    gate: Bounds
    teacher_md: TeacherMD
    pretrain: Pretrain
    forget: Forget
    pool: Pool
    relabel: Relabel
    evaluate: Evaluate
    stop: Stop
    init: Init

    @classmethod
    def from_jdata(cls, jdata: dict[str, Any]) -> Params:
        """Read the ``ipip`` section of a param.json that DP-GEN has normalised.

        Parameters
        ----------
        jdata : dict
            The whole param.json.
        """
        params: Params = keys.read(cls, jdata["ipip"])
        held_out = [params.held_out] if isinstance(params.held_out, str) else params.held_out
        temperatures = params.init.temperatures or params.teacher_md.temperatures
        return replace(
            params,
            held_out=tuple(map(Path, held_out)),
            init=replace(params.init, temperatures=temperatures),
        )


def gate_argument() -> Argument:
    """The schema of ``ipip.gate``."""
    return keys.section_argument("gate", Bounds)


def ipip_argument(optional: bool = False) -> Argument:
    """The schema of the ``ipip`` section.

    Parameters
    ----------
    optional : bool
        Whether param.json may leave the section out (stock DP-GEN then).
    """
    return Argument("ipip", dict, keys.arguments(Params), optional=optional, doc=Params.__doc__)


def param_json_argument() -> Argument:
    """The schema of the whole param.json: DP-GEN's, and the ``ipip`` section."""
    from dpgen.generator.arginfo import run_jdata_arginfo

    argument = run_jdata_arginfo()
    if "ipip" not in argument.sub_fields:  # this package is not installed, as in a bare checkout
        argument.extend_subfields([ipip_argument(optional=True)])
    return argument
