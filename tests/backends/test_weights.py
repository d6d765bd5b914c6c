# SPDX-License-Identifier: LGPL-3.0-or-later
"""How weights are forgotten, on checkpoints that `dp train` wrote."""

from __future__ import annotations

import numpy as np
import pytest

from ipip_dp.backends import forget, weights
from ipip_dp.backends.base import Parameter
from ipip_dp.errors import IpipError
from tests.backends.conftest import changed, every_backend, is_fitting, read_tensors


@every_backend
def test_fresh_weights_have_the_spread_of_deepmds_initialisers(variant, train, tmp_path):
    report = forget(train(variant), tmp_path / "model.ckpt", method="reinit", seed=1)
    old, new = (read_tensors(prefix).tensors for prefix in (train(variant), report.output))

    def pooled(tensors, kind, shape):
        return np.concatenate(
            [v.ravel() for n, v in sorted(tensors.items()) if is_fitting(n) and n.endswith(kind) and v.shape == shape]
        )

    matrix, bias = ("w", "b") if variant.startswith("pt-expt") else ("matrix", "bias")
    hidden = pooled(new, matrix, (32, 32))
    assert hidden.std() == pytest.approx(1 / np.sqrt(64), rel=0.1)
    assert abs(np.corrcoef(hidden, pooled(old, matrix, (32, 32)))[0, 1]) < 0.1
    assert pooled(new, matrix, (32, 1)).std() == pytest.approx(1 / np.sqrt(33), rel=0.25)
    assert pooled(new, bias, (32,)).std() == pytest.approx(1.0, rel=0.25)
    assert pooled(new, "idt", (32,)).mean() == pytest.approx(0.1, abs=0.001)
    assert pooled(new, "idt", (32,)).std() == pytest.approx(0.001, rel=0.3)


@every_backend
@pytest.mark.parametrize("layers", ["final_layer", "layer_1,final_layer"])
def test_scope_limits_forgetting_to_layers(variant, layers, train, tmp_path):
    before = read_tensors(train(variant))
    report = forget(train(variant), tmp_path / "model.ckpt", method="reinit", scope=layers, seed=1)
    tags = {"layer_1": ("layer_1_", ".layers.1."), "final_layer": ("final_layer", ".layers.2.")}
    wanted = tuple(tag for layer in layers.split(",") for tag in tags[layer])
    assert changed(before, read_tensors(report.output)) == {
        name for name in before.tensors if is_fitting(name) and any(tag in name for tag in wanted)
    }


@every_backend
def test_shrinking_without_noise_scales_the_weights(variant, train, tmp_path):
    report = forget(train(variant), tmp_path / "model.ckpt", method="shrink_perturb", seed=1, shrink=0.5, noise=0.0)
    before, after = (read_tensors(prefix).tensors for prefix in (train(variant), report.output))
    for name in filter(is_fitting, before):
        centre = 0.1 if name.endswith("idt") else 0.0
        np.testing.assert_allclose(after[name] - centre, 0.5 * (before[name] - centre), atol=1e-12)


@every_backend
def test_perturbing_adds_noise_relative_to_the_initialiser(variant, train, tmp_path):
    report = forget(train(variant), tmp_path / "model.ckpt", method="shrink_perturb", seed=1, shrink=1.0, noise=0.1)
    before, after = (read_tensors(prefix).tensors for prefix in (train(variant), report.output))
    moved = [after[n] - before[n] for n in before if is_fitting(n) and before[n].shape == (32, 32)]
    assert np.std(moved) == pytest.approx(0.1 / np.sqrt(64), rel=0.1)


NET = {
    f"{layer}_type_{element}/{kind}": Parameter(layer, kind)
    for layer in ("final_layer", "layer_10", "layer_2")
    for element in (0, 1)
    for kind in ("matrix", "bias")
}


def test_a_layer_is_that_of_every_element():
    assert weights.select(NET, "fitting_net") == tuple(sorted(NET))
    assert weights.select(NET, "layer_2 , final_layer") == tuple(sorted(n for n in NET if "10" not in n))


def test_the_layers_there_are_are_listed_in_order():
    with pytest.raises(IpipError, match="no layer 'layer_1' in the fitting net.*: layer_2, layer_10, final_layer"):
        weights.select(NET, "layer_1,layer_2")


@pytest.mark.parametrize(("shrink", "noise"), [(-0.1, 0.1), (1.1, 0.1), (0.5, -0.1)])
def test_factors_out_of_range_are_refused_only_where_they_count(shrink, noise):
    with pytest.raises(IpipError, match=f"shrink = {shrink}, noise = {noise}"):
        weights.METHODS["shrink_perturb"].factors(shrink, noise)
    assert weights.METHODS["reinit"].factors(shrink, noise) == (0.0, 1.0)
    assert weights.METHODS["none"].factors(shrink, noise) == (1.0, 0.0)
