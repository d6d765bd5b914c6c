# SPDX-License-Identifier: LGPL-3.0-or-later
"""The arms of the study: what each changes in param.json, and which arm's work it starts from.

One factor at a time around ``IPIP``, at 240 reference labels; the arms that answer the user's
question (scratch, one round, IPIP) also at 60 and 500.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.mo_s_o import EXAMPLE

FINETUNE = "default_training_param.training.numb_steps"
PRETRAIN = "ipip.pretrain.numb_steps"
SCHEDULE = "default_training_param.learning_rate"
BATCH = "default_training_param.training.training_data.batch_size"
DESCRIPTOR = "default_training_param.model.descriptor"
FITTING_NET = "default_training_param.model.fitting_net"
LOSS = "default_training_param.loss"
FORGET = "ipip.forget"
NONE = {f"{FORGET}.method": "none"}
RELABEL = "ipip.relabel"
TRAIN_FRAMES = 500
ALL_LABELS = 2300  # the training frames and the whole pool, labelled by the reference
PBE_LABELS = 45  # the training frames of examples/mo_s_o_cp2k
POOLS = (200, 600)  # frames of the smaller pools
CUTOFF_6 = {f"{DESCRIPTOR}.rcut": 6.0, f"{DESCRIPTOR}.sel": [16, 32, 20]}
DPA4C = {
    "train_backend": "pytorch-exportable",
    DESCRIPTOR: {"type": "dpa4c", "rcut": 6.0, "channels": 32, "lmax": 2, "precision": "float32"},
    FITTING_NET: {"neuron": [192, 192, 192], "precision": "float32"},
    BATCH: 4,
    "ipip.pretrain.learning_rate.start_lr": 0.002,
}
DPA4C_TIME = 6  # its steps take about so many times as long as those of the other students
TAKE_HOME = EXAMPLE / "models/mo_s_o_dpa4c.pt"
STRUCTURES = 6  # of examples/mo_s_o
EXPLORED = {"fp_task_max": 43}  # frames a structure and round: the six of them go from 240 labels to about 500
HOT = [500, 1000, 1500, 2000, 2500]  # K
MANY = 450  # frames a structure and round: the six of them add 2,700 labels
TUNED = "tuned.pth"
# How ASE gets at a fine-tuned teacher: calculator, the keyword of the file, others.
TUNED_TEACHERS = {
    "chgnet": ("chgnet.model.dynamics:CHGNetCalculator.from_file", "path", {"use_device": "cpu"}),
    "sevennet": ("sevenn.calculator:SevenNetCalculator", "model", {}),
}
LEVEL10 = {"start_pref_e": 1, "start_pref_f": 10, "limit_pref_f": 10}  # the prefactor of energies is 1 at the end
CURVE = (60, 240, 1000, ALL_LABELS)


def tuner(teacher: str) -> Path:
    """The program that fine-tunes a teacher."""
    return EXAMPLE.parent / f"fine_tune_{teacher}.py"


def tuned_teacher(teacher: str, model: Path) -> dict[str, Any]:
    """The labeler that the file of a fine-tuned teacher makes."""
    calculator, keyword, others = TUNED_TEACHERS[teacher]
    return {"type": "ase", "calculator": calculator, "kwargs": {keyword: str(model), **others}}


def fine_tuning(teacher: str) -> dict[str, Any]:
    """The section ``ipip.teacher_fine_tune`` of a teacher."""
    program = tuner(teacher).name
    return {
        "command": f"python {program} ../data.extxyz {TUNED}",
        "files": [program],
        "results": [TUNED],
        "teacher": tuned_teacher(teacher, Path(TUNED)),
    }


@dataclass(frozen=True)
class Size:
    """How long everything takes.

    Attributes
    ----------
    name : str
        The option of the command.
    labels : tuple of int
        Reference labels of the arms that ask how many it takes.
    pretrain, finetune : int
        Training steps of one student in one round.
    exploration : int
        MD steps of a trajectory in the first round; every next round has three times as many.
    """

    name: str
    labels: tuple[int, ...]
    pretrain: int
    finetune: int
    exploration: int

    @property
    def middle(self) -> int:
        """The number of labels of the arms that ask anything but how many."""
        return self.labels[len(self.labels) // 2]


SIZES = {
    "quick": Size("quick", labels=(60,), pretrain=3000, finetune=1500, exploration=300),
    "full": Size("full", labels=(60, 240, 500), pretrain=12000, finetune=6000, exploration=1000),
}


@dataclass(frozen=True)
class Arm:
    """One way of spending labels and training steps.

    Attributes
    ----------
    name : str
        Folder of the arm, and its row in results.csv.
    group : str
        The question it belongs to, a panel of the figure.
    labels : int
        Reference-labelled training frames to begin with.
    changes : dict
        Key path in param.json -> value.
    rounds : int
        Iterations.
    after : str, optional
        Name of the arm whose ``stage`` this one shares, because everything up to it is the same.
    stage : str
        How far: iteration 0 to the end of its ``pretrain`` step, of ``train`` (fine-tuned and
        evaluated), or the whole ``iteration``.
    pool : int, optional
        Teacher-labelled frames to pretrain on, all there are if not given.
    seed : int
        ``ipip.seed``.
    reference : str
        ``GFN1`` or ``PBE``: whose labels.
    plain : bool
        DP-GEN without IPIP.
    """

    name: str
    group: str
    labels: int
    changes: dict[str, Any] = field(default_factory=dict)
    rounds: int = 1
    after: str | None = None
    stage: str = "iteration"
    pool: int | None = None
    seed: int = 1
    reference: str = "GFN1"
    plain: bool = False

    @property
    def train(self) -> str:
        """The folder of its training frames."""
        if self.reference == "PBE":
            return "pbe_train"
        return f"train-{self.labels}"

    @property
    def first_pool(self) -> str:
        """The folder of the frames it pretrains on."""
        return f"pool-{self.pool}" if self.pool else "pool"

    @property
    def tests(self) -> dict[str, str]:
        """The folders it is tested on, by what they are for; choices are made on ``validation`` alone."""
        if self.reference == "PBE":
            return {"held_out": "pbe_held_out"}
        return {name: name for name in ("validation", "held_out", "paper")}


def arms(size: Size) -> list[Arm]:
    """Every arm of one size, an arm after those it starts from."""
    middle = size.middle
    result: list[Arm] = []
    for labels in size.labels:
        result += _question(labels, seed=1, after=None if labels == size.labels[0] else f"once-{size.labels[0]}")
    result += _equal_compute(size, middle, seed=1)
    if size.name == "quick":
        return result
    for seed in (2, 3):
        result += _question(middle, seed=seed, after=None)
        result += _equal_compute(size, middle, seed=seed)
        end = _end(middle, seed)
        for name, changes in (("none", NONE), ("shrink0.5", _shrink(0.5))):
            result.append(Arm(f"{name}-at-pretrain-{end}", "forgetting", middle, changes, 2, f"ipip-{end}", seed=seed))
    result += (
        _exploration(size) + _forgetting(middle) + _data(middle) + _students(size, middle) + _convergence(size, middle)
    )
    result += _batches(middle) + _losses(middle) + _pbe(size) + _settings(size)
    return [*result, *_rounds(size, middle), *_curve(size)]


def _question(labels: int, seed: int, after: str | None) -> list[Arm]:
    """The arms that answer: how much better, for the same labels?"""
    end = _end(labels, seed)
    return [
        Arm(f"scratch-{end}", "labels", labels, plain=True, seed=seed),
        Arm(f"once-{end}", "labels", labels, after=after, stage="pretrain", seed=seed),
        Arm(f"ipip-{end}", "labels", labels, rounds=2, after=f"once-{end}", stage="train", seed=seed),
    ]


def _end(labels: int, seed: int) -> str:
    return f"{labels}-seed{seed}" if seed > 1 else f"{labels}"


def _equal_compute(size: Size, labels: int, seed: int) -> list[Arm]:
    """As many training steps as two rounds of IPIP: on the teacher's labels alone, and without them."""
    end = _end(labels, seed)
    longer = {PRETRAIN: 2 * size.pretrain + size.finetune}
    scratch = {FINETUNE: 2 * (size.pretrain + size.finetune)}
    return [
        Arm(f"pretraining-only-{end}", "equal compute", labels, longer, seed=seed),
        Arm(f"finetuning-only-{end}", "equal compute", labels, scratch, plain=True, seed=seed),
    ]


def _exploration(size: Size) -> list[Arm]:
    """The reference labels what the students explored: DP-GEN's loop, from few labels and from all there are.

    In its second round ``explored-240`` has about as many labels as ``ipip-500``. ``dpa4c-explored-2300`` ends with
    7,658: nearly every frame of its MD is a candidate, so those to be labelled are drawn from what MD visits.
    ``dpa4c-continued-2300`` goes on from the model to take home, with as much weight of energies as they need.
    """
    middle = size.middle
    hot = {
        **DPA4C,
        **NONE,
        "model_devi_dt": 0.001,
        "model_devi_f_trust_lo": 0.05,
        "ipip.gate.max_force": 30.0,
    }
    many = {
        **hot,
        **_md(10000, 20000, temps=HOT),
        "fp_task_max": MANY,
        PRETRAIN: size.pretrain // 4,
        FINETUNE: 20000,
    }
    again = {
        **hot,
        **_md(5000, temps=HOT),
        "fp_task_max": 100,
        "ipip.pretrain.init_from": {"model": str(TAKE_HOME)},
        PRETRAIN: 1,  # and nothing changes
        "ipip.pretrain.learning_rate": {"type": "cosine", "start_lr": 1e-8, "stop_lr": 1e-9},
        **{f"{RELABEL}.{limit}": 0 for limit in ("max_in_domain", "max_candidates")},
        SCHEDULE: {"type": "cosine", "start_lr": 5e-4, "stop_lr": 1e-6},
        FINETUNE: size.finetune,
        **{f"{LOSS}.{key}": value for key, value in LEVEL10.items()},
    }
    take_home = {**EXPLORED, **CUTOFF_6, **NONE, PRETRAIN: size.pretrain // 2, FINETUNE: 3 * size.finetune}
    return [
        Arm(f"explored-{middle}", "exploration", middle, EXPLORED, 4, f"once-{middle}", "train"),
        Arm(f"explored-6-{ALL_LABELS}", "exploration", ALL_LABELS, take_home, 4),
        Arm(f"dpa4c-explored-{ALL_LABELS}", "exploration", ALL_LABELS, many, 3),
        Arm(f"dpa4c-continued-{ALL_LABELS}", "exploration", ALL_LABELS, again, 2),
    ]


def _md(*lengths: int, **others: Any) -> dict[str, Any]:
    """Exploration of so many steps in each round, every 20th kept, with other keys of its job."""
    jobs = [{"nsteps": nsteps, "trj_freq": 20, **others} for nsteps in lengths]
    return {f"model_devi_jobs.{i}.{key}": value for i, job in enumerate(jobs) for key, value in job.items()}


def _curve(size: Size) -> list[Arm]:
    """Error against labels: one DPA4C student, from nothing or pretrained for two thirds, or one, of as many steps."""
    one = {**DPA4C, "numb_models": 1}
    alone = {**one, FINETUNE: size.pretrain + size.finetune}
    less = {**one, PRETRAIN: size.pretrain // 2, FINETUNE: size.finetune + size.pretrain // 2}
    result = []
    for seed in (1, 2, 3):
        for labels in CURVE:
            end = _end(labels, seed)
            for kind, changes in (("pretrained", one), ("pretrained-less", less)):
                first = f"curve-{kind}-{_end(CURVE[0], seed)}"
                after = first if labels != CURVE[0] else None
                arm = Arm(f"curve-{kind}-{end}", "curve", labels, changes, after=after, stage="pretrain", seed=seed)
                result.append(arm)
            result.append(Arm(f"curve-alone-{end}", "curve", labels, alone, plain=True, seed=seed))
    return result


def _rounds(size: Size, labels: int) -> list[Arm]:
    """What a second round is worth where MD goes, at equal labels and steps.

    By who labels what the students explored; and with half of the labels given to explored frames.
    """
    changes = {
        "model_devi_dt": 0.001,
        **_md(5000),
        f"{FORGET}.method": "shrink_perturb",
        f"{RELABEL}.max_in_domain": 1000,
        f"{RELABEL}.max_candidates": 300,
    }
    rules: dict[str, dict[str, Any]] = {
        "no-frames": {f"{RELABEL}.max_in_domain": 0, f"{RELABEL}.max_candidates": 0},
        "trust-levels": {f"{RELABEL}.rule": "trust_levels"},
        "expected-error": {"ipip.evaluate.audit_frames": 60},
        "students": {f"{RELABEL}.rule": "students"},
        "teacher": {f"{RELABEL}.rule": "teacher"},
    }
    result, half, few = [], labels // 2, labels // 4
    gathering = {**changes, "fp_task_max": half // STRUCTURES}
    twice = {**gathering, **_md(5000, 5000), "fp_task_max": half // STRUCTURES // 2}
    control = {**changes, **_md(5000, 5000), **rules["no-frames"]}  # as many rounds and steps as gathered-twice
    alone = {**twice, FINETUNE: size.pretrain + size.finetune}  # without IPIP, as many steps
    thrice = {**twice, **_md(5000, 5000, 5000), "fp_task_max": (labels - few) // STRUCTURES // 3}
    for seed in (1, 2, 3):
        end, half_end, few_end = _end(labels, seed), _end(half, seed), _end(few, seed)
        once = f"once-{end}"
        result += [
            Arm(f"round-{name}-{end}", "rounds", labels, {**changes, **rule}, 2, once, "train", seed=seed)
            for name, rule in rules.items()
        ]
        result += [
            Arm(f"rounds-no-frames-{end}", "gathering", labels, control, 3, once, "train", seed=seed),
            Arm(f"once-{half_end}", "gathering", half, after=once, stage="pretrain", seed=seed),
            Arm(f"gathered-{end}", "gathering", half, gathering, 2, f"once-{half_end}", "train", seed=seed),
            Arm(f"gathered-twice-{end}", "gathering", half, twice, 3, f"once-{half_end}", "train", seed=seed),
            Arm(f"dpgen-twice-{end}", "gathering", half, alone, 3, seed=seed, plain=True),
        ]
        if seed > 1:  # the first one's stands with the question
            result.append(Arm(f"once-{few_end}", "gathering", few, after=once, stage="pretrain", seed=seed))
        result.append(Arm(f"gathered-thrice-{end}", "gathering", few, thrice, 4, f"once-{few_end}", "train", seed=seed))
    half_price = {**twice, "fp_task_max": few // STRUCTURES // 2}
    return [*result, Arm(f"gathered-twice-{half}", "gathering", few, half_price, 3, f"once-{few}", "train")]


def _shrink(factor: float) -> dict[str, Any]:
    return {f"{FORGET}.method": "shrink_perturb", f"{FORGET}.shrink": factor}


def _forgetting(labels: int) -> list[Arm]:
    """Each method between the rounds; the paper's, a milder and a partial one before fine-tuning and at both times."""
    methods: dict[str, dict[str, Any]] = {
        "none": NONE,
        "last-layers": {f"{FORGET}.scope": "layer_2,final_layer"},
        "reinit": {},
    }
    methods.update({f"shrink{shrink}": _shrink(shrink) for shrink in (0.3, 0.5, 0.8)})
    result = []
    for name, changes in methods.items():
        if name != "reinit":  # that one is ipip-LABELS
            result.append(Arm(f"{name}-at-pretrain-{labels}", "forgetting", labels, changes, 2, f"ipip-{labels}"))
        if name in ("last-layers", "reinit", "shrink0.5"):
            after = f"{name}-at-finetune-{labels}"
            at = {**changes, f"{FORGET}.at": "finetune"}
            result.append(Arm(after, "forgetting", labels, at, 2, f"once-{labels}", "pretrain"))
            both = {**changes, f"{FORGET}.at": "both"}
            result.append(Arm(f"{name}-at-both-{labels}", "forgetting", labels, both, 2, after))
    return result


def _data(labels: int) -> list[Arm]:
    """How large the first round's pool is, and what the second round's is made of."""
    changes: dict[str, dict[str, Any]] = {
        "retention0": {"ipip.pool.retention": 0},
        "retention0.5": {"ipip.pool.retention": 0.5},
        "teacher-labels-only": {f"{RELABEL}.max_in_domain": 0},
        "student-labels-only": {f"{RELABEL}.max_candidates": 0},
        "no-new-frames": {f"{RELABEL}.max_in_domain": 0, f"{RELABEL}.max_candidates": 0},
    }
    return [
        *(Arm(f"pool{pool}-{labels}", "pool size", labels, pool=pool) for pool in POOLS),
        *(
            Arm(f"{name}-{labels}", "pool", labels, change, 2, f"once-{labels}", "train")
            for name, change in changes.items()
        ),
    ]


def _students(size: Size, labels: int) -> list[Arm]:
    """Students of DPA4C; of a fine-tuned teacher; four, pretrained each by itself, or made of one by forgetting."""
    shared = {"numb_models": 4, "ipip.pretrain.numb_models": 1, f"{FORGET}.at": "both"}
    sixth = {PRETRAIN: size.pretrain // DPA4C_TIME, FINETUNE: size.finetune // DPA4C_TIME}
    return [
        Arm(f"dpa4c-equal-time-{labels}", "students", labels, {**DPA4C, **sixth}),
        Arm(f"dpa4c-{labels}", "students", labels, DPA4C),
        Arm(f"tuned-teacher-{labels}", "tuned teacher", labels, {"ipip.teacher_fine_tune": fine_tuning("chgnet")}),
        Arm(f"four-students-{labels}", "students", labels, {"numb_models": 4}),
        Arm(f"one-pretraining-four-students-{labels}", "students", labels, shared),
    ]


def _convergence(size: Size, labels: int) -> list[Arm]:
    """Error against training steps, beside the arms of equal compute, which train longest."""
    twice, four_times = ({FINETUNE: n * size.finetune} for n in (2, 4))
    result = [Arm(f"finetune4x-{labels}", "steps", labels, four_times, 1, f"once-{labels}", "pretrain")]
    for seed in (1, 2, 3):
        end = _end(labels, seed)
        result.append(Arm(f"finetune2x-{end}", "steps", labels, twice, 1, f"once-{end}", "pretrain", seed=seed))
        result.append(Arm(f"scratch2x-{end}", "steps", labels, twice, plain=True, seed=seed))
    return result


def _batches(labels: int) -> list[Arm]:
    """Larger batches in pretraining and fine-tuning than DeePMD-kit's "auto", which is 2 or 3 frames here."""
    return [
        Arm(f"batch4-{_end(labels, seed)}", "batch size", labels, {BATCH: 4, "init_batch_size": [4]}, seed=seed)
        for seed in (1, 2, 3)
    ]


def _losses(labels: int) -> list[Arm]:
    """Huber's loss, which large errors of few atoms own less, instead of squared errors; more weight of energies."""
    result = []
    for seed in (1, 2, 3):
        end = _end(labels, seed)
        for delta in (0.01, 0.3):  # of energies per atom and of forces; DeePMD-kit's own is 0.01
            huber = {f"{LOSS}.use_huber": True, f"{LOSS}.huber_delta": delta}
            result.append(Arm(f"huber{delta}-{end}", "loss", labels, huber, seed=seed))
            result.append(Arm(f"huber{delta}-scratch-{end}", "loss", labels, huber, plain=True, seed=seed))
        # Where the prefactor of energies is 1, at the end or all the time, that of forces is 100 elsewhere.
        weights = {
            "forces10": {"limit_pref_f": 10},
            "level10": LEVEL10,
            "level100": {"start_pref_e": 1, "start_pref_f": 100, "limit_pref_f": 100},
        }
        for name, prefactors in weights.items():
            changes = {f"{LOSS}.{key}": value for key, value in prefactors.items()}
            arm = Arm(f"{name}-{end}", "loss", labels, changes, after=f"once-{end}", stage="pretrain", seed=seed)
            result.append(arm)
    return result


def _pbe(size: Size) -> list[Arm]:
    """The user's question once more, with labels of a density functional."""
    once = Arm("once-pbe", "PBE", PBE_LABELS, after=f"once-{size.labels[0]}", stage="pretrain", reference="PBE")
    return [
        Arm("scratch-pbe", "PBE", PBE_LABELS, reference="PBE", plain=True),
        once,
        Arm("ipip-pbe", "PBE", PBE_LABELS, rounds=2, after=once.name, stage="train", reference="PBE"),
    ]


def _settings(size: Size) -> list[Arm]:
    """One student without pretraining, all labels: the settings of examples/mo_s_o, and others one at a time."""
    labels = size.labels[-1]
    others: dict[str, dict[str, Any]] = {
        "as-in-the-example": {},
        "cutoff-6": CUTOFF_6,
        "batch-4": {"init_batch_size": [4]},
        "float64": {f"{DESCRIPTOR}.precision": "float64", f"{FITTING_NET}.precision": "float64"},
        "force-prefactor-10": {"default_training_param.loss.limit_pref_f": 10},
    }
    longest = {"numb_models": 1, **CUTOFF_6, FINETUNE: 50000}
    return [
        Arm(f"long-6-{ALL_LABELS}", "settings", ALL_LABELS, longest),
        *(
            Arm(
                f"{name}-{labels}",
                "settings",
                labels,
                {"numb_models": 1, FINETUNE: 2 * size.finetune, **changes},
                plain=True,
            )
            for name, changes in others.items()
        ),
    ]
