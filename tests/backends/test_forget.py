# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a user of `forget` notices, on checkpoints that `dp train` wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipip_dp.backends import forget
from ipip_dp.errors import IpipError
from tests.backends.conftest import changed, every_backend, every_variant, files, is_fitting, read_tensors


@every_variant
def test_the_fitting_net_and_nothing_else_is_forgotten(variant, train, tmp_path):
    before = read_tensors(train(variant))
    report = forget(train(variant), tmp_path / "out" / "model.ckpt", method="reinit", seed=1)
    after = read_tensors(report.output)
    assert changed(before, after) == {name for name in before.tensors if is_fitting(name)}
    assert set(report.forgotten) <= changed(before, after)
    assert report.rmse is None and set(report.offsets.values()) == {0.0}


@every_backend
def test_the_seed_alone_decides(variant, train, data, tmp_path):
    prefixes = [
        forget(train(variant), tmp_path / name / "model.ckpt", method="reinit", seed=seed, data=[data]).output
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, again, other = map(files, prefixes)
    assert first == again
    assert first != other


@every_backend
def test_a_second_call_replaces_its_output_and_leaves_no_litter(variant, train, tmp_path):
    output = tmp_path / "model.ckpt"
    forget(train(variant), output, method="reinit", seed=1)
    first = files(output)
    (tmp_path / ".model.ckpt.tmp").mkdir()  # an earlier call was killed
    forget(train(variant), output, method="reinit", seed=2)
    assert files(output).keys() == first.keys()
    assert files(output) != first


@every_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "reset"}, "choose one of reinit, shrink_perturb, none"),
        ({"scope": "layer_1,layer_7"}, "no layer 'layer_7'.*: layer_0, layer_1, final_layer"),
        ({"method": "shrink_perturb", "shrink": 2.0}, "shrink = 2.0"),
        ({"data": [Path("nowhere")]}, "nowhere does not exist"),
    ],
)
def test_bad_arguments_are_explained(variant, arguments, message, train, tmp_path):
    with pytest.raises(IpipError, match=message):
        forget(train(variant), tmp_path / "out" / "model.ckpt", **{"method": "reinit", "seed": 1, **arguments})
    assert not list(tmp_path.iterdir()) or not list((tmp_path / "out").iterdir())


@every_backend
def test_the_checkpoint_itself_is_never_overwritten(variant, train):
    before = files(train(variant))
    with pytest.raises(IpipError, match="choose another folder"):
        forget(train(variant), train(variant).with_name("new.ckpt"), method="reinit", seed=1)
    assert files(train(variant)) == before
