"""The ``ipip`` section of param.json: one dargs tree, and the frozen view of it.

``ipip_argument`` is the schema that DP-GEN, ``ipip check`` and the documentation
share. ``Params.from_jdata`` turns a normalised section into dataclasses. Checks
that need more than one key are in :mod:`ipip_dp.check`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dargs import Argument

from ipip_dp import labelers
from ipip_dp.checkpoints import METHODS
from ipip_dp.selection import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

FORGET_SCOPE = r"fitting_net|(layer_\d+|final_layer)(\s*,\s*(layer_\d+|final_layer))*"
FORGET_AT = ("pretrain", "finetune", "both")


def _positive(value: Any) -> bool:
    return not isinstance(value, bool) and value > 0


def _not_negative(value: Any) -> bool:
    return not isinstance(value, bool) and value >= 0


def _fraction(value: Any) -> bool:
    return not isinstance(value, bool) and 0 <= value <= 1


def _temperatures(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(t, (int, float)) and not isinstance(t, bool) and t > 0 for t in value)


def _arg(
    name: str, dtype: Any, default: Any, doc: str, check: Callable[[Any], bool] | None = None, expected: str = ""
) -> Argument:
    return Argument(
        name, dtype, optional=True, default=default, doc=doc, extra_check=check, extra_check_errmsg=expected
    )


def _positive_int(name: str, default: int, doc: str) -> Argument:
    return _arg(name, int, default, doc, _positive, "expected an integer greater than 0")


def _count(name: str, default: int, doc: str) -> Argument:
    return _arg(name, int, default, doc, _not_negative, "expected an integer of 0 or more")


def _positive_float(name: str, default: float, doc: str) -> Argument:
    return _arg(name, [int, float], default, doc, _positive, "expected a number greater than 0")


def _section(name: str, doc: str, *fields: Argument) -> Argument:
    # dargs does not fill in the defaults of the fields of a section that is left out.
    defaults = {field.name: field.default for field in fields}
    return Argument(name, dict, list(fields), optional=True, default=defaults, doc=doc)


def _temperature_list(default: list[float] | None, doc: str) -> Argument:
    """A list of temperatures; null stands for the default only where that is null."""
    types, check = ([list], _temperatures) if default else ([list, None], lambda v: v is None or _temperatures(v))
    return _arg("temperatures", types, default, doc, check, "expected a list of temperatures in K, all greater than 0")


def gate_argument() -> Argument:
    """The schema of ``ipip.gate``."""
    return _section(
        "gate",
        "Frames whose geometry or labels are outside these bounds are rejected, and listed with the reason.",
        _positive_float("min_distance", Gate.min_distance, "Smallest distance between two atoms, in Angstrom."),
        _positive_float("max_force", Gate.max_force, "Largest force on an atom, in eV/Angstrom."),
    )


def ipip_argument(optional: bool = False) -> Argument:
    """The schema of the ``ipip`` section.

    Parameters
    ----------
    optional : bool
        Whether param.json may leave the section out (stock DP-GEN then).

    Returns
    -------
    dargs.Argument
    """
    return Argument(
        "ipip",
        dict,
        [
            _count("seed", 1, "Seed of every random draw of the run, also of those DP-GEN makes."),
            _positive_float(
                "check_interval",
                30,
                "Seconds between two looks of dpdispatcher at the jobs, in all stages. 1 suits a local "
                "run, 30 a queue.",
            ),
            Argument(
                "held_out",
                [list[str], str],
                extra_check=lambda value: bool(value) and all(value),
                extra_check_errmsg="expected at least one data folder",
                doc="Folders of reference-labelled deepmd/npy systems that no student ever trains on. "
                "Relative to the run folder.",
            ),
            labelers.labeler_arguments(
                "teacher",
                "The cheap potential that labels the pool. It must know every element of type_map that occurs.",
            ),
            labelers.labeler_arguments(
                "reference",
                "The accurate labeler, in the same form as teacher: used by `ipip init`, and by `ipip "
                "label ... --labeler reference` as the command of fp_style custom. Not needed when "
                "fp_style is a DFT code and the data exist.",
                optional=True,
            ),
            gate_argument(),
            _section(
                "teacher_md",
                "Teacher MD from sys_configs that seeds the pool, one trajectory per structure and temperature.",
                _temperature_list([300.0, 600.0, 1200.0], "Temperatures in K."),
                _positive_int("nsteps", 2000, "Steps of a trajectory."),
                _positive_int("interval", 10, "Steps between two frames of the pool."),
                _positive_float("timestep", 1.0, "Time step in fs."),
                _positive_float(
                    "friction", 0.01, "Friction of the Langevin thermostat in 1/fs (the IPIP authors' value)."
                ),
            ),
            _section(
                "pretrain",
                "Training on the pool, with forces only: the energy zero of the teacher is not the reference's.",
                _positive_int("numb_steps", 100000, "Training steps in each iteration."),
                Argument(
                    "numb_models",
                    [int, None],
                    optional=True,
                    default=None,
                    extra_check=lambda v: v is None or (v == 1 and not isinstance(v, bool)),
                    extra_check_errmsg="expected 1 or null",
                    doc="1: pretrain one student and let forgetting make the ensemble from it. null: "
                    "pretrain every student.",
                ),
                Argument(
                    "learning_rate",
                    [dict, None],
                    optional=True,
                    default=None,
                    doc="The learning_rate section of pretraining. null: that of default_training_param, "
                    "which fine-tuning has: it wants a lower rate than pretraining does.",
                ),
                Argument(
                    "training_param",
                    [dict, None],
                    optional=True,
                    default=None,
                    doc="A complete DeePMD-kit training input for pretraining, used as it stands but for "
                    "data, seeds and numb_steps. null: default_training_param with learning_rate and a "
                    "force-only loss.",
                ),
            ),
            _section(
                "forget",
                "Which weights of the fitting net are forgotten, how and when. The energy bias is always "
                "refit to the reference data, and optimiser state and learning-rate schedule always "
                "start anew.",
                _arg(
                    "method",
                    str,
                    "shrink_perturb",
                    "shrink_perturb: shrink * w + noise * fresh draw. reinit: fresh draws from DeePMD-kit's own "
                    "initialisers, as in the IPIP paper. none: keep the weights.",
                    lambda v: v in METHODS,
                    f"expected one of {', '.join(METHODS)}",
                ),
                _arg(
                    "scope",
                    str,
                    "fitting_net",
                    "fitting_net: all of it. Or layers of it, joined by commas: layer_2,final_layer.",
                    lambda v: bool(re.fullmatch(FORGET_SCOPE, v)),
                    "expected fitting_net, or layers joined by commas as in layer_2,final_layer",
                ),
                _arg(
                    "at",
                    str,
                    "pretrain",
                    "pretrain: at the start of iteration 1, 2, ..., on the previous iteration's "
                    "students. finetune: between pretraining and fine-tuning. both.",
                    lambda v: v in FORGET_AT,
                    f"expected one of {', '.join(FORGET_AT)}",
                ),
                _arg(
                    "shrink",
                    [int, float],
                    0.5,
                    "shrink_perturb: factor on the old weights.",
                    _fraction,
                    "expected a number between 0 and 1",
                ),
                _arg(
                    "noise",
                    [int, float],
                    0.1,
                    "shrink_perturb: factor on the fresh draw.",
                    _not_negative,
                    "expected a number of 0 or more",
                ),
            ),
            _section(
                "pool",
                "The pseudo-labelled frames.",
                _arg(
                    "retention",
                    [int, float],
                    1.0,
                    "Fraction of the old pool that the next iteration keeps.",
                    _fraction,
                    "expected a number between 0 and 1",
                ),
                _count("keep_iterations", 2, "How many of the latest pools stay on disk; 0 keeps all."),
            ),
            _section(
                "relabel",
                "Explored frames that join the pool in one iteration.",
                _count(
                    "max_in_domain",
                    1000,
                    "At most so many frames below the lower trust level, labelled by the students' mean.",
                ),
                _count(
                    "max_candidates", 1000, "At most so many frames between the trust levels, labelled by the teacher."
                ),
            ),
            _section(
                "stop",
                "The run ends when the ensemble's held-out force RMSE no longer falls.",
                _arg(
                    "min_improvement",
                    [int, float],
                    0.01,
                    "Relative improvement over the best iteration so far that counts.",
                    _fraction,
                    "expected a number between 0 and 1",
                ),
                _positive_int("patience", 2, "Iterations in a row without improvement after which the run ends."),
            ),
            _section(
                "init",
                "What `ipip init` makes: teacher MD, a diverse subset of its frames, reference labels.",
                _positive_int("train_frames", 60, "Reference-labelled frames for training, over all structures."),
                _positive_int(
                    "held_out_frames",
                    60,
                    "Reference-labelled frames for the held-out test, from trajectories of their own.",
                ),
                _temperature_list(None, "Temperatures in K. null: those of teacher_md."),
                _positive_int("nsteps", 1000, "Steps of a trajectory."),
                _positive_int("interval", 10, "Steps between two frames to choose from."),
            ),
        ],
        optional=optional,
        doc="Iterative pretraining (arXiv 2507.20118). Without this section `dpgen run` is stock DP-GEN.",
    )


def param_json_argument() -> Argument:
    """The schema of the whole param.json: DP-GEN's, and the ``ipip`` section."""
    from dpgen.generator.arginfo import run_jdata_arginfo

    argument = run_jdata_arginfo()
    if "ipip" not in argument.sub_fields:  # this package is not installed, as in a bare checkout
        argument.extend_subfields([ipip_argument(optional=True)])
    return argument


@dataclass(frozen=True)
class TeacherMD:
    """Teacher MD. Temperatures in K, timestep in fs, friction in 1/fs."""

    temperatures: tuple[float, ...]
    nsteps: int
    interval: int
    timestep: float
    friction: float


@dataclass(frozen=True)
class Pretrain:
    """Training on the pool."""

    numb_steps: int
    numb_models: int | None
    learning_rate: dict[str, Any] | None
    training_param: dict[str, Any] | None


@dataclass(frozen=True)
class Forget:
    """Forgetting of weights."""

    method: str
    scope: str
    at: str
    shrink: float
    noise: float

    def method_at(self, stage: str) -> str:
        """The method at the start of stage ``pretrain`` or ``finetune``."""
        return self.method if self.at in (stage, "both") else "none"


@dataclass(frozen=True)
class Pool:
    """Forgetting of data."""

    retention: float
    keep_iterations: int


@dataclass(frozen=True)
class Relabel:
    """Explored frames for the pool."""

    max_in_domain: int
    max_candidates: int


@dataclass(frozen=True)
class Stop:
    """The convergence test."""

    min_improvement: float
    patience: int


@dataclass(frozen=True)
class Init:
    """What ``ipip init`` makes. Temperatures in K."""

    train_frames: int
    held_out_frames: int
    temperatures: tuple[float, ...]
    nsteps: int
    interval: int


@dataclass(frozen=True)
class Params:
    """A normalised ``ipip`` section."""

    seed: int
    check_interval: float
    held_out: tuple[Path, ...]
    teacher: dict[str, Any]
    reference: dict[str, Any] | None
    gate: Gate
    teacher_md: TeacherMD
    pretrain: Pretrain
    forget: Forget
    pool: Pool
    relabel: Relabel
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
        section = jdata["ipip"]
        md = section["teacher_md"]
        init = section["init"]
        held_out = section["held_out"]
        return cls(
            seed=section["seed"],
            check_interval=section["check_interval"],
            held_out=tuple(Path(p) for p in ([held_out] if isinstance(held_out, str) else held_out)),
            teacher=section["teacher"],
            reference=section.get("reference"),
            gate=Gate(**section["gate"]),
            teacher_md=TeacherMD(**{**md, "temperatures": tuple(md["temperatures"])}),
            pretrain=Pretrain(**section["pretrain"]),
            forget=Forget(**section["forget"]),
            pool=Pool(**section["pool"]),
            relabel=Relabel(**section["relabel"]),
            stop=Stop(**section["stop"]),
            init=Init(**{**init, "temperatures": tuple(init["temperatures"] or md["temperatures"])}),
        )
