# SPDX-License-Identifier: LGPL-3.0-or-later
"""What every step sees."""

from __future__ import annotations

import json
from pathlib import Path

from ipip_dp.workdir import Iteration


def test_seeds_differ_by_purpose_iteration_and_run(make_context):
    contexts = [make_context(), make_context(1), make_context(ipip={"seed": 2})]
    seeds = [
        context.random_seed(*purpose) for context in contexts for purpose in ((), ("md", 0), ("md", 1), ("md", 0, 1))
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeds_are_the_same_in_every_process_and_version(context):
    # 1909753204 = crc32(b"1/0/descriptor/0/1"), while Python's own hash() differs between processes.
    assert context.random_seed("descriptor", 0, 1) == 1909753204


def test_reference_data_grow_with_the_iterations(make_context):
    for name in ("iter.000000/02.fp/data.000", "iter.000000/02.fp/data.001", "iter.000001/02.fp/data.000"):
        Path(name).mkdir(parents=True)
    assert make_context(0).reference_data() == [Path("data/train")]
    assert make_context(1).reference_data() == [
        Path("data/train"),
        Path("iter.000000/02.fp/data.000"),
        Path("iter.000000/02.fp/data.001"),
    ]
    assert make_context(2).reference_data()[-1] == Path("iter.000001/02.fp/data.000")


def test_checkpoints_have_the_names_of_the_backend(make_context):
    assert make_context().backend.checkpoint_files[0] == "model.ckpt.meta"
    assert make_context(train_backend="pytorch").backend.checkpoint_files == ("model.ckpt.pt",)


def test_param_json_survives_the_steps(context):
    before = json.dumps(context.jdata, sort_keys=True)
    from ipip_dp.steps import pretrain

    pretrain.training_input(context, 1, ["../pool/a"])
    assert json.dumps(context.jdata, sort_keys=True) == before


def test_a_teacher_counts_from_the_iteration_it_is_new_in(make_context):
    context = make_context(3)
    assert context.taught_since == Iteration(0)
    fine_tune = {"command": "true", "results": ["new.pb"], "teacher": {"type": "dp", "models": ["new.pb"]}}
    learning = {"teacher_fine_tune": fine_tune}
    assert make_context(3, ipip=learning).taught_since == Iteration(0), "there are no new reference data"
    (Iteration(1).fp / "data.000").mkdir(parents=True)
    assert make_context(3, ipip=learning).taught_since == Iteration(2)
    assert make_context(1, ipip=learning).taught_since == Iteration(0)
    assert context.taught_since == Iteration(0)
