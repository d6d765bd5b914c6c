"""What every step sees."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ipip_dp.errors import IpipError
from ipip_dp.steps import link_labeler_files
from ipip_dp.workdir import Iteration


def test_seeds_differ_by_purpose_iteration_and_run(make_context):
    contexts = [make_context(), make_context(1), make_context(ipip={"seed": 2})]
    seeds = [context.seed(*purpose) for context in contexts for purpose in ((), ("md", 0), ("md", 1), ("md", 0, 1))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeds_are_the_same_in_every_process_and_version(context):
    # 1909753204 = crc32(b"1/0/descriptor/0/1"), while Python's own hash() differs between processes.
    assert context.seed("descriptor", 0, 1) == 1909753204


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
    assert make_context().checkpoint_files[0] == "model.ckpt.meta"
    assert make_context(train_backend="pytorch").checkpoint_files == ["model.ckpt.pt"]


def test_labeler_files_are_linked_under_their_names(context):
    Path("potentials").mkdir()
    Path("potentials/own.sw").write_text("parameters")
    Path("weights.pt").write_text("weights")
    absolute = Path("weights.pt").absolute()
    labeler = {
        "pair_coeff": ["* * potentials/own.sw Mo S", f"* * {absolute}"],
        "kwargs": {"model": "weights.pt", "size": 3, "parts": ["missing.pt", None]},
    }
    folder = Iteration(0).seed / "task.000.0000"
    assert link_labeler_files(labeler, folder) == ["potentials/own.sw", "weights.pt"]
    assert (folder / "potentials/own.sw").read_text() == "parameters"
    assert not os.path.isabs(os.readlink(folder / "weights.pt"))


def test_labeler_files_with_blanks_in_their_name_are_found(context):
    Path("my model.pb").write_text("")
    assert link_labeler_files({"models": ["my model.pb"]}, Path("task")) == ["my model.pb"]


def test_labeler_files_outside_the_run_folder_are_refused(context):
    Path("../own.sw").write_text("parameters")
    with pytest.raises(IpipError, match=r"\.\./own\.sw lies outside the run folder"):
        link_labeler_files({"pair_coeff": ["* * ../own.sw Mo S"]}, Path("task"))


def test_param_json_survives_the_steps(context):
    before = json.dumps(context.jdata, sort_keys=True)
    from ipip_dp.steps import pretrain

    pretrain.training_input(context, 1, ["../pool/a"])
    assert json.dumps(context.jdata, sort_keys=True) == before
