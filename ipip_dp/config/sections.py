# SPDX-License-Identifier: LGPL-3.0-or-later
"""The sections of the ``ipip`` section of param.json: their keys, what they mean and what they may be."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from dargs import Argument

from ipip_dp.backends import METHODS
from ipip_dp.config.keys import count, fraction, key, not_negative, positive, positive_int
from ipip_dp.data.gate import Gate
from ipip_dp.text import is_positive

FORGET_SCOPE = r"fitting_net|(layer_\d+|final_layer)(\s*,\s*(layer_\d+|final_layer))*"
FORGET_AT = ("pretrain", "finetune", "both")
RULES = {
    "expected_error": "the students' mean or the teacher, whoever is expected to be less wrong at its deviation, as "
    "learnt from explored frames with reference labels; above the upper trust level it must pass the gate. As "
    "trust_levels while there are fewer than 10 such frames.",
    "trust_levels": "the students below the lower trust level, the teacher up to the upper one, nobody above.",
    "students": "the students up to the upper trust level.",
    "teacher": "the teacher up to the upper trust level.",
}
TEMPERATURES = "expected a list of temperatures in K, all greater than 0"


def _temperatures(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(t, (int, float)) and not isinstance(t, bool) and t > 0 for t in value)


@dataclass(frozen=True)
class TeacherMD:
    """Teacher MD from sys_configs that seeds the pool, one trajectory per structure and temperature."""

    temperatures: tuple[float, ...] = key(
        [300.0, 600.0, 1200.0], "Temperatures in K.", _temperatures, TEMPERATURES, types=list
    )
    nsteps: int = positive_int(2000, "Steps of a trajectory.")
    interval: int = positive_int(10, "Steps between two frames of the pool.")
    timestep: float = positive(1.0, "Time step in fs.")
    friction: float = positive(0.01, "Friction of the Langevin thermostat in 1/fs (the IPIP authors' value).")


def _init_from() -> Argument:
    model = Argument(
        "model",
        str,
        doc="A checkpoint (.pt) of the backend that trains the students, or the name of a pre-trained one, such as "
        "DPA-3.1-3M, that `dp pretrained download` has brought here.",
    )
    branch = Argument(
        "branch",
        [str, None],
        optional=True,
        default=None,
        doc="The branch of a multi-task checkpoint whose fitting net is taken. RANDOM: none of them, every student "
        "draws its own.",
    )
    return Argument(
        "init_from",
        [dict, None],
        [model, branch],
        optional=True,
        default=None,
        doc="A pre-trained model that pretraining of iteration 0 starts from, by `dp train --finetune`. Its descriptor "
        "must be that of default_training_param; its type_map may be another. null: from nothing.",
    )


@dataclass(frozen=True)
class Pretrain:
    """Training on the pool, without energies: the energy zero of the teacher is not the reference's."""

    numb_steps: int = positive_int(100000, "Training steps in each iteration.")
    numb_models: int | None = key(
        None,
        "1: pretrain one student and let forgetting make the ensemble from it. null: pretrain every student.",
        lambda v: v is None or (v == 1 and not isinstance(v, bool)),
        "expected 1 or null",
        types=[int, None],
    )
    learning_rate: dict[str, Any] | None = key(
        None,
        "The learning_rate section of pretraining. null: that of default_training_param, "
        "which fine-tuning has: it wants a lower rate than pretraining does.",
        types=[dict, None],
    )
    loss: dict[str, Any] | None = key(
        None,
        'Keys of the loss section of pretraining, as {"start_pref_v": 0.02}, in place of those of '
        "default_training_param with prefactors of energies 0. null: none.",
        types=[dict, None],
    )
    training_param: dict[str, Any] | None = key(
        None,
        "A complete DeePMD-kit training input for pretraining, used as it stands but for "
        "data, seeds and numb_steps. null: default_training_param with learning_rate and loss.",
        types=[dict, None],
    )
    init_from: dict[str, Any] | None = key(None, argument=_init_from)


@dataclass(frozen=True)
class Forget:
    """Which weights of the fitting net are forgotten, how and when. The energy bias is always
    refit to the reference data, and optimiser state and learning-rate schedule always
    start anew.
    """  # noqa: D205 (all of it is the documentation of the section)

    method: str = key(
        "shrink_perturb",
        " ".join(f"{name}: {method.doc}" for name, method in METHODS.items()),
        lambda v: v in METHODS,
        f"expected one of {', '.join(METHODS)}",
    )
    scope: str = key(
        "fitting_net",
        "fitting_net: all of it. Or layers of it, joined by commas: layer_2,final_layer.",
        lambda v: bool(re.fullmatch(FORGET_SCOPE, v)),
        "expected fitting_net, or layers joined by commas as in layer_2,final_layer",
    )
    at: str = key(
        "pretrain",
        "pretrain: at the start of iteration 1, 2, ..., on the previous iteration's "
        "students. finetune: between pretraining and fine-tuning. both.",
        lambda v: v in FORGET_AT,
        f"expected one of {', '.join(FORGET_AT)}",
    )
    shrink: float = fraction(0.5, "shrink_perturb: factor on the old weights.")
    noise: float = not_negative(0.1, "shrink_perturb: factor on the fresh draw.")

    def method_at(self, stage: str) -> str:
        """The method at the start of stage ``pretrain`` or ``finetune``."""
        return self.method if self.at in (stage, "both") else "none"


OPTIONAL_POSITIVE: dict[str, Any] = {
    "check": lambda value: value is None or is_positive(value),
    "expected": "expected a number greater than 0 or null",
    "types": [int, float, None],
}


@dataclass(frozen=True)
class Bounds:
    """Frames whose geometry or labels are outside these bounds are rejected, and listed with the reason."""

    min_distance: float | None = key(
        None,
        "Smallest distance between two atoms, in Angstrom. null: for explored frames 0.85 times that of the reference "
        "data and the seed pool, for all others 0.5.",
        **OPTIONAL_POSITIVE,
    )
    max_force: float | None = key(
        None,
        "Largest force on an atom, in eV/Angstrom. null: for explored frames 1.5 times that of the reference data and "
        "the seed pool, for all others 100.",
        **OPTIONAL_POSITIVE,
    )
    max_neighbor_distance: float | None = key(
        None,
        "Largest distance of an atom to its nearest neighbour, in Angstrom. By default the cutoff of a "
        "labeler that warns of isolated atoms, as CHGNet does (6), and no limit for others.",
        **OPTIONAL_POSITIVE,
    )

    def gate(self, otherwise: Gate | None = None) -> Gate:
        """The gate, with bounds from elsewhere where there is none here."""
        return replace(
            otherwise or Gate(), **{name: value for name, value in asdict(self).items() if value is not None}
        )


@dataclass(frozen=True)
class Pool:
    """The pseudo-labelled frames."""

    retention: float = fraction(1.0, "Fraction of the old pool that the next iteration keeps.")
    self_labels: str = key(
        "renew",
        "What becomes of frames that earlier students have labelled. renew: the latest students label them again. "
        "keep: they stay as they are. drop: they leave the pool.",
        lambda v: v in ("renew", "keep", "drop"),
        "expected renew, keep or drop",
    )
    keep_iterations: int = count(2, "How many of the latest pools stay on disk; 0 keeps all.")


@dataclass(frozen=True)
class Relabel:
    """Explored frames that join the pool in one iteration."""

    rule: str = key(
        "expected_error",
        "Who labels a frame. " + " ".join(f"{name}: {doc}" for name, doc in RULES.items()),
        lambda v: v in RULES,
        f"expected one of {', '.join(RULES)}",
    )
    max_in_domain: int = count(1000, "At most so many frames labelled by the students' mean.")
    max_candidates: int = count(1000, "At most so many frames labelled by the teacher.")


@dataclass(frozen=True)
class Evaluate:
    """Errors on held-out frames, and on explored ones that the reference has labelled."""

    audit_frames: int = count(
        0,
        "So many explored frames of each iteration are labelled by ipip.reference to measure errors where MD goes, and "
        "never trained on: of all trust classes alike, but for candidates if DP-GEN labels such (fp_task_max > 0).",
    )


@dataclass(frozen=True)
class Stop:
    """The run ends when nothing improves by more than its noise: the held-out force RMSE, the error on explored frames,
    the shares of accurate frames and of MD that holds. MD under conditions that no earlier iteration has explored does
    not count.
    """  # noqa: D205 (all of it is the documentation of the section)

    min_improvement: float = fraction(0.01, "Relative improvement over the best iteration so far that counts.")
    patience: int = positive_int(2, "Iterations in a row without improvement after which the run ends.")


@dataclass(frozen=True)
class Init:
    """What `ipip init` makes: teacher MD, a diverse subset of its frames, reference labels."""

    train_frames: int = positive_int(60, "Reference-labelled frames for training, over all structures.")
    held_out_frames: int = positive_int(
        60, "Reference-labelled frames for the held-out test, from trajectories of their own."
    )
    temperatures: tuple[float, ...] = key(
        None,
        "Temperatures in K. null: those of teacher_md.",
        lambda v: v is None or _temperatures(v),
        TEMPERATURES,
        types=[list, None],
    )
    nsteps: int = positive_int(1000, "Steps of a trajectory.")
    interval: int = positive_int(10, "Steps between two frames to choose from.")
