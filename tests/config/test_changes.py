# SPDX-License-Identifier: LGPL-3.0-or-later
"""What may change in param.json once a run has begun."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.checks.run_input import normalized
from ipip_dp.config import changes
from ipip_dp.errors import IpipError
from tests.checks.conftest import changed

SEED, PRETRAIN = "iter.000000/00.ipip/seed/done", "iter.000000/00.ipip/pretrain/000/model.ckpt.index"
# Key path, new value, and the file from which on the key is fixed.
LATE = [
    ("type_map", ["S", "Mo"], SEED),
    ("sys_configs", [["other.vasp"]], SEED),
    ("ipip.seed", 2, SEED),
    ("ipip.teacher.pair_style", "sw", SEED),
    ("ipip.teacher_md.nsteps", 2000, SEED),
    ("numb_models", 3, PRETRAIN),
    ("train_backend", "pytorch", PRETRAIN),
    ("default_training_param.model.fitting_net.neuron", [8, 8], PRETRAIN),
    ("ipip.pretrain.numb_models", 1, PRETRAIN),
    ("ipip.held_out", ["data/train"], "iter.000000/00.ipip/evaluate/students/predictions.npz"),
    ("model_devi_merge_traj", True, "iter.000000/01.model_devi/task.000.000000"),
    ("model_devi_jobs[0].nsteps", 900, "iter.000000/01.model_devi/task.000.000000"),
    ("fp_style", "vasp", "iter.000000/02.fp/task.000.000000"),
    ("ipip.reference.kwargs.method", "GFN2-xTB", "iter.000000/02.fp/task.000.000000"),
    ("ipip.reference.kwargs.method", "GFN2-xTB", "iter.000001/02.fp/task.000.000000"),
    ("ipip.reference.kwargs.method", "GFN2-xTB", "iter.000000/00.ipip/on_policy/audit/accurate/labels"),
]


@pytest.fixture
def started(run) -> dict:
    """The param.json of a run that has just begun in the working directory, normalised."""
    jdata = normalized(run.param, "param.json")
    changes.keep(jdata)
    return jdata


def test_a_run_of_dpgen_alone_is_not_taken_over(run):
    jdata = normalized(run.param, "param.json")
    Path("iter.000000/00.train").mkdir(parents=True)
    workdir.RECORD.write_text("\n")
    changes.require_allowed(jdata, "param.json")
    workdir.RECORD.write_text("0 0\n")
    with pytest.raises(IpipError, match="record.dpgen: a run without an ipip section has begun"):
        changes.require_allowed(jdata, "param.json")
    changes.keep(jdata)
    changes.require_allowed(jdata, "param.json")


def make(name: str) -> None:
    Path(name).parent.mkdir(parents=True)
    Path(name).touch()


@pytest.mark.parametrize(("key", "value", "made"), LATE, ids=[key for key, *_ in LATE])
def test_a_key_is_fixed_as_soon_as_something_is_made_with_it(started, key, value, made):
    later = changed(copy.deepcopy(started), {key: value})
    changes.require_allowed(later, "param.json")
    make(made)
    changes.require_allowed(started, "param.json")
    with pytest.raises(IpipError) as error:
        changes.require_allowed(later, "param.json")
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"param.json: {key}: changed from ")
    assert str(Path(*Path(made).parts[: 3 if "00.ipip" in made else 2])) in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ipip.teacher.command", "srun lmp"),
        ("ipip.held_out", "data/held_out"),  # instead of a list of one
        ("ipip.pretrain.numb_steps", 5),
        ("default_training_param.training.numb_steps", 5),
        ("default_training_param.model.fitting_net.seed", 5),
        ("model_devi_f_trust_hi", 0.7),
    ],
)
def test_what_counts_from_now_on_may_change(started, key, value):
    for made in {made for *_, made in LATE}:
        if not Path(made).exists():
            make(made)
    changes.require_allowed(changed(started, {key: value}), "param.json")


def test_lists_of_structures_and_jobs_may_grow(started):
    make(SEED)
    make("iter.000000/01.model_devi/task.000.000000")
    later = copy.deepcopy(started)
    later["sys_configs"].append(["other.vasp"])
    later["model_devi_jobs"].append({**later["model_devi_jobs"][0], "temps": [900]})
    changes.require_allowed(later, "param.json")
    later["model_devi_jobs"].pop(0)
    with pytest.raises(IpipError, match=r"model_devi_jobs\[0\]\.temps: changed from \[600\] to \[900\]"):
        changes.require_allowed(later, "param.json")


def test_every_late_change_has_a_line(started):
    make(SEED)
    with pytest.raises(IpipError) as error:
        changes.require_allowed(changed(started, {"ipip.seed": 2, "type_map": ["S", "Mo"]}), "p.json")
    assert [line.split(": changed")[0] for line in str(error.value).splitlines()] == [
        "p.json: type_map",
        "p.json: ipip.seed",
    ]


def test_without_an_earlier_start_everything_is_new(run):
    make(SEED)
    changes.require_allowed(normalized(run.param, "param.json"), "param.json")


def test_a_damaged_note_of_the_earlier_start_is_named(started):
    workdir.STARTED.write_text("{")
    with pytest.raises(IpipError, match=f"{workdir.STARTED}: damaged; remove it if param.json is still the one"):
        changes.require_allowed(started, "param.json")
